"""Executes examples/walkthrough.ipynb; ``python -m tests.notebook`` writes its outputs into it."""

from __future__ import annotations

import os
from typing import Any

import nbformat
from nbclient import NotebookClient

from tests.conftest import ROOT

NOTEBOOK = ROOT / "examples/walkthrough.ipynb"


def executed() -> Any:
    """The notebook with the outputs it has on this machine, run in its own folder by a kernel of this Python."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "export"), *_path()])}
    # A cell may take as long as a busy machine needs: what ends a kernel that waits forever is the limit of the job.
    resources = {"metadata": {"path": str(NOTEBOOK.parent)}}
    client = NotebookClient(notebook, timeout=None, startup_timeout=600, resources=resources)
    client.execute(env=environment)
    for cell in notebook.cells:
        cell.metadata = {}  # when it ran
        if cell.cell_type == "code":  # without what libraries warn of on standard error, with this machine's folders
            cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
    return notebook


def printed(notebook: Any) -> list[str]:
    """What each code cell printed; anything but print is refused."""
    texts = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert {(out.output_type, out.get("name")) for out in cell.outputs} <= {("stream", "stdout")}, cell.outputs
            texts.append("".join(out.text for out in cell.outputs))
    return texts


def _path() -> list[str]:
    return [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]


if __name__ == "__main__":
    nbformat.write(executed(), NOTEBOOK)

"""The wheel alone under other Pythons (``make test-pythons``): installed, and judging as this one does.

RLAIF_FAST_PYTHONS names interpreters, as in ``python3.10 python3.13``: an environment each takes a minute.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, Run

PYTHONS = os.environ.get("RLAIF_FAST_PYTHONS", "").split()
pytestmark = pytest.mark.skipif(not PYTHONS, reason="RLAIF_FAST_PYTHONS names no Python (make test-pythons)")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built once, by this Python: it is the same for all."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT]
    subprocess.run(command, check=True, cwd=folder)
    (found,) = folder.glob("rlaif_fast-*-py3-none-any.whl")
    return found


@pytest.mark.parametrize("python", PYTHONS)
def test_it_judges_as_here(
    python: str, wheel: Path, llama: Path, tmp_path: Path, rlaif_fast: Callable[..., Run]
) -> None:
    found = shutil.which(python)
    assert found, f"there is no {python} here"
    subprocess.run([found, "-m", "venv", tmp_path / "clean"], check=True)
    binary = tmp_path / "clean" / ("Scripts" if os.name == "nt" else "bin")
    subprocess.run([binary / "python", "-m", "pip", "install", "-q", wheel], check=True, cwd=tmp_path)
    pairs = ROOT / "examples/pairs.jsonl"
    here = rlaif_fast("judge", pairs, "-b", llama)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | {
        "RLAIF_FAST_HOME": str(tmp_path)
    }
    there = subprocess.run(
        [binary / "rlaif-fast", "judge", pairs, "-b", llama], capture_output=True, text=True, cwd=tmp_path,
        env=environment,
    )  # fmt: skip
    assert there.returncode == 0, there.stderr
    for ours, theirs in zip(here.out.splitlines(), there.stdout.splitlines(), strict=True):
        row, other = json.loads(ours), json.loads(theirs)
        by_order = pytest.approx(row.pop("p1_by_order"), abs=1e-4)  # its onnxruntime may be another
        assert other.pop("p1_by_order") == by_order
        assert [other.pop(name) for name in ("p1", "p2")] == pytest.approx([row.pop("p1"), row.pop("p2")], abs=1e-4)
        assert other == row

"""What exports cost, measured on a tiny model by the ways that are installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from tests.conftest import ROOT


def test_each_way_is_measured_and_failures_are_named(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "benchmarks.export", "--model", tiny_folder("llama"), "--peers",
        "ort-fp32,llamacpp-f32,rlaif-fast-fp32", "--output", tmp_path / "export",
    ]  # fmt: skip
    done = subprocess.run(
        list(map(str, command)), cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "RLAIF_FAST_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT / "export")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "export.json").read_text())
    stock = {"ort-fp32"} if find_spec("optimum.onnxruntime") else set()  # not beside transformers 5
    assert {*report["exports"]} == {"rlaif-fast-fp32"} | stock
    assert {*report["skipped"]} == {"llamacpp-f32", "ort-fp32"} - stock
    for cost in report["exports"].values():
        assert cost["seconds"] > 1 and cost["peak_mb"] > 100 and cost["disk_mb"] > 0.1
    assert (tmp_path / "export.md").read_text().strip() == done.stdout.strip()
    assert "rlaif-fast-fp32: `export --precision fp32`" in done.stdout
    assert str(tmp_path) not in done.stdout.replace(str(tmp_path / "export"), "")

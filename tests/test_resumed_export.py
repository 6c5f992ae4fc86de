"""An int8 export that was killed goes on behind its last finished block, to the same bytes; Ctrl-C leaves nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from rlaif_fast import ExportError
from rlaif_fast.bundle.folder import read_manifest
from rlaif_fast.cli import cli
from rlaif_fast.prompts.template import SUMMARY
from rlaif_fast.runtime import selftest
from rlaif_fast_export import estimate
from rlaif_fast_export import precision as precisions
from rlaif_fast_export.exporter import export_bundle
from rlaif_fast_export.int8 import quantize
from rlaif_fast_export.int8.options import Int8Options
from rlaif_fast_export.int8.work import Work
from rlaif_fast_export.precision import Choice
from rlaif_fast_export.sources.source import find_source
from tests.conftest import ROOT

_KILLED = """
import os, signal, sys
from pathlib import Path
from rlaif_fast.prompts.template import SUMMARY
from rlaif_fast_export import exporter
from rlaif_fast_export.exporter import export_bundle
from rlaif_fast_export.int8.options import Int8Options
from rlaif_fast_export.int8.work import Work
from rlaif_fast_export.sources.source import find_source

model, out, last, number = sys.argv[1:]
save = Work.save

def saved(self, name, value):
    save(self, name, value)
    if name == last:
        signal.raise_signal(int(number))

def verify(*_):
    signal.raise_signal(int(number))

Work.save = saved
if last == "verified":
    exporter.verify = verify
signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it would be ignored
export_bundle(find_source(model), Path(out), SUMMARY, force=False, progress=lambda *_: None,
              int8=Int8Options(max_delta=0.5))
"""


def _killed(model: Path, out: Path, last: str, number: signal.Signals) -> int:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "export")}
    command = [sys.executable, "-c", _KILLED, str(model), str(out), last, str(int(number))]
    return subprocess.run(command, capture_output=True, env=environment).returncode


def _export(model: Path, out: Path, steps: list[str] | None = None, **options: float) -> Path:
    def progress(what: str, share: float) -> None:
        if steps is not None:
            steps.append(what)

    int8 = Int8Options(max_delta=0.5, **options)  # type: ignore[arg-type]  # fast is a bool
    return export_bundle(find_source(str(model)), out, SUMMARY, force=False, progress=progress, int8=int8)


@pytest.fixture(scope="module")
def whole(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of an export that was not killed."""
    return _export(tiny_folder("llama"), tmp_path_factory.mktemp("whole") / "bundle")


@pytest.mark.parametrize(
    ("last", "left"), [("asked", [2, 1, 0]), ("block-1", [0]), ("gradients-1", [1, 0]), ("verified", [])]
)
def test_a_killed_export_goes_on(
    last: str, left: list[int], tiny_folder: Callable[[str], Path], whole: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    model = tiny_folder("llama")
    assert _killed(model, tmp_path / "out", last, signal.SIGKILL) == -signal.SIGKILL
    left_behind = next(tmp_path.glob(".*"))
    assert left_behind.name.startswith(".out.partial-")
    (left_behind / ".model.onnx.data.half").mkdir()  # as a kill while the weights were written leaves it
    made: list[int] = []
    real = quantize.calibrated_block

    def block(index: int, *arguments: object) -> object:
        made.append(index)
        return real(index, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(quantize, "calibrated_block", block)
    steps: list[str] = []
    again = _export(model, tmp_path / "out", steps)
    assert made == left and "asking PyTorch for its answers" not in steps
    for name in ("model.onnx", "model.onnx.data", "manifest.json"):
        assert (again / name).read_bytes() == (whole / name).read_bytes(), name
    assert not (again / "work").exists() and not list(tmp_path.glob(".*"))


def _zero(file: Path) -> None:
    size = file.stat().st_size
    with file.open("r+b") as stream:
        stream.seek(size // 2)
        stream.write(bytes(size - size // 2))


@pytest.mark.parametrize(
    ("damaged", "how"),
    [("spool", _zero), ("spool", Path.unlink), ("asked.pt", _zero), ("gradients-1.pt", Path.unlink)],
    ids=["spool-half", "spool-gone", "answers-half", "gradients-gone"],  # a function's own text has its address
)
def test_what_a_power_cut_damaged_is_made_again(
    damaged: str, how: Callable[[Path], object], tiny_folder: Callable[[str], Path], whole: Path, tmp_path: Path
) -> None:
    model = tiny_folder("llama")
    assert _killed(model, tmp_path / "out", "block-1", signal.SIGKILL) == -signal.SIGKILL
    how(next(tmp_path.glob(".*")) / "work" / damaged)
    again = _export(model, tmp_path / "out")
    for name in ("model.onnx", "model.onnx.data", "manifest.json"):
        assert (again / name).read_bytes() == (whole / name).read_bytes(), name


def test_another_export_begins_anew(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    model = tiny_folder("llama")
    assert _killed(model, tmp_path / "out[1]", "block-1", signal.SIGKILL) == -signal.SIGKILL
    steps: list[str] = []
    _export(model, tmp_path / "out[1]", steps, fast=True)
    assert "asking PyTorch for its answers" in steps and not list(tmp_path.glob(".*"))
    assert _killed(model, tmp_path / "exact", "block-1", signal.SIGKILL) == -signal.SIGKILL
    export_bundle(find_source(str(model)), tmp_path / "exact", SUMMARY, force=False, progress=lambda *_: None)
    assert not list(tmp_path.glob(".*")) and not (tmp_path / "exact" / "work").exists()


@pytest.mark.parametrize("precision", ["int8", "auto"])
def test_the_command_goes_on_with_what_best_has_begun(
    precision: str, tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where best takes long, fast or fp32 is made: not where best was begun, as it is behind a fast that was refused.

    What it takes is measured, so it may be long now and was not before.
    """
    model, out = tiny_folder("llama"), tmp_path / "out"
    assert _killed(model, out, "block-1", signal.SIGKILL) == -signal.SIGKILL
    monkeypatch.setattr(estimate, "PATIENCE", 0)
    monkeypatch.setattr(selftest, "FAITHFUL", 0.5)
    monkeypatch.setattr(precisions, "choose_precision", lambda *_: Choice("int8", "precision: int8, it gains"))
    options = ["--template", "summary", "--precision", precision, "-o", str(out)]
    done = CliRunner().invoke(cli, ["export", str(model), *options])
    assert done.exit_code == 0, done.output
    assert "quality: best, which was begun; as a whole it takes about " in done.stderr
    assert "asking PyTorch for its answers" not in done.stderr and "quality: fast" not in done.stderr
    assert read_manifest(out).passes["rounded_to_nearest"] == 0 and not list(tmp_path.glob(".*"))


def test_files_that_change_meanwhile_are_noticed(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    model = Path(shutil.copytree(tiny_folder("llama"), tmp_path / "model"))
    changing = model / "export.log"

    def progress(what: str, share: float) -> None:
        if what == "tracing":
            changing.touch()

    export_bundle(find_source(str(model)), tmp_path / "good", SUMMARY, force=False, progress=progress)
    changing = model / "model.safetensors"
    with pytest.raises(ExportError, match="model: its files changed while it was exported; export it again"):
        export_bundle(find_source(str(model)), tmp_path / "out", SUMMARY, force=False, progress=progress)
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".*"))


def test_an_interrupted_export_leaves_nothing(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    assert _killed(tiny_folder("llama"), tmp_path / "out", "block-1", signal.SIGINT) != 0
    assert not list(tmp_path.iterdir())


def test_what_is_torn_was_not_saved(tmp_path: Path) -> None:
    work = Work(tmp_path / "work", "key")
    work.spool.put(torch.ones(3))
    spooled = (tmp_path / "work" / "spool").read_bytes()
    work.save("one", {"a": [torch.ones(3), 2, "x"]})
    found = Work(tmp_path / "work", "key").load("one")
    assert torch.equal(found["a"][0], torch.ones(3)) and found["a"][1:] == [2, "x"]
    file = tmp_path / "work" / "one.pt"
    written, spool = file.read_bytes(), tmp_path / "work" / "spool"
    for damaged in (written[:-20], written[:5], written[:100] + b"?" + written[101:], b""):
        file.write_bytes(damaged)
        assert Work(tmp_path / "work", "key").load("one") is None
    file.write_bytes(written)
    for damaged in (spooled[:-1], spooled[:5] + b"?" + spooled[6:], spooled + b"more", spooled):
        spool.write_bytes(damaged)
        assert (Work(tmp_path / "work", "key").load("one") is not None) == damaged.startswith(spooled)
    assert work.load("two") is None
    assert Work(tmp_path / "work", "another").load("one") is None and not file.exists()

"""A bundle's prompts are changed by one process at a time, and what fails or is killed leaves nothing behind."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlaif_fast import BundleError, Judge
from rlaif_fast.bundle.editing import remove_prompts
from rlaif_fast.bundle.folder import read_manifest
from rlaif_fast.judging.rater import Rater
from rlaif_fast.prompts.built_in import BUILT_IN, template_of
from rlaif_fast.prompts.score_template import SCORE_TEMPLATES
from rlaif_fast.prompts.template import SUMMARY
from rlaif_fast_export import adding
from rlaif_fast_export.adding import add_prompts
from rlaif_fast_export.sources.source import find_source
from tests.test_bundle_prompts import _quiet, export

HELPFUL, SCORE = template_of(BUILT_IN["helpful"]), SCORE_TEMPLATES["score-helpful"]


@pytest.fixture
def model(tiny_folder: Callable[[str], Path]) -> Path:
    return tiny_folder("llama")


@pytest.fixture
def bundle(model: Path, tmp_path: Path) -> Path:
    """Of a model whose head is not its embedding, so that scores need files of their own."""
    return export(model, tmp_path / "bundle", SUMMARY, HELPFUL)


def _names(bundle: Path) -> list[str]:
    return [prompt.name for prompt in read_manifest(bundle).prompts]


def _files(bundle: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}


def _meanwhile(monkeypatch: pytest.MonkeyPatch, *command: object) -> list[subprocess.Popen[str]]:
    """A command that is started while ``add_prompts`` verifies, and is waiting by the time that goes on."""
    real, started = adding.held_all, list[subprocess.Popen[str]]()

    def held_all(*given: Any) -> Any:
        words = [sys.executable, "-m", "rlaif_fast", *map(str, command)]
        started.append(subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True))
        assert started[0].stderr is not None
        told = iter(started[0].stderr.readline, "")
        assert any(line.startswith("waiting for another process that changes") for line in told), "it did not wait"
        return real(*given)

    monkeypatch.setattr(adding, "held_all", held_all)
    return started


def test_two_at_once_add_both(bundle: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one has no prompt for scores, and would take the head out that this one needs."""
    other = _meanwhile(monkeypatch, "prompt", "add", bundle, "--model", model, "--template", "harmless")
    add_prompts(bundle, find_source(str(model)), [SCORE], chat=False, progress=_quiet)
    assert other[0].wait() == 0
    assert _names(bundle) == ["summary", "helpful", SCORE.name, "harmless"]
    assert Rater.load(bundle).manifest.prompt.name == SCORE.name


def test_removing_waits_for_adding(bundle: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = _meanwhile(monkeypatch, "prompt", "remove", bundle, "helpful")
    add_prompts(bundle, find_source(str(model)), [SCORE], chat=False, progress=_quiet)
    assert other[0].wait() == 0
    assert _names(bundle) == ["summary", SCORE.name]


def test_a_new_export_waits_for_adding(
    bundle: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the prompt, which was verified through the old graph, would come into the new one."""
    fresh = ("export", model, "-o", bundle, "--force", "--template", "harmless", "--precision", "fp32")
    other = _meanwhile(monkeypatch, *fresh)
    add_prompts(bundle, find_source(str(model)), [SCORE], chat=False, progress=_quiet)
    assert other[0].wait() == 0
    assert _names(bundle) == ["harmless"]


def test_what_cannot_be_written_leaves_the_bundle_as_it_was(bundle: Path, model: Path) -> None:
    """Also where the file that is written anew is the one that is there."""
    before, source = _files(bundle), find_source(str(model))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for template, file in ((HELPFUL, "prompts/helpful-"), (SCORE, "head.onnx")):
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
        try:
            with pytest.raises(OSError, match="make room, or mend it, and give the same command again") as error:
                add_prompts(bundle, source, [template], chat=False, progress=_quiet, force=True)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert str(error.value.filename).startswith(str(bundle / file))
        assert _files(bundle) == before
    Judge.load(bundle, template="helpful")


@pytest.mark.parametrize("inside", ["", "prompts"])
def test_a_bundle_that_cannot_be_written_to_is_told_before_the_work(
    bundle: Path, model: Path, inside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked, real = bundle / inside, os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != locked and real(path, mode))  # root may write all
    for change in (
        lambda: add_prompts(bundle, find_source(str(model)), [SCORE], chat=False, progress=pytest.fail),
        lambda: remove_prompts(bundle, ["helpful"]),
    ):
        with pytest.raises(BundleError, match=rf"^{re.escape(str(locked))}: cannot be written to; allow it, or copy"):
            change()


def test_what_a_killed_process_left_is_taken_out(bundle: Path, tmp_path: Path) -> None:
    left = ["prompts/mine-0123abcd.safetensors", "prompts/mine-0123abcd.safetensors.writing", "head.onnx",
            "head.onnx.data", "manifest.json.writing"]  # fmt: skip
    for name in (*left, "prompts/notes.txt"):
        (bundle / name).write_text("half")
    remove_prompts(bundle, ["helpful"])
    assert not [name for name in left if (bundle / name).exists()]
    assert (bundle / "prompts/notes.txt").exists(), "whoever put it there knows why"
    Judge.load(bundle)


def test_a_folder_that_is_a_link_is_not_cleared(bundle: Path, model: Path, tmp_path: Path) -> None:
    elsewhere = Path(shutil.move(bundle / "prompts", tmp_path / "elsewhere"))
    os.symlink(elsewhere, bundle / "prompts")
    (elsewhere / "theirs-0123abcd.safetensors").write_text("theirs")
    remove_prompts(bundle, ["helpful"])
    assert (elsewhere / "theirs-0123abcd.safetensors").exists()

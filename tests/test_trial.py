"""A bundle in which prompts are tried is left as it was, whatever happens meanwhile."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rlaif_fast.bundle.folder import read_manifest
from rlaif_fast.errors import BundleError
from rlaif_fast.prompts.built_in import BUILT_IN, template_of
from rlaif_fast.prompts.template import SUMMARY
from rlaif_fast.selection.trial import Trial
from rlaif_fast_export.adding import add_prompts
from rlaif_fast_export.sources.source import find_source
from tests.test_bundle_prompts import export


@pytest.fixture
def model(tiny_folder: Callable[[str], Path]) -> Path:
    return tiny_folder("llama")


@pytest.fixture
def bundle(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RLAIF_FAST_HOME", str(tmp_path / "home"))
    return export(model, tmp_path / "bundle", SUMMARY)


def _names(bundle: Path) -> list[str]:
    return [one.name for one in read_manifest(bundle).prompts]


def _add(bundle: Path, model: Path, *names: str) -> None:
    templates = [template_of(BUILT_IN[name]) for name in names]
    add_prompts(bundle, find_source(str(model)), templates, chat=False, progress=lambda *_: None)


def test_stopped_while_prompts_are_made(bundle: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the other process has put in by then is taken out; what somebody else has put in stays."""

    def stopped(*_: Any, **__: Any) -> None:
        _add(bundle, model, "helpful", "harmless")
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "run", stopped)
    with pytest.raises(KeyboardInterrupt), Trial(bundle, None) as trial:
        trial.make(["helpful"], chat=False)
    assert _names(bundle) == ["summary", "harmless"]
    assert {file.name.rpartition("-")[0] for file in (bundle / "prompts").iterdir()} == {"summary", "harmless"}


def test_what_another_process_adds_meanwhile_stays(bundle: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = subprocess.run

    def run(*given: Any, **more: Any) -> Any:
        _add(bundle, model, "helpful")
        return real(*given, **more)

    monkeypatch.setattr(subprocess, "run", run)
    with Trial(bundle, None, model=str(model)) as trial:
        assert trial.make(["helpful", "harmless"], chat=False) == ["helpful", "harmless"]
        assert trial.left_out == []
    assert _names(bundle) == ["summary", "helpful"]


def test_one_selection_at_a_time(bundle: Path, tmp_path: Path) -> None:
    """Prompts that the first one takes out again are not taken for the bundle's own."""
    refused = pytest.raises(BundleError, match="bundle: another select is trying prompts in it; wait for it")
    with Trial(bundle, None), refused:
        Trial(bundle, None)
    with Trial(tmp_path / "home" / ".." / "bundle", None):
        pass


def test_an_exporter_that_was_killed_is_said(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=-9, stderr="  reading: 1 s\n"))
    with Trial(bundle, None) as trial:
        assert trial.make(["helpful"], chat=False) == []
        assert trial.left_out == ["left out: prompts that the bundle lacks; making them was ended with status -9"]

"""Another bundle of the model judges in a bundle's place only through the same prompt, whatever that is called."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rlaif_fast import Judge
from rlaif_fast.bundle.folder import read_manifest
from rlaif_fast.commands.tune import settled
from rlaif_fast.prompts.template import Template
from rlaif_fast.runtime.engine_choice import AUTO, Tried, Tuned, remember, resolve
from rlaif_fast.runtime.engines import DEFAULT
from rlaif_fast_export.adding import add_prompts
from rlaif_fast_export.sources.source import find_source

Folders = Callable[[str], Path]


def _asks(name: str, head: str) -> Template:
    return Template(name, head + "\n{instruction}\nA: {first}\nB: {second}\nAnswer: ", ("A", "B"))


@pytest.fixture
def both(
    tiny_int8: Folders, llama: Path, tiny_folder: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Path]:
    """An int8 bundle and the fp32 one of its model, with prompts that are the same, called the same, and neither."""
    monkeypatch.setenv("RLAIF_FAST_HOME", str(tmp_path / "home"))
    int8, fp32 = (Path(shutil.copytree(at, tmp_path / to)) for at, to in ((tiny_int8("llama"), "m-int8"),
                                                                          (llama, "m-fp32")))  # fmt: skip
    source = find_source(str(tiny_folder("llama")))
    same = _asks("same", "Which is better?")
    for folder, more in (
        (int8, [_asks("named", "Choose!"), _asks("own", "Say which!")]),
        (fp32, [_asks("named", "Is it A?")]),
    ):
        add_prompts(folder, source, [same, *more], chat=False, progress=lambda *_: None, max_delta=1.0)
    return int8, fp32


def _chosen(int8: Path, fp32: Path) -> Tuned:
    tried = [Tried(DEFAULT, str(folder), "", 1.0, 1.0, None, None, "") for folder in (int8, fp32)]
    return Tuned((*tried,), 1, read_manifest(fp32).digest, 1e-3)


def test_a_prompt_of_the_same_name_is_not_taken_for_the_same(both: tuple[Path, Path]) -> None:
    int8, fp32 = both
    remember(int8, _chosen(int8, fp32))
    first = read_manifest(int8).prompt.name
    assert [resolve(int8, AUTO, name)[0] for name in (first, "same", "named", "own")] == [fp32, fp32, int8, int8]
    assert Judge.load(int8, template="named").manifest.prompt.template == _asks("named", "Choose!")


def test_the_first_trial_says_whose_prompt_judges(
    both: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    int8, fp32 = both
    monkeypatch.setattr("rlaif_fast.bench.first_trial.try_both", lambda *_, **__: _chosen(int8, fp32))
    for name, judges, said in (
        ("same", fp32, f"`rlaif-fast tune {int8}` tries every engine)\n"),
        ("own", int8, f"it has no prompt own as {int8} has it, so that one judges\n"),
    ):
        shutil.rmtree(int8.parent / "home", ignore_errors=True)
        assert settled(int8, AUTO, 0, name) == (judges, DEFAULT)
        assert capfd.readouterr().err.endswith(said)

"""--precision auto: what a machine gains is measured before the long work, and what was chosen is said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from transformers import AutoModelForCausalLM

from rlaif_fast.bundle.folder import read_manifest
from rlaif_fast.cli import cli
from rlaif_fast.errors import FidelityError
from rlaif_fast_export import precision
from rlaif_fast_export.precision import Choice, choose_precision
from rlaif_fast_export.sources.products import products_of
from rlaif_fast_export.sources.source import find_source
from rlaif_fast_export.writing import verification
from tests.conftest import Run
from tests.families import FAMILIES


def quiet(what: str, share: float) -> None:
    pass


@pytest.mark.parametrize("name", FAMILIES)
def test_a_models_products_are_counted_without_its_weights(name: str, tiny_folder: Callable[[str], Path]) -> None:
    source = find_source(str(tiny_folder(name)))
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(source.config())
    model = source.model()
    embeddings = {id(model.get_input_embeddings().weight), id(model.get_output_embeddings().weight)}
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and id(p) not in embeddings and "wpe" not in n]
    assert sum(k * n * times for (k, n), times in products_of(empty).items()) == sum(p.numel() for p in matrices)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3"])
def test_a_gain_is_measured_in_both_precisions(name: str, tiny_folder: Callable[[str], Path]) -> None:
    source = find_source(str(tiny_folder(name)))
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(source.config())
    assert 0.05 < precision._gain(empty, source.config()) < 20


@pytest.mark.parametrize(("gain", "wanted"), [(1.24, "fp32"), (1.26, "int8")])
def test_a_quarter_is_worth_the_rounding(
    gain: float, wanted: str, tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_gain", lambda *_: gain)
    choice = choose_precision(find_source(str(tiny_folder("llama"))), quiet)
    assert choice.precision == wanted
    assert choice.why.startswith(f"precision: {wanted}") and f"{gain:.2f} times as fast" in choice.why


def test_where_memory_needs_int8_nothing_is_timed(
    tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_gain", lambda *_: pytest.fail("timed"))
    monkeypatch.setattr("rlaif_fast.runtime.memory.left", lambda: 100_000_000)
    choice = choose_precision(find_source(str(tiny_folder("llama"))), quiet)
    assert (
        choice.precision == "int8"
        and "judging in float32 would take 0.2 GB and 0.1 GB are left" in choice.why
        and choice.needed
    )


def test_the_command_says_what_it_chose(
    tiny_folder: Callable[[str], Path], tmp_path: Path, rlaif_fast: Callable[..., Run]
) -> None:
    done = rlaif_fast("export", tiny_folder("llama"), home=tmp_path)
    assert done.status == 0, done.err
    path = Path(done.out.splitlines()[-1])
    chosen = read_manifest(path).precision
    assert path.name == f"llama-{chosen}"
    (line,) = (line for line in done.err.splitlines() if line.startswith("precision: "))
    assert line.startswith(f"precision: {chosen}, ") and "times as fast" in line
    again = rlaif_fast("export", tiny_folder("llama"), "--precision", chosen, home=tmp_path)
    assert again.status == 1 and "exists already" in again.err


def _export(
    folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch, *options: str, needed: bool = False
) -> Result:  # fmt: skip
    """In this process, on a machine where int8 would gain, and where it is not faithful."""

    def refuse(*_: object) -> None:
        raise FidelityError("int8 deviates", "do something else")

    monkeypatch.setenv("RLAIF_FAST_HOME", str(home))
    choice = Choice("int8", "precision: int8, it gains", needed=needed)
    monkeypatch.setattr(precision, "choose_precision", lambda *_: choice)
    monkeypatch.setattr(verification, "require_faithful", refuse)
    return CliRunner().invoke(cli, ["export", str(folder), *options])


def test_an_int8_that_is_refused_becomes_fp32(
    tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = _export(tiny_folder("llama"), tmp_path, monkeypatch)
    assert done.exit_code == 0, done.output
    assert read_manifest(Path(done.stdout.splitlines()[-1])).precision == "fp32"
    assert "precision: fp32 instead, since int8 deviates\n" in done.stderr
    assert [folder.name for folder in (tmp_path / "bundles").iterdir()] == ["llama-fp32"]
    before = (tmp_path / "bundles/llama-fp32/manifest.json").stat().st_mtime_ns
    again = _export(tiny_folder("llama"), tmp_path, monkeypatch)  # it may be of another model of that name
    assert again.exit_code != 0 and "llama-fp32: exists already" in str(again.exception)
    assert (tmp_path / "bundles/llama-fp32/manifest.json").stat().st_mtime_ns == before


def test_where_memory_needs_int8_it_is_refused_and_nothing_else_made(
    tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = _export(tiny_folder("llama"), tmp_path, monkeypatch, needed=True)
    assert isinstance(done.exception, FidelityError) and not list((tmp_path / "bundles").iterdir())


def test_what_cannot_be_told_beforehand_is_no_traceback(
    tiny_folder: Callable[[str], Path], tmp_path: Path, rlaif_fast: Callable[..., Run]
) -> None:
    """Loading says what is wrong with a configuration, in one line."""
    folder = Path(shutil.copytree(tiny_folder("llama"), tmp_path / "bad"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_act": "nonsense"}))
    done = rlaif_fast("export", folder, home=tmp_path / "home")
    assert done.status == 1 and "Traceback" not in done.err
    assert "cannot be told beforehand" in done.err
    assert done.err.splitlines()[-1].startswith("error: bad: cannot be loaded (")


def test_an_int8_that_was_asked_for_is_refused(
    tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = _export(tiny_folder("llama"), tmp_path, monkeypatch, "--precision", "int8")
    assert isinstance(done.exception, FidelityError)
    assert not list((tmp_path / "bundles").iterdir())

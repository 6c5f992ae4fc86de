"""Python code in a model's folder: run only by who asks for it by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rlaif_fast_export.sources.source import find_source
from tests.conftest import Run

CODE = """
import os, pathlib
pathlib.Path(os.environ["WITNESS"]).write_text("ran")
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
class Config(LlamaConfig):
    model_type = "evil"
class Model(LlamaForCausalLM):
    config_class = Config
class Tokenizer(PreTrainedTokenizerFast):
    pass
"""


@pytest.fixture
def folder(tiny_folder: Callable[[str], Path], tmp_path: Path) -> Path:
    """A model whose configuration and tokenizer name code beside them."""
    path = Path(shutil.copytree(tiny_folder("llama"), tmp_path / "model"))
    (path / "evil.py").write_text(CODE)
    _change(path / "config.json", auto_map={"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"})
    _change(path / "tokenizer_config.json", auto_map={"AutoTokenizer": [None, "evil.Tokenizer"]})
    return path


def _change(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def _export(run: Callable[..., Run], folder: Path, tmp_path: Path, *more: str) -> Run:
    return run(
        "export", folder, "-o", tmp_path / "out", "--precision", "fp32", *more,
        WITNESS=str(tmp_path / "witness"), HF_HOME=str(tmp_path / "hf"), HF_HUB_OFFLINE="1",
    )  # fmt: skip


def test_a_known_architecture_is_exported_without_its_code(
    folder: Path, tmp_path: Path, rlaif_fast: Callable[..., Run]
) -> None:
    done = _export(rlaif_fast, folder, tmp_path)
    assert done.status == 0, done.err
    assert not (tmp_path / "witness").exists()


def test_an_architecture_that_is_code_is_refused(folder: Path, tmp_path: Path, rlaif_fast: Callable[..., Run]) -> None:
    _change(folder / "config.json", model_type="evil")
    done = _export(rlaif_fast, folder, tmp_path)
    assert (done.status, done.out) == (1, "")
    assert done.err.splitlines()[-1] == (
        "error: model: comes with Python code of its own, which was not run; read it, and give --trust-remote-code to"
        " run it"
    )
    assert not (tmp_path / "witness").exists() and not (tmp_path / "out").exists()


def test_it_runs_for_who_asks(folder: Path, tmp_path: Path, rlaif_fast: Callable[..., Run]) -> None:
    """The architecture is none of ours all the same."""
    _change(folder / "config.json", model_type="evil")
    done = _export(rlaif_fast, folder, tmp_path, "--trust-remote-code")
    assert (tmp_path / "witness").read_text() == "ran", done.err
    assert done.status == 1 and "architecture 'evil' is not a listed one" in done.err


def test_every_kind_of_source_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    for model in ("owner/name", str(tmp_path)):
        assert not find_source(model).trusted and find_source(model, trusted=True).trusted

"""Tokenizers of folders: tokenizer.json's ids, whatever version of transformers wrote the file beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rlaif_fast import ExportError
from rlaif_fast_export.sources.source import find_source
from tests.families import save_tiny

TEXT = "The quick <|im_end|> brown\n fox"


@pytest.mark.parametrize("kind", ["bytes", "metaspace"])
@pytest.mark.parametrize(
    "edit",
    [
        {"tokenizer_class": "TokenizersBackend"},
        {"extra_special_tokens": ["<|im_end|>"]},
        {"tokenizer_class": "TokenizersBackend", "extra_special_tokens": ["<|im_end|>"], "backend": "tokenizers"},
        {"tokenizer_class": "LlamaTokenizer", "add_prefix_space": True},
        {"tokenizer_class": "LlamaTokenizerFast", "add_prefix_space": False},
    ],
)
def test_the_ids_are_those_of_tokenizer_json(edit: dict[str, Any], kind: str, tmp_path: Path) -> None:
    folder = save_tiny("llama", tmp_path / "model", kind, chat="chatml")
    wanted = find_source(str(folder)).tokenizer()
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | edit), encoding="utf-8")
    found = find_source(str(folder)).tokenizer()
    assert found(TEXT)["input_ids"] == wanted(TEXT)["input_ids"]
    assert found.chat_template == wanted.chat_template


def test_no_tokenizer_is_said(tmp_path: Path) -> None:
    folder = save_tiny("llama", tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ExportError, match=r"has no tokenizer\.json; take the one of the original model"):
        find_source(str(folder)).tokenizer()

"""Tokens without a row in the embedding are found at export, where one can come out; where none can, they stay."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from rlaif_fast import ExportError
from rlaif_fast.prompts.template import SUMMARY, Template
from rlaif_fast.prompts.tokenizer import PromptTokenizer
from rlaif_fast_export.prompts.fitted import fit
from rlaif_fast_export.prompts.token_ids import BareTokenizer, require_rows, require_text
from rlaif_fast_export.sources.source import find_source
from tests.families import VOCABULARY, save_tiny

Change = Callable[[dict[str, Any]], None]


def both(content: str) -> tuple[BareTokenizer, PromptTokenizer]:
    return BareTokenizer.of(content, "tiny"), PromptTokenizer(Tokenizer.from_str(content))


def changed(tmp_path: Path, change: Change, template: Template = SUMMARY, tokenizer: str = "bytes") -> None:
    """Fit a template to a tiny model, its tokenizer.json changed."""
    folder = save_tiny("llama", tmp_path / "model", tokenizer)
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    change(content)
    file.write_text(json.dumps(content), encoding="utf-8")
    fit(find_source(str(folder)), template, chat=False)


def added(name: str, **flags: bool) -> Change:
    def change(content: dict[str, Any]) -> None:
        plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
        content["added_tokens"].append({"id": VOCABULARY, "content": name, **plain, **flags})

    return change


def begins_with(number: int) -> Change:
    def change(content: dict[str, Any]) -> None:
        content["post_processor"]["special_tokens"]["<s>"]["ids"] = [number]

    return change


def entry(token: str, merge: list[str] | None = None) -> Change:
    def change(content: dict[str, Any]) -> None:
        content["model"]["vocab"][token] = VOCABULARY
        content["model"]["merges"] += [merge] if merge else []

    return change


@pytest.mark.parametrize("number", [VOCABULARY, 9000])
def test_what_is_put_around_a_text(number: int, tmp_path: Path) -> None:
    with pytest.raises(
        ExportError, match=rf"^model: token {number:,} \(.*puts around every text, is none of.* 400; use"
    ):
        changed(tmp_path, begins_with(number))


def test_what_a_template_names(tmp_path: Path) -> None:
    own = Template("own", "{token:<extra>}{instruction}{first}{second}=")
    with pytest.raises(
        ExportError, match=r"^model: token 400 \('<extra>'\), which its tokenizer has for this template,"
    ):
        changed(tmp_path, added("<extra>"), own)


@pytest.mark.parametrize("special", [True, False])
def test_an_added_token_that_no_text_gives_may_stay(special: bool, tmp_path: Path) -> None:
    """Many models have one for padding."""
    changed(tmp_path, added("<extra>", special=special))


@pytest.mark.parametrize(
    ("change", "token"),
    [
        (added("\t\t"), r"'\\t\\t'"),
        (entry("é"), "'é'"),  # of the alphabet
        (entry("zq", ["z", "q"]), "'zq'"),
    ],
)
def test_what_a_text_can_give(change: Change, token: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=rf"^model: token 400 \({token}\), which its tokenizer can read in a text,"):
        changed(tmp_path, change)


def test_an_entry_that_nothing_merges_to_may_stay(tmp_path: Path) -> None:
    changed(tmp_path, entry("[PAD400]"))


def test_every_word_counts_where_whole_words_are_looked_up() -> None:
    own = json.dumps({
        "version": "1.0", "added_tokens": [],
        "model": {"type": "WordLevel", "vocab": {"a": 0, "word": 7}, "unk_token": "a"},
    })  # fmt: skip
    bare, prompts = both(own)
    require_rows(bare, prompts, [0], 8)
    with pytest.raises(ExportError, match=r"^tiny: token 7 \('word'\)"):
        require_rows(bare, prompts, [0], 7)


def unigram(*names: str) -> str:
    pieces = [["<unk>", 0.0], *([name, 0.0] for name in names), *([chr(c), -5.0] for c in (*range(33, 127), 0x2581))]
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return json.dumps({
        "version": "1.0", "model": {"type": "Unigram", "unk_id": 0, "vocab": pieces},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True},
        "added_tokens": [{"id": i, "content": t, "special": True, **flags} for i, t in enumerate(("<unk>", "</s>"))],
    })  # fmt: skip


def test_a_control_token_that_letters_make() -> None:
    with pytest.raises(ExportError, match=r"^tiny: its tokenizer reads the letters '</s>' in a text as"):
        require_text(*both(unigram("</s>")))

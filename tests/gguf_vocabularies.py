"""GGUF files that hold a tokenizer, written as llama.cpp's converter writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gguf import GGUFWriter, TokenType
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

# Everything a splitting can be told apart by: digits, blank lines, lists, code, capitals, scripts, blanks, odd blanks.
PARTS = [
    "The quick brown fox", " jumps", " ", "  ", "    ", "\n", "\n\n", "\n\n\n", "\t", "\t\t", "1", "23", "2024",
    "1234567", "3.14", " 1. ", "\n2. ", "\n\n3) ", "def f(x):\n    return x**2\n", "日本語", "漢字かな", "한국어", "😀",
    "👩‍🔬", "é", "Ünïcode", "don't", "WE'LL", "I'm", "CamelCase", "XMLHttp", "snake_case", "http://a.b/c?d=1",
    "<|im_end|>", "<think>", "—", "“quoted”", "...", "!!!", "$5.00", "٣٤", "x²", "½", "\r\n", "---\n",
    "| a | b |\n", "\u00a0", " the", " The", "'s", "s", "-> ", "://", "/* c */\n", "résumé", "Ελλάδα", "Привет", " мир",
]  # fmt: skip


def trained(size: int = 1500, added: tuple[str, ...] = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")) -> Tokenizer:
    """Byte-level BPE whose merges know no splitting: what a splitting leaves of them shows which it was."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    lines = ["".join(PARTS[(7 * i + 3 * j * j) % len(PARTS)] for j in range(12)) for i in range(300)]
    tokenizer.train_from_iterator(lines, trainer)
    written = json.loads(tokenizer.to_str())
    del written["model"]["merges"][400::5]  # tokens that merging does not come to
    tokenizer = Tokenizer.from_str(json.dumps(written))
    tokenizer.add_special_tokens(list(added))
    return tokenizer


def write_bpe(path: Path, tokenizer: Tokenizer, pre: str | None, architecture: str = "llama", **keys: Any) -> Path:
    """A byte-level BPE as a GGUF file. ``keys``: more of ``tokenizer.ggml``, whatever they are."""
    written = json.loads(tokenizer.to_str())
    added = {token["content"]: token["special"] for token in written["added_tokens"]}
    tokens = [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())]
    kinds = {True: TokenType.CONTROL, False: TokenType.USER_DEFINED, None: TokenType.NORMAL}
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in written["model"]["merges"]]
    more = {"model": "gpt2", "pre": pre, "tokens": tokens, "merges": merges}
    return write(path, architecture, {**more, "token_type": [int(kinds[added.get(t)]) for t in tokens], **keys})


def write(path: Path, architecture: str, keys: dict[str, Any]) -> Path:
    """A GGUF file of those keys of ``tokenizer.ggml``, in the types llama.cpp wants; None leaves a key out."""
    file = GGUFWriter(path, architecture)
    for name, value in keys.items():
        key = name if name.startswith("tokenizer.") else f"tokenizer.ggml.{name}"
        if isinstance(value, bool):
            file.add_bool(key, value)
        elif isinstance(value, int):
            file.add_uint32(key, value)
        elif isinstance(value, str):
            file.add_string(key, value)
        elif value is not None:
            file.add_array(key, value)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.close()
    return path

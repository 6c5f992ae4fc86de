"""The readers of tokenizers, to be fuzzed (see ``__main__``): what the file says, or one line that refuses it."""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, pre_tokenizers

from rlaif_fast.errors import BundleError, ExportError, TemplateError
from rlaif_fast.prompts.template import SUMMARY
from rlaif_fast.prompts.tokenizer import PromptTokenizer
from rlaif_fast_export.prompts.fitted import fit
from rlaif_fast_export.sources.gguf_file import open_gguf
from rlaif_fast_export.sources.gguf_tokenizer import gguf_tokenizer
from rlaif_fast_export.sources.source import find_source
from tests.families import VOCABULARY, save_tiny
from tests.gguf_vocabularies import PARTS, trained, write_bpe

_FOLDER = tempfile.TemporaryDirectory()
_FILE = "tokenizer.json"
_VALUES: tuple[Any, ...] = (None, True, -1, 0, 9000, 0.5, "", "x", [], [4], {}, {"type": "BPE"}, {"type": "ByteLevel"})


@cache
def _sound() -> Path:
    return save_tiny("llama", Path(_FOLDER.name) / "sound")


@cache
def _twin() -> Tokenizer:
    tokenizer = trained()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


def check(data: bytes) -> None:
    """``data`` seeds one damage, of a tokenizer.json or of a .gguf file's keys, and a text."""
    rng = random.Random(data)
    text = "".join(part for part in rng.choices(PARTS, k=8) if not part.startswith("<"))
    with tempfile.TemporaryDirectory() as scratch:
        damage = _gguf if rng.random() < 0.4 else _folder
        try:
            damage(rng, Path(scratch) / "m", text)
        except (ExportError, TemplateError, BundleError) as error:
            said = str(error)
            assert said.startswith(("m: ", f"{scratch}/m: ", "template ", "the tokenizer ")), said
            assert len(said.splitlines()) == 1 and len(said) < 1000, said


def _folder(rng: random.Random, model: Path, text: str) -> None:
    """The ids are those of the file read by the library alone, and each has a row."""
    shutil.copytree(_sound(), model)
    kind = rng.choice(["cut", "bit", "key", "key", "id", "id"])
    content = (model / _FILE).read_bytes()
    if kind == "cut":
        content = content[: rng.randrange(len(content))]
    elif kind == "bit":
        changed = bytearray(content)
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        content = bytes(changed)
    else:
        written = json.loads(content)
        kind += f" {_change(rng, written) if kind == 'key' else _renumber(rng, written)}"
        content = json.dumps(written).encode()
    (model / _FILE).write_bytes(content)
    ids = fit(find_source(str(model)), SUMMARY, chat=False).tokenizer.encode(text)
    assert ids == Tokenizer.from_buffer(content).encode(text).ids, f"{kind}: other tokens of {text!r}"
    assert all(0 <= i < VOCABULARY for i in ids), f"{kind}: a token without a row"


def _change(rng: random.Random, written: dict[str, Any]) -> str:
    place: Any = written
    path = []
    while isinstance(place, dict) and place:
        path.append(rng.choice(sorted(place)))
        if not isinstance(place[path[-1]], dict) or rng.random() < 0.5:
            break
        place = place[path[-1]]
    if path[-1] == "add_prefix_space":  # transformers asks tokenizer_config.json for that one
        return "nothing"
    if rng.random() < 0.4:
        del place[path[-1]]
    else:
        place[path[-1]] = rng.choice(_VALUES)
    return ".".join(path)


def _renumber(rng: random.Random, written: dict[str, Any]) -> str:
    """Give a token a number that the model has no row for."""
    beyond = VOCABULARY + rng.choice([0, 1, 7000])
    where = rng.choice(["vocab", "added", "new", "around"])
    if where == "vocab":
        written["model"]["vocab"][rng.choice(sorted(written["model"]["vocab"]))] = beyond
    elif where == "added":
        rng.choice(written["added_tokens"])["id"] = beyond
    elif where == "new":
        written["added_tokens"].append({**written["added_tokens"][0], "id": beyond, "content": "<extra>"})
    else:
        written["post_processor"]["special_tokens"]["<s>"]["ids"] = [beyond]
    return f"{where} {beyond}"


def _gguf(rng: random.Random, path: Path, text: str) -> None:
    """The ids are those of the tokenizer.json it was written from; what stands around a text is a key's to say."""
    twin = _twin()
    tokens = [twin.id_to_token(i) for i in range(twin.get_vocab_size())]
    damage: dict[str, Any] = rng.choice([
        {"pre": rng.choice(["gpt2", "", "llama", "smol", "GPT-2"])},
        {"model": rng.choice(["bert", "t5", "rwkv", "", "llama"])},
        {"tokens": tokens[: rng.randrange(len(tokens))]},
        {"tokens": [*tokens[:-1], tokens[0]]},
        {"tokens": None}, {"merges": None}, {"token_type": [1] * rng.randrange(1, len(tokens))},
        {"bos_token_id": rng.choice([len(tokens), 99_999]), "add_bos_token": True},
        {"add_bos_token": True}, {"add_eos_token": True}, {"eos_token_id": len(tokens) + 3},
        {},
    ])  # fmt: skip
    cut = rng.random() < 0.2
    write_bpe(path, twin, damage.pop("pre", "gpt-2"), **damage)
    if cut:
        content = path.read_bytes()
        path.write_bytes(content[: rng.randrange(len(content))])
    made = gguf_tokenizer(open_gguf("m", path), []).backend_tokenizer
    found = PromptTokenizer(Tokenizer.from_str(made.to_str())).encode(text)
    assert found == twin.encode(text, add_special_tokens=False).ids, f"gguf {damage}, cut {cut}: other tokens"

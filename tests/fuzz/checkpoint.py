"""The readers of models, to be fuzzed (see ``__main__``): the model as it was, or one line that refuses it."""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from rlaif_fast.errors import ExportError
from rlaif_fast_export.sources.source import find_source
from tests.families import save_tiny, tiny_model
from tests.gguf_files import keys_of, tensors_of, write_gguf
from tests.test_gguf import logits

_FOLDER = tempfile.TemporaryDirectory()
_WEIGHTS, _CONFIG = "model.safetensors", "config.json"
_VALUES = (None, True, False, -1, 0, 1, 3, 0.5, float("nan"), "", "silu", "4", [], [4], {}, {"factor": 2.0})


@cache
def _sound() -> Path:
    return save_tiny("llama", Path(_FOLDER.name) / "sound")


@cache
def _right() -> torch.Tensor:
    return logits(tiny_model("llama"))


def check(data: bytes) -> None:
    """``data`` seeds one damage, of a folder or a .gguf file."""
    rng = random.Random(data)
    with tempfile.TemporaryDirectory() as scratch:
        damage: Callable[[random.Random, Path], tuple[Path, str]] = rng.choice([_folder, _folder, _gguf])
        model, how = damage(rng, Path(scratch))
        try:
            found = logits(find_source(str(model)).model())
        except ExportError as error:
            said = str(error)
        else:
            assert torch.allclose(found, _right(), atol=1e-4), f"{how}: another model"
            return
    assert said.startswith("m: ") and len(said.splitlines()) == 1 and len(said) < 1000, f"{how}: {said}"


def _folder(rng: random.Random, scratch: Path) -> tuple[Path, str]:
    model = Path(shutil.copytree(_sound(), scratch / "m"))
    kind = rng.choice(["tensors", "tensors", "cut", "header", "config", "config", "json"])
    if kind == "tensors":
        tensors = load_file(model / _WEIGHTS)
        how = _change(rng, tensors)
        save_file({name: value.contiguous() for name, value in tensors.items()}, model / _WEIGHTS)
    elif kind == "cut":
        how = _cut(rng, model / rng.choice([_WEIGHTS, _CONFIG]))
    elif kind == "header":  # a bit of what says where tensors are
        content = bytearray((model / _WEIGHTS).read_bytes())
        at = rng.randrange(8 + int.from_bytes(content[:8], "little"))
        content[at] ^= 1 << rng.randrange(8)
        (model / _WEIGHTS).write_bytes(bytes(content))
        how = f"bit at {at}"
    else:
        written = json.loads((model / _CONFIG).read_text())
        how = _change_keys(rng, written) if kind == "config" else "another file"
        (model / _CONFIG).write_text(json.dumps(written if kind == "config" else rng.choice(_VALUES)))
    return model, f"{kind}: {how}"


def _gguf(rng: random.Random, scratch: Path) -> tuple[Path, str]:
    twin, path = tiny_model("llama"), scratch / "m.gguf"
    kind, keys, tensors = rng.choice(["tensors", "keys", "cut"]), keys_of(twin.config), tensors_of(twin)
    how = ""
    if kind == "tensors":
        made: dict[str, Any] = {name: torch.from_numpy(value.copy()) for name, value in tensors.items()}
        head = made.pop("output.weight")  # without it the format means the embedding: nobody can tell
        how = _change(rng, made)
        made["output.weight"] = head
        changed = {name: value.numpy() for name, value in made.items()}
        write_gguf(path, twin, tensors=dict.fromkeys(tensors) | changed)
    elif kind == "keys":
        key = rng.choice(sorted(keys))
        new = rng.choice([None, key + "_", f"rope.{key}"])
        how = f"{key} becomes {new}"
        write_gguf(path, twin, keys={key: None} | ({new: keys[key]} if new else {}))
    else:
        write_gguf(path, twin)
        how = _cut(rng, path)
    return path, f"gguf {kind}: {how}"


def _change(rng: random.Random, tensors: dict[str, Any]) -> str:
    """Damage some tensor in a way that can be told."""
    name = rng.choice(sorted(tensors))
    kind = rng.choice(["drop", "rename", "layer", "cut", "flat", "nan", "prefix", "more"])
    value = tensors[name]
    if kind == "drop":
        del tensors[name]
    elif kind == "rename":
        tensors[rng.choice([f"{name}s", name.replace("weight", "bias"), f"x.{name}", name[:-1]])] = tensors.pop(name)
    elif kind == "layer":  # one in the middle
        for other in [n for n in tensors if ".1." in n]:
            del tensors[other]
    elif kind == "cut":
        tensors[name] = value[: len(value) // 2].clone()
    elif kind == "flat":
        tensors[name] = value.reshape(1, -1).clone()
    elif kind == "nan":
        value.view(-1)[rng.randrange(value.numel())] = rng.choice([np.nan, np.inf, -np.inf])
    elif kind == "prefix":
        prefix = rng.choice(["module.", "model.", "base_model.model.", "_orig_mod."])
        for other in list(tensors):
            tensors[prefix + other] = tensors.pop(other)
    else:
        tensors[rng.choice(["score.weight", "v_head.weight", f"{name}.lora_A", f"{name}_scale"])] = torch.ones(1, 64)
    return f"{kind} {name}"


def _change_keys(rng: random.Random, written: dict[str, Any]) -> str:
    """Take a key out, misspell it, or give it a value of another kind."""
    key = rng.choice(sorted(set(written) - {"model_type"}))
    kind, value = rng.choice(["drop", "misspell", "other"]), written.pop(key)
    if kind == "misspell":
        written[key + rng.choice(["s", "x", "_"])] = value
    elif kind == "other":
        others = [v for v in _VALUES if isinstance(v, str | list | dict) and type(v) is not type(value)]
        written[key] = rng.choice(others)
    return f"{kind} {key}: {written.get(key)!r}"


def _cut(rng: random.Random, path: Path) -> str:
    size = rng.randrange(path.stat().st_size)
    path.write_bytes(path.read_bytes()[:size])
    return f"{path.name} cut to {size}"

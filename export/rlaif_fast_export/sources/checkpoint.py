"""The tensors of a Hugging Face folder or repository, as they stand in its files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers.utils.hub import cached_file

from rlaif_fast.errors import ExportError
from rlaif_fast_export.sources.failures import listed, refused

# In the order in which transformers looks for them.
_NAMES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_POINTER = b"version https://git-lfs."
_ZIP = b"PK\x03\x04"
_HEADS = re.compile(
    r"(score|scores|classifier|(v|value|reward|regression|classification|rm)_?head|reward_model)\.(safetensors|bin|pth?)"
)
_AGAIN = "; download the model again"
_FLOATS = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}  # safetensors' names


@dataclass(frozen=True)
class Checkpoint:
    """Where each tensor of a model's files is.

    Attributes:
        name: the model's, for messages.
        files: tensor name -> the file that holds it.
        dtypes: tensor name -> what its numbers are; None where that is no floating-point number of 16 bits or more.
    """

    name: str
    files: dict[str, Path]
    dtypes: dict[str, torch.dtype | None]

    @property
    def whole_numbers(self) -> list[str]:
        """Tensors of integers, or of other things than floating-point numbers."""
        return [name for name, dtype in self.dtypes.items() if dtype is None]

    def read(self, tensors: Iterable[str]) -> Iterator[tuple[str, torch.Tensor]]:
        """Tensors by name, float32; each file is opened once."""
        wanted: dict[Path, list[str]] = {}
        for name in tensors:
            wanted.setdefault(self.files[name], []).append(name)
        for file, names in wanted.items():
            with refused(f"{self.name}: {file.name} cannot be read", _AGAIN):
                yield from ((name, value.float()) for name, value in _read(file, names))


def open_checkpoint(name: str, path: str, arguments: dict[str, str]) -> Checkpoint:
    """The checkpoint that transformers would load from ``path``, a folder or hub id.

    Raises ExportError where a file is missing, cut off, or a Git LFS pointer, or holds other tensors than its index
    says.
    """

    def found(file: str) -> Path | None:
        at = cached_file(path, file, _raise_exceptions_for_missing_entries=False, **arguments)
        return Path(at) if at else None

    with refused(f"{name}: its weights cannot be found"):
        main = next(filter(None, map(found, _NAMES)), None)
        heads = sorted(f.name for f in Path(path).iterdir() if _HEADS.fullmatch(f.name)) if Path(path).is_dir() else []
    if heads:
        raise ExportError(
            f"{name}: beside it is the head of a reward, value or classification model ({listed(heads)}); export a"
            " causal language model, or take that file out if the language model alone is meant"
        )
    if main is None:
        raise ExportError(f"{name}: no weights ({' or '.join(_NAMES)})")
    require_content(name, main)
    if main.suffix != ".json":
        return _gathered(name, [main])
    with refused(f"{name}: {main.name} cannot be read", _AGAIN):
        index = json.loads(main.read_bytes())["weight_map"]
        parts = sorted(set(index.values()))
        shards = {part: found(part) for part in parts}
    lacking = [part for part, file in shards.items() if file is None]
    if lacking:
        raise ExportError(
            f"{name}: {len(lacking)} of {len(parts)} parts named in {main.name} are missing: {listed(lacking)}{_AGAIN}"
        )
    gathered = _gathered(name, [file for file in shards.values() if file])
    wrong = sorted(set(index) ^ set(gathered.files))
    if wrong:
        raise ExportError(f"{name}: {main.name} and the parts it names differ in tensors: {listed(wrong)}{_AGAIN}")
    return gathered


def require_content(name: str, file: Path) -> None:
    """Raise ExportError where ``file`` is empty or only a Git LFS pointer."""
    with refused(f"{name}: {file.name} cannot be read"):
        head = file.open("rb").read(len(_POINTER))
    if head == _POINTER:
        raise ExportError(
            f"{name}: {file.name} is a Git LFS pointer, not the file itself; run git lfs pull in its folder"
        )
    if not head:
        raise ExportError(f"{name}: {file.name} is empty{_AGAIN}")


def _gathered(name: str, files: list[Path]) -> Checkpoint:
    found: dict[str, Path] = {}
    dtypes: dict[str, torch.dtype | None] = {}
    for file in files:
        require_content(name, file)
        with refused(f"{name}: {file.name} is damaged or incomplete", _AGAIN):
            for tensor, dtype in _tensors(file):
                if tensor in found:
                    raise ExportError(f"{name}: {tensor} is in two files, {found[tensor].name} and {file.name}")
                found[tensor], dtypes[tensor] = file, dtype
    return Checkpoint(name, found, dtypes)


def _tensors(file: Path) -> Iterator[tuple[str, torch.dtype | None]]:
    """Names and dtypes, None for other things than floating-point numbers."""
    if file.suffix == ".safetensors":
        with safe_open(file, "pt") as opened:  # says where it is shorter than its header tells
            for name in opened.keys():  # noqa: SIM118 (it is no dict)
                yield name, _FLOATS.get(opened.get_slice(name).get_dtype())
        return
    for name, value in _unpickled(file).items():
        if not isinstance(value, torch.Tensor):
            raise ValueError(f"{name} is no tensor but {type(value).__name__}")
        yield str(name), value.dtype if value.dtype in _FLOATS.values() else None


def _read(file: Path, names: list[str]) -> Iterator[tuple[str, torch.Tensor]]:
    if file.suffix == ".safetensors":
        with safe_open(file, "pt") as opened:
            yield from ((name, opened.get_tensor(name)) for name in names)
    else:
        found = _unpickled(file)
        yield from ((name, found[name]) for name in names)


def _unpickled(file: Path) -> Any:
    with file.open("rb") as opened:
        mapped = opened.read(len(_ZIP)) == _ZIP  # files of old versions are no archives, and cannot be mapped
    return torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)

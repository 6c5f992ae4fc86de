"""A .gguf file as it stands: its metadata and its tensors, and what of them a loaded model must have."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rlaif_fast.errors import ExportError
from rlaif_fast_export.sources.checkpoint import require_content
from rlaif_fast_export.sources.completeness import check_finite, check_report
from rlaif_fast_export.sources.failures import refused
from rlaif_fast_export.sources.gguf_reader import GgufReader, lent
from rlaif_fast_export.sources.lane import gguf_names

ROPE_FACTORS = "rope_freqs.weight"  # what each rotary frequency is divided by: Llama 3's scaling, as a tensor
_HEAD = "output.weight"


@dataclass(frozen=True)
class GgufFile:
    """One file, whole.

    Attributes:
        name: the model's, for messages.
        keys: metadata but the tokenizer's: key -> number, text, boolean or list.
        tensors: name -> gguf's ReaderTensor.
        reader: of the file.
    """

    name: str
    keys: dict[str, Any]
    tensors: dict[str, Any]
    reader: GgufReader

    def tokenizer(self) -> dict[str, Any]:
        """The tokenizer's metadata, as ``keys``. Raises what the reader does where they are damaged."""
        return {name: field.contents() for name, field in self.reader.fields.items() if name.startswith("tokenizer.")}

    @cached_property
    def architecture(self) -> str:
        """llama.cpp's name of it."""
        return str(self.keys.get("general.architecture", ""))

    @property
    def licence(self) -> str | None:
        """What the file states."""
        found = self.keys.get("general.license")
        return None if found is None else str(found)

    @property
    def tied(self) -> bool:
        """A file without a head means the embedding's weight, by the format's definition."""
        return _HEAD not in self.tensors


def open_gguf(name: str, path: Path) -> GgufFile:
    """Raises ExportError where ``path`` is damaged, cut off, one part of several, or no causal LM."""
    require_content(name, path)
    with refused(f"{name}: {path.name} is damaged or incomplete", "; download the file again"):
        reader = GgufReader(path)
        keys = {
            key: field.contents() for key, field in reader.fields.items() if not key.startswith(("tokenizer.", "GGUF."))
        }
        tensors = {tensor.name: tensor for tensor in reader.tensors}
    parts = keys.get("split.count", 0)
    if not isinstance(parts, int):
        raise ExportError(f"{name}: {path.name} says split.count = {parts!r}, no number; download the file again")
    if parts > 1:
        raise ExportError(
            f"{name}: {path.name} is one of {parts} parts; join them first: llama-gguf-split --merge FIRST_PART OUTPUT"
        )
    if keys.get("general.type", "model") != "model":
        raise ExportError(
            f"{name}: {path.name} holds {keys['general.type']!r}, not a model; merge it into its model first"
        )
    return GgufFile(name, keys, tensors, reader)


def check_gguf(model: Any, report: dict[str, Any], file: GgufFile) -> None:
    """As ``check_complete`` of ``completeness``; raises ExportError for every tensor left out."""
    with lent(file.reader):
        known = {*gguf_names(model, file.architecture), _HEAD}
    unknown = sorted(set(file.tensors) - known - {ROPE_FACTORS})
    check_report(model, {**report, "unexpected_keys": unknown}, file.name, file.tensors)
    check_finite(model, file.name)


def scale_rotary(model: Any, file: GgufFile) -> None:
    """Divide the rotary frequencies by the file's factors, where it has some. Raises ExportError."""
    from gguf import dequantize

    tensor = file.tensors.get(ROPE_FACTORS)
    if tensor is None:
        return
    factors = torch.from_numpy(np.array(dequantize(tensor.data, tensor.tensor_type), np.float32).reshape(-1))
    rotary = [m for n, m in model.named_modules() if n.endswith("rotary_emb")]
    if file.architecture != "llama" or len(rotary) != 1 or rotary[0].inv_freq.shape != factors.shape:
        raise ExportError(
            f"{file.name}: {ROPE_FACTORS} [{len(factors)}] does not fit the model's rotary positions; export the"
            " original model instead of the .gguf file"
        )
    if not (factors.isfinite() & (factors > 0)).all():
        raise ExportError(f"{file.name}: {ROPE_FACTORS} is not finite and positive; export a sound copy")
    rotary[0].inv_freq = rotary[0].inv_freq / factors

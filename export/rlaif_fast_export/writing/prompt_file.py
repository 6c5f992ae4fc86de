"""A prompt's file: what the graph is fed for it, of a model and a prefix that is baked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from rlaif_fast.bundle.plain_file import write_plain
from rlaif_fast.bundle.prompt import (
    ENDING,
    LABEL_BIAS,
    LABEL_OFFSET,
    LABEL_ROWS,
    PROMPTS,
    Arrays,
    BundlePrompt,
    FileEntry,
)
from rlaif_fast_export.graph.head_form import HeadForm
from rlaif_fast_export.graph.prefix import LayerPrefix
from rlaif_fast_export.graph.weights import LARGEST_HALF
from rlaif_fast_export.sources.heads import head_of


@dataclass(frozen=True)
class PromptArrays:
    """What a prompt's file holds.

    Attributes:
        rows: of the head, float32 [L, D]: one a label, or a reward model's one.
        bias: of the head, float32 [L].
        ending: last tokens that are computed more precisely; None for a graph that computes all alike.
        shift: of log(p1/p2), or of a reward, by int8, which is taken out.
    """

    rows: np.ndarray
    bias: np.ndarray
    prefix: Sequence[LayerPrefix]
    ending: int | None = None
    shift: float = 0.0

    @classmethod
    def of(cls, lm: Any, form: HeadForm, label_ids: Sequence[int], prefix: Sequence[LayerPrefix]) -> PromptArrays:
        """Of a model, its head's rows as they are stored, times what the model multiplies its logits by."""
        head, rows, scale = head_of(lm), list(label_ids), np.float32(form.scale)
        bias = getattr(head, "bias", None)
        return cls(
            head.weight.detach()[rows].float().numpy() * scale,
            np.zeros(len(rows), np.float32) if bias is None else bias.detach()[rows].float().numpy() * scale,
            prefix,
        )

    def shifted(self, shift: float) -> PromptArrays:
        """With so much more of ``shift``."""
        return replace(self, shift=self.shift + shift)

    def arrays(self) -> Arrays:
        """By the names of the graph's inputs."""
        offset = np.zeros(len(self.rows), np.float32)
        if len(offset) == 1:
            offset[0] = -self.shift
        elif self.shift:
            offset[:2] = -self.shift / 2, self.shift / 2
        found: Arrays = {LABEL_ROWS: self.rows, LABEL_BIAS: self.bias, LABEL_OFFSET: offset}
        if self.ending is not None:
            found[ENDING] = np.array([self.ending], np.int64)
        for number, layer in enumerate(self.prefix):
            found |= {f"prefix.{number}.key": layer.key, f"prefix.{number}.value": layer.value}
        return found

    def content(self, *, half: bool) -> bytes:
        """Of the file; ``half``: keys and values in float16.

        Beside int8 products that is a hundredth of their error, and half the file.
        """
        found = self.arrays()
        prefix = {n: array for n, array in found.items() if n.startswith("prefix.")}
        if half and all(float(np.abs(array).max()) < LARGEST_HALF for array in prefix.values()):
            found |= {n: array.astype(np.float16) for n, array in prefix.items()}
        return save({n: np.ascontiguousarray(array) for n, array in found.items()})


def entry_of(content: bytes) -> FileEntry:
    """The manifest's entry of a file with that content."""
    return FileEntry(hashlib.sha256(content).hexdigest(), len(content))


def write_prompt(folder: Path, prompt: BundlePrompt, content: bytes) -> None:
    """Write a prompt's file into the bundle ``folder``."""
    (folder / PROMPTS).mkdir(exist_ok=True)
    write_plain(folder / prompt.path, content)

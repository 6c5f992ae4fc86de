"""A prompt of a bundle: its part of the manifest, and its file, which holds the arrays that the graph is fed for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load

from rlaif_fast.bundle.agreement import MarginBin
from rlaif_fast.bundle.typed_json import record, typed
from rlaif_fast.errors import BundleError
from rlaif_fast.prompts import reward_template
from rlaif_fast.prompts.kinds import AnyTemplate
from rlaif_fast.prompts.reward_template import GuardTemplate, Place, RewardTemplate
from rlaif_fast.prompts.score_template import DIGITS, SCORES, ScoreTemplate
from rlaif_fast.prompts.template import Template

PROMPTS = "prompts"  # the folder of the prompts' files
# Inputs of the graph that are a prompt's: the head's rows of its labels, [L, D], their bias and what int8 shifts them
# by, [L]; how many last tokens are computed more precisely, [1]; keys and values of the prefix, [1, G, P, D] a layer.
LABEL_ROWS, LABEL_BIAS, LABEL_OFFSET, ENDING = "label_rows", "label_bias", "label_offset", "ending"
_PREFIX = re.compile(r"prefix\.\d+\.(key|value)")
_SHA256 = re.compile("[0-9a-f]{64}")

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class FileEntry:
    """A file of the bundle as it was exported."""

    sha256: str
    bytes: int

    @property
    def sensible(self) -> bool:
        """Whether it can be so."""
        return _SHA256.fullmatch(self.sha256) is not None and self.bytes >= 0


@dataclass(frozen=True)
class Fidelity:
    """How far the bundle was from PyTorch fp32 when it was exported: log-odds of single prompts, two a pair."""

    prompts: str  # which
    pairs: int
    mean: float  # |difference in log-odds|
    p99: float
    max: float
    flips: float  # share of order-averaged labels that differ
    r: float | None  # Pearson correlation of order-averaged log-odds; None for fewer than 3 pairs
    by_margin: tuple[MarginBin, ...]  # flips by the reference's margin


@dataclass(frozen=True)
class Probe:
    """A pair with two answers: log-odds of response_0 in the forward and the swapped order.

    Of a score prompt they are the expected scores of the two responses, of a reward model their rewards.
    """

    instruction: str
    response_0: str
    response_1: str
    reference: tuple[float, float]  # PyTorch's in fp32
    answer: tuple[float, float]  # the bundle's own, where it was exported


@dataclass(frozen=True)
class BundlePrompt:
    """A prompt that a bundle judges or scores with.

    Attributes:
        label_ids: tokens, one a label; of a reward model, rows of its head.
        prefix_ids: tokens, P of them, whose keys and values are in the prompt's file.
        ending: last tokens of every prompt that are packed behind all others; 0: packed as they come.
        bfloat16: PyTorch bfloat16's fidelity on the same pairs, where that was measured.
        error_bound: |p1 - PyTorch fp32's p1| stays below it (docs/agreement.md); None: exact, or not measured.
    """

    template: AnyTemplate
    label_ids: tuple[int, ...]
    prefix_ids: tuple[int, ...]
    ending: int
    fidelity: Fidelity
    bfloat16: Fidelity | None
    error_bound: float | None
    probes: tuple[Probe, ...]
    file: FileEntry

    @property
    def name(self) -> str:
        """The template's."""
        return self.template.name

    @property
    def path(self) -> str:
        """Of its file, in the bundle's folder; one that takes the place of another has a file of its own."""
        return f"{PROMPTS}/{re.sub(r'[^A-Za-z0-9._]+', '-', self.name)}-{self.file.sha256[:8]}.safetensors"

    @classmethod
    def found(cls, raw: Any) -> BundlePrompt:
        """From the manifest's JSON. Raises KeyError, TypeError, ValueError, TemplateError."""
        return cls(
            template=_template(raw["template"]),
            label_ids=tuple(typed(i, "int") for i in typed(raw["label_ids"], "list")),
            prefix_ids=tuple(typed(i, "int") for i in typed(raw["prefix_ids"], "list")),
            ending=typed(raw["ending"], "int"),
            fidelity=record(Fidelity, raw["fidelity"]),
            bfloat16=None if raw["bfloat16"] is None else record(Fidelity, raw["bfloat16"]),
            error_bound=typed(raw["error_bound"], "float | None"),
            probes=tuple(record(Probe, probe) for probe in typed(raw["probes"], "list")),
            file=record(FileEntry, raw["file"]),
        )

    def fits(self, maximum_length: int) -> bool:
        """Whether its values can be so, in a bundle of so many tokens a prompt."""
        return (
            len(self.label_ids) == len(self.template.labels)
            and all(0 <= i < 1 << 31 for i in (*self.label_ids, *self.prefix_ids))
            and 0 < len(self.prefix_ids) < maximum_length
            and 0 <= self.ending <= maximum_length
            and (self.error_bound is None or self.error_bound >= 0)
            and self.file.sensible
        )

    def arrays(self, content: bytes, where: str) -> Arrays:
        """What the graph is fed for this prompt, from the content of its file; half precision is widened.

        Raises:
            BundleError: they are not this prompt's; ``where`` says whose.
        """
        try:
            found = {name: _widened(array) for name, array in load(content).items()}
        except (SafetensorError, ValueError, TypeError, KeyError) as error:
            raise BundleError(f"{where}: no arrays of a prompt ({error}); export the model again") from None
        labels, length = len(self.label_ids), len(self.prefix_ids)
        prefix = [array for name, array in found.items() if _PREFIX.fullmatch(name)]
        rest = {name: array.shape for name, array in found.items() if not _PREFIX.fullmatch(name)}
        width = rest.get(LABEL_ROWS, (0, 0))[-1]
        wanted = {LABEL_ROWS: (labels, width), LABEL_BIAS: (labels,), LABEL_OFFSET: (labels,)}
        if rest.pop(ENDING, (1,)) != (1,) or rest != wanted:
            raise BundleError(f"{where}: its arrays are not those of {labels} labels; export the model again")
        if not prefix or any(array.ndim != 4 or array.shape[2] != length for array in prefix):
            raise BundleError(f"{where}: its keys and values are not those of {length} tokens; export the model again")
        return found


def _widened(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _template(raw: Any) -> AnyTemplate:
    name, text = typed(raw["name"], "str"), typed(raw["text"], "str")
    labels = tuple(typed(label, "str") for label in typed(raw["labels"], "list"))
    if labels in (SCORES, DIGITS):  # ten; a prompt for pairs has two or three
        return ScoreTemplate(name, text, labels)
    if "response" in raw:
        kind = RewardTemplate if labels == reward_template.LABELS else GuardTemplate
        return kind(name, text, _place(raw["instruction"]), _place(raw["response"]), labels)
    return Template(name, text, labels)


def _place(raw: Any) -> Place:
    refused = tuple(typed(mark, "str") for mark in typed(raw["refused"], "list"))
    return Place(typed(raw["left"], "str"), typed(raw["right"], "str"), refused)

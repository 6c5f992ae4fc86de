"""The manifest of a bundle: what was exported, from what, how, and how faithful it is."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any

from rlaif_fast.bundle.agreement import MarginBin
from rlaif_fast.bundle.home import PRECISIONS
from rlaif_fast.bundle.typed_json import mapping, no_constant, record, typed
from rlaif_fast.errors import BundleError, TemplateError
from rlaif_fast.prompts.score_template import ScoreTemplate
from rlaif_fast.prompts.template import Template

SCHEMA = 3
MODEL, WEIGHTS, TOKENIZER = "model.onnx", "model.onnx.data", "tokenizer.json"
_SHA256 = re.compile("[0-9a-f]{64}")
FILES = (MODEL, WEIGHTS, TOKENIZER)
WIDENED = "widened_weights"  # of Manifest.passes: matrices stored in half precision, in float32 once they are loaded
MANIFEST = "manifest.json"
MINIMUM_TREE = 4  # new tokens a pass must have: the graph cuts them into parts for attention
LONGEST_CONTEXT = 32_768  # tokens; rotary tables and the packed mask grow with it, and a CPU takes minutes
TREE_PER_CONTEXT = 2  # tokens of the largest packed tree, prefix included, in contexts: both orders of any pair fit


@dataclass(frozen=True)
class ModelSource:
    """Where the weights came from."""

    id: str  # hub id, or the name of the folder or file
    revision: str | None  # commit of the hub's repository
    licence: str | None
    architecture: str  # transformers' model_type
    parameters: int


@dataclass(frozen=True)
class FileEntry:
    """A file of the bundle as it was exported."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Cost:
    """Multiply-adds of one pass over S new tokens behind P: ``S * per_token + S * (P + S) * per_token_pair``."""

    per_token: int  # the linear products
    per_token_pair: int  # attention, two products

    def of(self, new_tokens: int, prefix: int) -> int:
        """Multiply-adds of a pass."""
        return new_tokens * (self.per_token + (prefix + new_tokens) * self.per_token_pair)


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

    In a score bundle they are the expected scores of the two responses.
    """

    instruction: str
    response_0: str
    response_1: str
    reference: tuple[float, float]  # PyTorch's in fp32
    answer: tuple[float, float]  # the bundle's own, where it was exported


@dataclass(frozen=True)
class Manifest:
    """See docs/bundle.md for the file; every field is required."""

    model: ModelSource
    template: Template | ScoreTemplate
    label_ids: tuple[int, ...]  # one a label
    precision: str
    prefix_ids: tuple[int, ...]
    maximum_length: int  # tokens of one prompt, prefix included
    ending: int  # last tokens of every prompt that are packed behind all others; 0: packed as they come
    cost: Cost
    passes: dict[str, int]  # what each graph pass did
    operators: dict[str, int]  # what the graph is made of
    fidelity: Fidelity
    bfloat16: Fidelity | None  # PyTorch bfloat16's on the same prompts; None for a float32 bundle
    error_bound: float | None  # |p1 - PyTorch fp32's p1| stays below it (docs/agreement.md); None: exact
    probes: tuple[Probe, ...]
    tools: dict[str, str]
    files: dict[str, FileEntry] = field(default_factory=dict)
    schema: int = SCHEMA

    @property
    def pair_template(self) -> Template:
        """The template of a bundle that judges pairs. Raises BundleError for another."""
        if not isinstance(self.template, Template):
            raise BundleError(f"{self.name} scores single responses; use rlaif-fast score")
        return self.template

    @property
    def score_template(self) -> ScoreTemplate:
        """The template of a bundle that scores responses. Raises BundleError for another."""
        if not isinstance(self.template, ScoreTemplate):
            raise BundleError(f"{self.name} judges pairs; export the model with --template score-summary")
        return self.template

    @property
    def maximum_tree(self) -> int:
        """Most new tokens S of a packed tree."""
        return TREE_PER_CONTEXT * self.maximum_length - len(self.prefix_ids)

    @property
    def name(self) -> str:
        """What messages call the bundle."""
        return f"{self.model.id} ({self.precision}, {self.template.name})"

    @property
    def digest(self) -> str:
        """What tells the bundle from any other: sha256 of the manifest, which holds those of its files."""
        return _digest(self._rest().encode())

    def to_json(self) -> str:
        """The file's text: a line with the digest of all behind it, and that."""
        return _head(self.digest) + self._rest()

    def _rest(self) -> str:
        return json.dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False).removeprefix("{\n") + "\n"

    @classmethod
    def from_json(cls, content: bytes, where: str) -> Manifest:
        """Raises BundleError, naming ``where``, for anything but a manifest of this schema, whole to the last bit."""
        try:
            raw = json.loads(content.decode(), parse_constant=no_constant)
            schema = raw["schema"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            reason = _short(f"{type(error).__name__}: {error}")
            raise BundleError(f"{where}: no manifest of a bundle ({reason})") from None
        if type(schema) is not int or schema != SCHEMA:
            raise BundleError(
                f"{where}: manifest schema {_short(repr(schema))}, this version reads {SCHEMA}; export it again"
            )
        rest = content[len(_head("")) + 64 :]
        if content != _head(_digest(rest)).encode() + rest:
            raise BundleError(f"{where}: changed since it was exported (its own digest differs); export it again")
        try:
            found = cls._from(raw)
            found._require_sense()
            return found
        except KeyError as error:
            raise BundleError(f"{where}: the manifest lacks {error}; export it again") from None
        except (TypeError, ValueError, AttributeError, TemplateError) as error:
            raise BundleError(f"{where}: the manifest is not valid ({_short(str(error))}); export it again") from None

    def _require_sense(self) -> None:
        """Raise ValueError where a value is of the right type and cannot be."""
        ids = (*self.label_ids, *self.prefix_ids)
        for name, good in {
            "label_ids": len(self.label_ids) == len(self.template.labels),
            "label_ids or prefix_ids": all(0 <= i < 1 << 31 for i in ids),
            "precision": self.precision in PRECISIONS,
            "maximum_length": len(self.prefix_ids) < self.maximum_length <= LONGEST_CONTEXT,
            "ending": 0 <= self.ending <= self.maximum_length,
            "cost": min(self.cost.per_token, self.cost.per_token_pair) >= 0,
            "error_bound": self.error_bound is None or self.error_bound >= 0,
            "files": all(_SHA256.fullmatch(file.sha256) and file.bytes >= 0 for file in self.files.values()),
        }.items():
            if not good:
                raise ValueError(f"{name} cannot be so")

    @classmethod
    def _from(cls, raw: dict[str, Any]) -> Manifest:
        return cls(
            model=record(ModelSource, raw["model"]),
            template=_template(raw["template"]),
            label_ids=tuple(typed(i, "int") for i in typed(raw["label_ids"], "list")),
            precision=typed(raw["precision"], "str"),
            prefix_ids=tuple(typed(i, "int") for i in typed(raw["prefix_ids"], "list")),
            maximum_length=typed(raw["maximum_length"], "int"),
            ending=typed(raw["ending"], "int"),
            cost=record(Cost, raw["cost"]),
            passes=mapping(raw["passes"], "int"),
            operators=mapping(raw["operators"], "int"),
            fidelity=record(Fidelity, raw["fidelity"]),
            bfloat16=None if raw["bfloat16"] is None else record(Fidelity, raw["bfloat16"]),
            error_bound=typed(raw["error_bound"], "float | None"),
            probes=tuple(record(Probe, probe) for probe in typed(raw["probes"], "list")),
            tools=mapping(raw["tools"], "str"),
            files={name: record(FileEntry, entry) for name, entry in raw["files"].items() if _known(name)},
        )


def _template(raw: Any) -> Template | ScoreTemplate:
    name, text = typed(raw["name"], "str"), typed(raw["text"], "str")
    labels = tuple(typed(label, "str") for label in typed(raw["labels"], "list"))
    if len(labels) != 2:
        return ScoreTemplate(name, text, labels)
    return Template(name, text, labels)


def _known(name: str) -> bool:
    if name not in FILES:
        raise ValueError(f"unknown file {name!r}")
    return True


def _head(digest: str) -> str:
    """The file's first two lines: what stands behind them has this sha256."""
    return f'{{\n "digest": "{digest}",\n'


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "…"

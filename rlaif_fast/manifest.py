"""The manifest of a bundle: what was exported, from what, how, and how faithful it is."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from rlaif_fast.errors import BundleError, TemplateError
from rlaif_fast.template import Template

SCHEMA = 1
MODEL, WEIGHTS, TOKENIZER = "model.onnx", "model.onnx.data", "tokenizer.json"
FILES = (MODEL, WEIGHTS, TOKENIZER)
MANIFEST = "manifest.json"


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
class Agreement:
    """How far log-odds are from the fp32 PyTorch reference, over ``orders`` single prompts."""

    prompts: str  # which
    pairs: int
    mean: float  # |difference in log-odds|
    p99: float
    max: float
    flips: float  # share of order-averaged labels that differ
    r: float | None  # Pearson correlation of order-averaged log-odds; None for fewer than 3 pairs


@dataclass(frozen=True)
class Probe:
    """A pair with the reference's answer: log-odds of response_0 in the forward and the swapped order."""

    instruction: str
    response_0: str
    response_1: str
    log_odds: tuple[float, float]


@dataclass(frozen=True)
class Manifest:
    """See docs/bundle.md for the file; every field is required."""

    model: ModelSource
    template: Template
    label_ids: tuple[int, int]
    precision: str
    prefix_ids: tuple[int, ...]
    maximum_length: int  # tokens of one prompt, prefix included
    cost: Cost
    passes: dict[str, int]  # what each graph pass did
    operators: dict[str, int]  # what the graph is made of
    fidelity: Agreement
    probes: tuple[Probe, ...]
    tools: dict[str, str]
    files: dict[str, FileEntry] = field(default_factory=dict)
    schema: int = SCHEMA

    @property
    def name(self) -> str:
        """What messages call the bundle."""
        return f"{self.model.id} ({self.precision}, {self.template.name})"

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str) -> Manifest:
        """Raises BundleError, naming ``where``, for anything but a manifest of this schema."""
        try:
            raw = json.loads(text)
            schema = raw["schema"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise BundleError(f"{where}: no manifest of a bundle ({type(error).__name__}: {error})") from None
        if schema != SCHEMA:
            raise BundleError(f"{where}: manifest schema {schema!r}, this version reads {SCHEMA}; export again")
        try:
            return cls(
                model=ModelSource(**raw["model"]),
                template=Template(raw["template"]["name"], raw["template"]["text"], _pair(raw["template"]["labels"])),
                label_ids=_pair(raw["label_ids"]),
                precision=_typed(raw["precision"], str),
                prefix_ids=tuple(_typed(i, int) for i in raw["prefix_ids"]),
                maximum_length=_typed(raw["maximum_length"], int),
                cost=Cost(**raw["cost"]),
                passes=dict(raw["passes"]),
                operators=dict(raw["operators"]),
                fidelity=Agreement(**raw["fidelity"]),
                probes=tuple(Probe(**{**p, "log_odds": _pair(p["log_odds"])}) for p in raw["probes"]),
                tools=dict(raw["tools"]),
                files={_name(n): FileEntry(_typed(e["sha256"], str), _typed(e["bytes"], int))
                       for n, e in raw["files"].items()},
            )  # fmt: skip
        except KeyError as error:
            raise BundleError(f"{where}: the manifest lacks {error}; export again") from None
        except (TypeError, ValueError, AttributeError, TemplateError) as error:
            raise BundleError(f"{where}: the manifest is not valid ({error}); export again") from None


def _pair(value: Any) -> tuple[Any, Any]:
    first, second = value
    return first, second


def _typed(value: Any, kind: type) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not of type {kind.__name__}")
    return value


def _name(name: str) -> str:
    if name not in FILES:
        raise ValueError(f"unknown file {name!r}")
    return name

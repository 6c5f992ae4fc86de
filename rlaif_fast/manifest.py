"""The manifest of a bundle: what was exported, from what, how, and how faithful it is."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field, fields
from types import NoneType
from typing import Any, TypeVar

from rlaif_fast.agreement import MarginBin
from rlaif_fast.errors import BundleError, TemplateError
from rlaif_fast.template import Template

T = TypeVar("T")
SCHEMA = 2
MODEL, WEIGHTS, TOKENIZER = "model.onnx", "model.onnx.data", "tokenizer.json"
FILES = (MODEL, WEIGHTS, TOKENIZER)
MANIFEST = "manifest.json"
MINIMUM_TREE = 4  # new tokens a pass must have: the graph cuts them into parts for attention
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
    """A pair with two answers: log-odds of response_0 in the forward and the swapped order."""

    instruction: str
    response_0: str
    response_1: str
    reference: tuple[float, float]  # PyTorch's in fp32
    answer: tuple[float, float]  # the bundle's own, where it was exported


@dataclass(frozen=True)
class Manifest:
    """See docs/bundle.md for the file; every field is required."""

    model: ModelSource
    template: Template
    label_ids: tuple[int, int]
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
    def maximum_tree(self) -> int:
        """Most new tokens S of a packed tree."""
        return TREE_PER_CONTEXT * self.maximum_length - len(self.prefix_ids)

    @property
    def name(self) -> str:
        """What messages call the bundle."""
        return f"{self.model.id} ({self.precision}, {self.template.name})"

    @property
    def digest(self) -> str:
        """What tells this bundle from any other: sha256 of the manifest, which holds those of its files."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str) -> Manifest:
        """Raises BundleError, naming ``where``, for anything but a manifest of this schema."""
        try:
            raw = json.loads(text, parse_constant=_no_constant)
            schema = raw["schema"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise BundleError(f"{where}: no manifest of a bundle ({type(error).__name__}: {error})") from None
        if type(schema) is not int or schema != SCHEMA:
            raise BundleError(f"{where}: manifest schema {schema!r}, this version reads {SCHEMA}; export again")
        try:
            return cls._from(raw)
        except KeyError as error:
            raise BundleError(f"{where}: the manifest lacks {error}; export again") from None
        except (TypeError, ValueError, AttributeError, TemplateError) as error:
            raise BundleError(f"{where}: the manifest is not valid ({error}); export again") from None

    @classmethod
    def _from(cls, raw: dict[str, Any]) -> Manifest:
        template = raw["template"]
        return cls(
            model=_record(ModelSource, raw["model"]),
            template=Template(
                _typed(template["name"], "str"), _typed(template["text"], "str"), _pair(template["labels"], "str")
            ),
            label_ids=_pair(raw["label_ids"], "int"),
            precision=_typed(raw["precision"], "str"),
            prefix_ids=tuple(_typed(i, "int") for i in _typed(raw["prefix_ids"], "list")),
            maximum_length=_typed(raw["maximum_length"], "int"),
            ending=_typed(raw["ending"], "int"),
            cost=_record(Cost, raw["cost"]),
            passes=_mapping(raw["passes"], "int"),
            operators=_mapping(raw["operators"], "int"),
            fidelity=_record(Fidelity, raw["fidelity"]),
            bfloat16=None if raw["bfloat16"] is None else _record(Fidelity, raw["bfloat16"]),
            error_bound=_typed(raw["error_bound"], "float | None"),
            probes=tuple(_record(Probe, probe) for probe in _typed(raw["probes"], "list")),
            tools=_mapping(raw["tools"], "str"),
            files={name: _record(FileEntry, entry) for name, entry in raw["files"].items() if _known(name)},
        )


_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,), "int": (int,), "float": (float, int), "list": (list,), "str | None": (str, NoneType),
    "float | None": (float, int, NoneType),
}  # fmt: skip


def _typed(value: Any, kind: str) -> Any:
    """``value``, if it is of the kind its field is annotated with."""
    if kind == "tuple[float, float]":
        return _pair(value, "float")
    if kind == "tuple[MarginBin, ...]":
        return tuple(_record(MarginBin, one) for one in _typed(value, "list"))
    if not isinstance(value, _KINDS[kind]) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not of type {kind}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value!r} is not finite")
    return value


def _record(cls: type[T], raw: Any) -> T:
    """A flat dataclass from an object with exactly its fields, each of its annotated type."""
    wanted = {f.name: str(f.type) for f in fields(cls)}  # type: ignore[arg-type]
    unknown = set(_object(raw)) - set(wanted)
    if unknown:
        raise ValueError(f"unknown field {sorted(unknown)[0]!r}")
    return cls(**{name: _typed(raw[name], kind) for name, kind in wanted.items()})


def _mapping(raw: Any, kind: str) -> dict[str, Any]:
    return {name: _typed(value, kind) for name, value in _object(raw).items()}


def _object(raw: Any) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise TypeError(f"{raw!r} is no object")
    return raw


def _pair(value: Any, kind: str) -> tuple[Any, Any]:
    first, second = _typed(value, "list")
    return _typed(first, kind), _typed(second, kind)


def _known(name: str) -> bool:
    if name not in FILES:
        raise ValueError(f"unknown file {name!r}")
    return True


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")

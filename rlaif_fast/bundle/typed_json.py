"""Flat dataclasses from JSON, each value of exactly the type its field is annotated with."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import fields
from types import NoneType
from typing import Any, TypeVar

from rlaif_fast.bundle.agreement import MarginBin

T = TypeVar("T")

_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,), "int": (int,), "float": (float, int), "list": (list,), "str | None": (str, NoneType),
    "float | None": (float, int, NoneType),
}  # fmt: skip
_LARGEST: dict[type, float] = {int: (1 << 63) - 1, float: sys.float_info.max}


def typed(value: Any, kind: str) -> Any:
    """``value``, if it is of the kind its field is annotated with. Raises TypeError, ValueError."""
    if kind == "tuple[float, float]":
        return _pair(value, "float")
    if kind == "tuple[MarginBin, ...]":
        return tuple(record(MarginBin, one) for one in typed(value, "list"))
    if not isinstance(value, _KINDS[kind]) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not of type {kind}")
    if isinstance(value, str):
        value.encode()  # a lone surrogate could not be written again
    if isinstance(value, int | float) and not abs(value) <= _LARGEST[type(value)]:
        raise ValueError(f"{value!r} is too large, or no number")
    return value


def record(cls: type[T], raw: Any) -> T:
    """A flat dataclass from an object with exactly its fields, each of its annotated type."""
    wanted = {f.name: str(f.type) for f in fields(cls)}  # type: ignore[arg-type]
    unknown = set(_object(raw)) - set(wanted)
    if unknown:
        raise ValueError(f"unknown field {sorted(unknown)[0]!r}")
    return cls(**{name: typed(raw[name], kind) for name, kind in wanted.items()})


def mapping(raw: Any, kind: str) -> dict[str, Any]:
    return {typed(name, "str"): typed(value, kind) for name, value in _object(raw).items()}


def _object(raw: Any) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise TypeError(f"{raw!r} is no object")
    return raw


def _pair(value: Any, kind: str) -> tuple[Any, Any]:
    first, second = typed(value, "list")
    return typed(first, kind), typed(second, kind)


def loads(text: str | bytes) -> Any:
    """What JSON says. Raises ValueError also for NaN, infinities and numbers so large, which could not be written."""
    return json.loads(text, parse_constant=_finite, parse_float=_finite)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not JSON, or larger than a number can be")
    return number

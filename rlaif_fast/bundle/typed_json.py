"""Flat dataclasses from JSON, each value of exactly the type its field is annotated with."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Collection
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
    found = known(raw, wanted)
    return cls(**{name: typed(found[name], kind) for name, kind in wanted.items()})


def known(raw: Any, names: Collection[str]) -> dict[str, Any]:
    """``raw``, if it is an object without other fields. Raises TypeError, ValueError."""
    found = mapped(raw)
    if unknown := [name for name in found if name not in names]:
        raise ValueError(f"unknown field {min(unknown)!r}, there is: {', '.join(names)}")
    return found


def mapping(raw: Any, kind: str) -> dict[str, Any]:
    return {typed(name, "str"): typed(value, kind) for name, value in mapped(raw).items()}


def mapped(raw: Any) -> dict[str, Any]:
    """``raw``, if it is an object. Raises TypeError."""
    if not isinstance(raw, dict):
        raise TypeError(f"{raw!r} is no object")
    return raw


def _pair(value: Any, kind: str) -> tuple[Any, Any]:
    first, second = typed(value, "list")
    return typed(first, kind), typed(second, kind)


def loads(text: str | bytes) -> Any:
    """What JSON says.

    Raises ValueError also for a field that stands there twice, and for NaN, infinities and numbers so large, which
    could not be written.
    """
    return json.loads(text, parse_constant=_finite, parse_float=_finite, object_pairs_hook=_each_once)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the field {next(name for name in names if names.count(name) > 1)!r} stands there twice")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not JSON, or larger than a number can be")
    return number

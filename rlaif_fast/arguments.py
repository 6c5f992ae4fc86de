"""Checks of Python arguments: what the command line says of the same option's value, as an ArgumentError.

Each returns the value, so that a call is checked where it is made and not when its first result is asked for.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rlaif_fast.errors import ArgumentError
from rlaif_fast.wording import meant

MOST_THREADS = 1024  # that may be asked for: starting more, to see whether they can be, takes minutes

T = TypeVar("T")


def one_of(name: str, value: Any, choices: Sequence[str]) -> Any:
    """``value``, which must be one of ``choices``, all texts."""
    if not isinstance(value, str) or value not in choices:
        near = meant(value, choices) if isinstance(value, str) else ""
        raise ArgumentError(f"{name}: {value!r} is not one of {', '.join(map(repr, choices))}{near}")
    return value


def whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """``value``, which must be an integer (also numpy's) from ``least``, to ``most`` if that is given."""
    try:
        found = operator.index(value)
    except TypeError:
        found = None
    if found is None or isinstance(value, bool):
        raise ArgumentError(f"{name}: {value!r} is not a valid integer")
    if found < least or (most is not None and found > most):
        allowed = f"x>={least}" if most is None else f"{least}<=x<={most}"
        raise ArgumentError(f"{name}: {found} is not in the range {allowed}")
    return found


def threads(value: Any) -> int:
    """``value``, which must be a number of threads, 0 for the default."""
    return whole("threads", value, 0, MOST_THREADS)


def share(name: str, value: Any, *, ends: bool = True) -> float:
    """``value``, which must be a number from 0 to 1; without ``ends`` neither of the two."""
    try:
        found = math.nan if isinstance(value, str | bytes | bool) else float(value)
    except (TypeError, ValueError):
        found = math.nan
    if math.isnan(found):
        raise ArgumentError(f"{name}: {value!r} is not a valid float")
    if not 0 <= found <= 1 or (not ends and found in (0, 1)):
        raise ArgumentError(f"{name}: {value!r} is not in the range {'0<=x<=1' if ends else '0<x<1'}")
    return found


def flag(name: str, value: Any) -> bool:
    """``value``, which must be True or False."""
    if type(value).__name__ not in ("bool", "bool_"):  # numpy's too
        raise ArgumentError(f"{name}: {value!r} is not a valid boolean")
    return bool(value)


def optional_text(name: str, value: Any) -> str | None:
    """``value``, which must be a text or None."""
    if value is not None and not isinstance(value, str):
        raise ArgumentError(f"{name}: {value!r} is not a name; give a text, or None for the default")
    return value


def path_or_name(name: str, value: Any) -> Path | str:
    """``value``, which must be a path, or a text that is not empty: that may be a name, and stays a text."""
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise ArgumentError(f"{name}: {value!r} is neither a folder nor the id of an exported model")
    return value if isinstance(value, str) else Path(value)


def instance(name: str, value: Any, kinds: type | tuple[type, ...], instead: str) -> Any:
    """``value``, which must be an object of one of ``kinds``; ``instead`` says what to write."""
    if not isinstance(value, kinds):
        wanted = " or ".join(_a(kind) for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))
        raise ArgumentError(f"{name}: {_a(type(value))} is not {wanted}; {instead}")
    return value


def items(name: str, values: Any, kind: type[T], instead: str) -> Iterator[T]:
    """The items of an iterable, which must be of ``kind``: the iterable itself is looked at now, each item in turn."""
    if isinstance(values, str | bytes | dict | kind) or not isinstance(values, Iterable):
        raise ArgumentError(f"{name}: {_a(type(values))} is not an iterable of {_several(kind)}; {instead}")
    return (instance(name, value, kind, instead) for value in values)


def _several(kind: type) -> str:
    return kind.__name__ if kind.__name__.endswith("s") else f"{kind.__name__}s"


def texts(name: str, values: Any) -> tuple[str, ...]:
    """``values``, which must be several texts; one text alone would be taken for its letters."""
    if isinstance(values, str | bytes | dict) or not isinstance(values, Iterable):
        raise ArgumentError(f"{name}: {_a(type(values))} is not a list of texts")
    found = tuple(values)
    for value in found:
        if not isinstance(value, str):
            raise ArgumentError(f"{name}: {_a(type(value))} among the texts")
    return found


def columns(name: str, value: Any) -> Any:
    """``value``, which must have columns by name; a list of rows has none."""
    row = hasattr(value, "to_frame")  # a Series: what DataFrame.apply(…, axis=1) gives, one by one
    if row or isinstance(value, str | bytes | list | tuple) or not hasattr(value, "__getitem__"):
        raise ArgumentError(
            f"{name}: {_a(type(value))} has no columns; give a dict of lists, a batch of datasets or a data frame"
        )
    return value


def column(name: str, values: Any) -> list[Any]:
    """``values`` as a list, which must be those of several rows; one row's text would be taken for its letters.

    Of numpy's arrays and pandas' columns they are Python's own numbers and texts.
    """
    if isinstance(values, str | bytes | dict) or not isinstance(values, Iterable):
        raise ArgumentError(
            f"column {name!r}: {_a(type(values))} is one row's; give columns: lists, or Dataset.map(…, batched=True)"
        )
    if hasattr(values, "tolist") and isinstance(found := values.tolist(), list):
        return found
    return list(values)


def _a(kind: type) -> str:
    name = kind.__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"

"""The fields of rows: what a row in must have, and where what it carries goes in a row out."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from numbers import Number
from typing import Any

from rlaif_fast.errors import PairError
from rlaif_fast.schemas.human_labels import label_name

_ENVELOPES = ("rows", "pairs", "items", "data", "inputs", "instances", "examples", "samples", "requests")


def envelope(value: Any) -> str | None:
    """The name under which an object has rows instead of being one; None where it does not."""
    for name in _ENVELOPES if isinstance(value, dict) else ():
        rows = value.get(name)
        if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
            return name
    return None


def free_names(carried: Mapping[str, Any], own: Collection[str]) -> dict[str, str]:
    """The output's name of each carried field; a person's ``label`` becomes ``human_label``, before others.

    A label that the row says is no person's becomes ``file_label``.
    """
    names: dict[str, str] = {}
    given = label_name(carried)
    for name in sorted(carried, key=lambda name: name != "label"):
        kept = given if name == "label" else name
        while kept in own or kept in names.values() or (kept not in (name, given) and kept in carried):
            kept = f"input_{kept}"
        names[name] = kept
    return names


def with_carried(row: dict[str, Any], carried: Mapping[str, Any], reserved: Collection[str] = ()) -> dict[str, Any]:
    """A result's row with what its input carried behind it, under names that are free of the row's and ``reserved``."""
    names = free_names(carried, (*row, *reserved))
    return row | {names[name]: value for name, value in carried.items()}


def json_line(row: dict[str, Any], item: object) -> str:
    """The row of a result on ``item`` as a line of JSON; floats read back to the same float64.

    What the item carries may be numpy's. Raises PairError for what JSON cannot hold.
    """
    try:
        return json.dumps(row, ensure_ascii=False, allow_nan=False, default=_of_numpy)
    except (ValueError, TypeError, RecursionError) as error:
        raise PairError(f"{item}: a carried field cannot be written as JSON ({_reason(error)})") from None


def _of_numpy(value: Any) -> Any:
    """Python's numbers of numpy's. Raises TypeError."""
    if type(value).__module__ == "numpy":
        return value.tolist()
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def located(where: str, key: Any, otherwise: str) -> str:
    """What messages call an item: its place and its id, ``otherwise`` where it has neither."""
    return ", ".join(filter(None, (where, "" if key is None else f"id {key!r}"))) or otherwise


def given_id(row: Any) -> Any:
    """The id of a parsed row; None where it has none: it is missing, null, NaN (also as pandas writes it) or blank."""
    key = row.get("id") if isinstance(row, dict) else None
    blank = isinstance(key, str) and key.strip().lower() in ("", "nan", "<na>")
    return None if blank or (isinstance(key, float) and not math.isfinite(key)) else key


def checked_row(
    row: Any, texts: Sequence[str], place: int | None, where: str, lists: Sequence[str] = ()
) -> tuple[Any, str, dict[str, Any]]:
    """(id, what messages begin with, carried fields) of a parsed row.

    Args:
        texts: its fields of text.
        lists: its fields that are lists of texts.

    Raises:
        PairError: not an object; a text missing, not a string, empty, with a NUL or not valid Unicode; an id that
            is no scalar; a carried field that JSON cannot hold.

    An id that is null, NaN or blank is none. NaN and infinities in carried fields become null: JSON has no others.
    """
    at_row = where or "the row"
    if not isinstance(row, dict):
        raise PairError(f"{at_row}: a row is a JSON object, this is {_kind(row)}")
    key, at = row.get("id"), at_row
    if isinstance(key, dict | list):
        raise PairError(f"{at_row}: id is {_kind(key)}, make it a string or a number")
    if given_id(row) is None:
        key = place
    else:
        at = f"{at_row}, id {key!r}"
    for name in (*texts, *lists):
        if name not in row:
            advice = f"; say where it is with --fields {name}=…" if row else ""
            if (inside := envelope(row)) is not None:
                advice = f"; rows may be in {inside!r}: give that list itself"
            raise PairError(
                f"{at}: field {name!r} is missing (the row has {', '.join(map(repr, row)) or 'none'}){advice}"
            )
    for name in texts:
        _check_text(row[name], name, at)
    for name in lists:
        if not isinstance(row[name], list):
            raise PairError(f"{at}: field {name!r} is {_kind(row[name])}, it must be an array of strings")
        for place_in, text in enumerate(row[name]):
            _check_text(text, f"{name}.{place_in}", at)
    carried = {name: value for name, value in row.items() if name not in (*texts, *lists, "id")}
    try:  # what the verdict's row could not hold is said now, not hours later
        try:
            _written([key, carried])
        except UnicodeEncodeError:
            raise
        except ValueError:
            carried = _finite(carried)
            _written([key, carried])
    except UnicodeEncodeError:
        raise PairError(f"{at}: a carried field has a lone surrogate, not valid Unicode") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise PairError(f"{at}: a carried field cannot be written as JSON ({_reason(error)})") from None
    return key, at, carried


def require_texts(item: object, names: Sequence[str]) -> None:
    """Raises PairError where an attribute of an item is no text; what a text holds is checked where rows are read."""
    for name in names:
        value = getattr(item, name)
        if not isinstance(value, str):
            raise PairError(f"{item}: {name} is {_kind(value)}, it must be a string")
    if not isinstance(carried := getattr(item, "carried", {}), dict):
        raise PairError(f"{item}: carried is {_kind(carried)}, it must be a dict")


def _written(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


def _finite(value: Any) -> Any:
    """``value`` with null for what is no number of JSON's."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _check_text(value: Any, name: str, at: str) -> None:
    if not isinstance(value, str):
        raise PairError(f"{at}: field {name!r} is {_kind(value)}, it must be a string")
    if not value.strip():
        raise PairError(f"{at}: field {name!r} is empty, remove the row or fill it")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise PairError(
            f"{at}: field {name!r} has a lone surrogate at character {error.start}, not valid Unicode"
        ) from None
    if "\0" in value:
        raise PairError(f"{at}: field {name!r} has a NUL at character {value.index(chr(0))}, remove it")


def _kind(value: Any) -> str:
    names = {
        dict: "an object", list: "an array", str: "a string", bytes: "bytes", bool: "a boolean", type(None): "null"
    }  # fmt: skip
    return names.get(type(value), "a number" if isinstance(value, Number) else f"of type {type(value).__name__}")


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)

"""What is judged: a :class:`Pair`, and what a row must be to become one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from rlaif_fast.errors import PairError

_TEXTS = ("instruction", "response_0", "response_1")


@dataclass(frozen=True, slots=True)
class Pair:
    """An instruction and two responses.

    Attributes:
        instruction: what the responses answer (for the summary template: the text to summarise).
        response_0: shown first in the forward order.
        response_1: shown second in the forward order.
        id: any JSON scalar; a file's rows default to their line number, counted from 1.
        carried: the row's other fields, passed through to the verdict's row.
        where: "file, line N" for messages; empty for pairs made in code.
        shown: the part of the instruction that the judge is shown, where the whole is too long for it.
    """

    instruction: str
    response_0: str
    response_1: str
    id: Any = None
    carried: dict[str, Any] = field(default_factory=dict)
    where: str = ""
    shown: str | None = None

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.where, "" if self.id is None else f"id {self.id!r}"))) or "the pair"


def pair_from_row(row: Any, *, place: int | None = None, where: str = "") -> Pair:
    """A checked pair from a parsed row.

    Args:
        place: the row's number, its id where it has none.
        where: "file, line N", what messages begin with.

    Raises:
        PairError: not an object; a field missing, not a string, empty, with a NUL or not valid Unicode; both
            responses the same.
    """
    at_row = where or "the row"
    if not isinstance(row, dict):
        raise PairError(f"{at_row}: a row is a JSON object, this is {_kind(row)}")
    key = row.get("id", place)
    if isinstance(key, dict | list):
        raise PairError(f"{at_row}: id is {_kind(key)}, make it a string or a number")
    at = at_row if "id" not in row else f"{at_row}, id {key!r}"
    for name in _TEXTS:
        if name not in row:
            raise PairError(f"{at}: field {name!r} is missing (the row has {', '.join(map(repr, row)) or 'none'})")
        if not isinstance(row[name], str):
            raise PairError(f"{at}: field {name!r} is {_kind(row[name])}, it must be a string")
        if not row[name].strip():
            raise PairError(f"{at}: field {name!r} is empty, remove the row or fill it")
        try:
            row[name].encode()
        except UnicodeEncodeError as error:
            raise PairError(
                f"{at}: field {name!r} has a lone surrogate at character {error.start}, not valid Unicode"
            ) from None
        if "\0" in row[name]:
            raise PairError(f"{at}: field {name!r} has a NUL at character {row[name].index(chr(0))}, remove it")
    if row["response_0"] == row["response_1"]:
        raise PairError(f"{at}: both responses are the same, there is nothing to prefer; remove the row")
    try:  # what the verdict's row could not hold is said now, not hours later
        json.dumps(row, allow_nan=False, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise PairError(f"{at}: a carried field has a lone surrogate, not valid Unicode") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise PairError(f"{at}: a carried field cannot be written as JSON ({_reason(error)})") from None
    carried = {name: value for name, value in row.items() if name not in _TEXTS and name != "id"}
    return Pair(row["instruction"], row["response_0"], row["response_1"], key, carried, where)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)

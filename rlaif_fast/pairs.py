"""Rows in: one JSON object a line becomes a :class:`Pair`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

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
    """

    instruction: str
    response_0: str
    response_1: str
    id: Any = None
    carried: dict[str, Any] = field(default_factory=dict)
    where: str = ""

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.where, "" if self.id is None else f"id {self.id!r}"))) or "the pair"


def pair_from_row(row: Any, *, line: int | None = None, source: str = "") -> Pair:
    """A checked pair from a parsed row.

    Raises:
        PairError: not an object; a field missing, not a string, empty, or not valid Unicode.
    """
    where = source if line is None else f"{source}, line {line}" if source else f"line {line}"
    where = where or "the row"
    if not isinstance(row, dict):
        raise PairError(f"{where}: a row is a JSON object, this is {_kind(row)}")
    key = row.get("id", line)
    if isinstance(key, dict | list):
        raise PairError(f"{where}: id is {_kind(key)}, make it a string or a number")
    at = where if "id" not in row else f"{where}, id {key!r}"
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
    try:  # what the verdict's row could not hold is said now, not hours later
        json.dumps(row, allow_nan=False, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise PairError(f"{at}: a carried field has a lone surrogate, not valid Unicode") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise PairError(f"{at}: a carried field cannot be written as JSON ({_reason(error)})") from None
    carried = {name: value for name, value in row.items() if name not in _TEXTS and name != "id"}
    place = "" if where == "the row" else where
    return Pair(row["instruction"], row["response_0"], row["response_1"], key, carried, place)


def read_pairs(lines: Iterable[bytes], source: str) -> Iterator[Pair]:
    """Pairs of a JSON Lines stream, one at a time. Blank lines are passed over, and counted.

    Raises:
        PairError: with file, line and id, at the first row that is no pair.
    """
    for number, line in enumerate(lines, start=1):
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode().rstrip(), parse_constant=_no_constant)
        except UnicodeDecodeError as error:
            raise PairError(f"{source}, line {number}: not UTF-8 at byte {error.start}") from None
        except (ValueError, RecursionError) as error:
            raise PairError(f"{source}, line {number}: not JSON ({_reason(error)})") from None
        yield pair_from_row(row, line=number, source=source)


@contextmanager
def open_lines(path: str | Path) -> Iterator[BinaryIO]:
    """The file's bytes, or standard input for ``-``.

    Raises:
        PairError: the file is missing or cannot be read.
    """
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    try:
        stream = open(path, "rb")  # noqa: SIM115  (an error of the caller's block is not ours)
    except OSError as error:
        raise PairError(f"{path}: cannot be read ({error.strerror}), give a file of pairs or - for stdin") from None
    with stream:
        yield stream


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at column {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)

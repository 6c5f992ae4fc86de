"""Records of CSV and TSV, named by their header."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import BinaryIO

from rlaif_fast.reading.lines import lines
from rlaif_fast.reading.rows import LIMIT, TOO_LONG, Found

_DELIMITERS = ",;\t"
_SWALLOWED = (
    "a quoted field goes over line breaks and each line is a whole row without its quotes; double the quotes"
    " that are text, or give JSON Lines"
)


class _TextLines:
    """Lines for the csv module, which takes them one by one.

    Attributes:
        taken: those since it was last cleared.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._lines, self.number = lines(stream), 0
        self.taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.number, line = next(self._lines)
        if line is None:
            raise csv.Error(TOO_LONG)
        text = line.decode(errors="surrogateescape")
        self.taken.append(text)
        return text


def records(stream: BinaryIO, delimiter: str) -> Found:
    """Rows of a file whose first record names the columns.

    Args:
        delimiter: unless the header is one column by it and several by another.
    """
    csv.field_size_limit(LIMIT)
    text = _TextLines(stream)
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    header: list[str] = []
    while True:
        place, problem = text.number + 1, None
        text.taken.clear()
        try:
            cells = next(reader)
            "".join(cells).encode()
        except StopIteration:
            return
        except csv.Error as error:
            problem = str(error) if str(error) == TOO_LONG else f"not CSV ({error})"
        except UnicodeEncodeError:
            problem = "not UTF-8"
        if problem is None and not cells:
            continue
        if problem is None and not header:
            if len(cells) == 1:
                delimiter, cells = _other(text.taken, delimiter, cells)
                reader = csv.reader(text, delimiter=delimiter, strict=True)
            header = [name.strip() for name in cells]
            if len(set(header)) == len(header):
                continue
            problem = "the header names a column twice"
        elif problem is None and len(cells) != len(header):
            problem = f"{len(cells)} cells, the header names {len(header)}"
        elif problem is None and _swallowed(text.taken, delimiter, len(header)):
            problem = _SWALLOWED
        yield place, None if problem else dict(zip(header, cells, strict=True)), problem
        if problem and (not header or problem.startswith("the header")):
            return  # without a header nothing has a name


def _other(taken: list[str], delimiter: str, cells: list[str]) -> tuple[str, list[str]]:
    """(the delimiter, the header's cells) by another delimiter, where that makes columns of a single one."""
    for other in _DELIMITERS.replace(delimiter, ""):
        try:
            found = next(csv.reader(taken, delimiter=other, strict=True), cells)
        except csv.Error:
            continue
        if len(found) > 1:
            return other, found
    return delimiter, cells


def _swallowed(taken: list[str], delimiter: str, columns: int) -> bool:
    """Whether the lines of one record are rows each, of which a quote at a cell's beginning made one.

    A text that goes over lines has other numbers of delimiters in them, and blanks behind its commas.
    """
    if len(taken) < 2 or columns < 2:
        return False
    rows = [line.split(delimiter) for line in taken]
    return all(len(row) == columns and not any(cell.startswith(" ") for cell in row) for row in rows)

"""Records of CSV and TSV, named by their header."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import BinaryIO

from rlaif_fast.files.json_lines import lines
from rlaif_fast.files.source import LIMIT, TOO_LONG, Found
from rlaif_fast.wording import counted

_DELIMITERS = ",;\t"
_SWALLOWED = (
    "a quoted field goes over line breaks and each line is a whole row without its quotes; double the quotes"
    " that are text, or give JSON Lines"
)
_NOT_UTF8 = "not UTF-8; save the file as UTF-8 (in Excel: CSV UTF-8)"
_ENDS = "lines end in a carriage return alone; save the file with line feeds"
_OPEN = "a quote behind a blank opens a cell that does not end in this line; leave no blanks behind the delimiter"
_SEP = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # Excel's first line, where it says the delimiter


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
        delimiter: unless the header is one column by it and several by another, or a line ``sep=`` says it.
    """
    csv.field_size_limit(LIMIT)
    text = _TextLines(stream)
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    header: list[str] = []
    spaced, wide = False, 0  # cells of the header, with those without a name at its end
    while True:
        place, problem = text.number + 1, None
        text.taken.clear()
        try:
            cells = next(reader)
            "".join(cells).encode()
        except StopIteration:
            return
        except csv.Error as error:
            problem = _reason(str(error))
        except UnicodeEncodeError:
            problem = _NOT_UTF8
        if problem is None and not cells:
            continue
        if problem is None and not header:
            said = _SEP.fullmatch(text.taken[0]) if place == 1 else None
            if said is None and len(cells) == 1:
                delimiter, cells = _other(text.taken, delimiter, cells)
            delimiter = said[1] if said else delimiter
            spaced = len(cells) > 1 and all(cell.startswith(" ") for cell in cells[1:])
            reader = csv.reader(text, delimiter=delimiter, strict=True, skipinitialspace=spaced)
            if said:
                continue
            header, wide = [name.strip() for name in cells], len(cells)
            while len(header) > 1 and not header[-1]:
                header.pop()
            if len(set(header)) == len(header):
                continue
            problem = "the header names a column twice"
        elif problem is None:
            cells, problem = _checked(cells, text.taken, delimiter, (len(header), wide), spaced)
        yield place, None if problem else dict(zip(header, cells, strict=True)), problem
        if problem and (not header or problem.startswith("the header")):
            return  # without a header nothing has a name


def _reason(error: str) -> str:
    if error == TOO_LONG:
        return error
    return _ENDS if error.startswith("new-line character") else f"not CSV ({error})"


def _checked(
    cells: list[str], taken: list[str], delimiter: str, widths: tuple[int, int], spaced: bool
) -> tuple[list[str], str | None]:
    """(the cells that have a column, what is wrong with them).

    Args:
        widths: columns, and those with the ones without a name behind them.
        spaced: whether blanks behind delimiters were passed over.
    """
    columns = widths[0]
    if any(re.match(' +"', cell) for cell in cells):
        try:
            unspaced = next(csv.reader(taken, delimiter=delimiter, strict=True, skipinitialspace=True))
            cells = unspaced if len(unspaced) in widths else cells
        except csv.Error as error:
            if "end of data" in str(error):
                return cells, _OPEN
    if len(cells) not in widths:
        return cells, f"{counted(len(cells), 'cell')}, the header names {columns}"
    if any(cell.strip() for cell in cells[columns:]):
        return cells, f"{counted(len(cells), 'cell')}, the header names {columns}; the last has no name there"
    if _swallowed(taken, delimiter, widths, spaced or any(cell.startswith(" ") for cell in cells[1:])):
        return cells, _SWALLOWED
    return cells[:columns], None


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


def _swallowed(taken: list[str], delimiter: str, widths: tuple[int, int], spaced: bool) -> bool:
    """Whether the lines of one record are rows each, of which a quote at a cell's beginning made one.

    A text that goes over lines has other numbers of delimiters in them, and blanks behind its commas.

    Args:
        spaced: whether cells have blanks before them, which are no sign of a text then.
    """
    rows = [line.split(delimiter) for line in taken if line.strip()]
    if len(rows) < 2 or widths[0] < 2:
        return False
    text = not spaced and delimiter != "\t" and any(cell.startswith(" ") for row in rows for cell in row)
    return not text and all(len(row) in widths for row in rows)

"""Records of CSV and TSV, named by their header."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import BinaryIO

from rlaif_fast.reading.lines import lines
from rlaif_fast.reading.rows import LIMIT, TOO_LONG, Found


class _TextLines:
    """Lines for the csv module, which takes them one by one."""

    def __init__(self, stream: BinaryIO) -> None:
        self._lines, self.number = lines(stream), 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.number, line = next(self._lines)
        if line is None:
            raise csv.Error(TOO_LONG)
        return line.decode(errors="surrogateescape")


def records(stream: BinaryIO, delimiter: str) -> Found:
    csv.field_size_limit(LIMIT)
    text = _TextLines(stream)
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    header: list[str] = []
    while True:
        place, problem = text.number + 1, None
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
            header = cells
            if len(set(header)) == len(header):
                continue
            problem = "the header names a column twice"
        elif problem is None and len(cells) > len(header):
            problem = f"{len(cells)} cells, the header names {len(header)}"
        yield place, None if problem else dict(zip(header, cells, strict=False)), problem
        if problem and (not header or header is cells):
            return  # without a header nothing has a name

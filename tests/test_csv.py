"""CSV and TSV: records, quotes that are text, and where a table breaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.test_reading import read

SWALLOWED = (
    "a quoted field goes over line breaks and each line is a whole row without its quotes; double the quotes that are"
    " text, or give JSON Lines"
)
OPEN = "a quote behind a blank opens a cell that does not end in this line; leave no blanks behind the delimiter"


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b'a,b\r\n"x\r\ny",2\r\n\r\n3,4\r\n', [(2, {"a": "x\r\ny", "b": "2"}), (5, {"a": "3", "b": "4"})]),
        (b"\xef\xbb\xbfa,b\n1\n1,\n", [(2, "1 cell, the header names 2"), (3, {"a": "1", "b": ""})]),
        (b"\xef\xbb\xbfa;b\r\n1,5;2\r\n", [(2, {"a": "1,5", "b": "2"})]),
        (b"a\tb\n1;5\t2\n", [(2, {"a": "1;5", "b": "2"})]),
        (b"a, b\n1,2\n", [(2, {"a": "1", "b": "2"})]),
        (b'a,b\n5" pipe,6" pipe\n', [(2, {"a": '5" pipe', "b": '6" pipe'})]),
        (b'a,b\n"x" y,z\n1,2\n', [(2, "not CSV (',' expected after '\"')"), (3, {"a": "1", "b": "2"})]),
        (b'a,b\n"x,y\n1,2\n', [(2, "not CSV (unexpected end of data)")]),
        (b'a,b\n"x,y\n1",2\n3,4\n', [(2, SWALLOWED), (4, {"a": "3", "b": "4"})]),
        (b'a,b\n"x, y\n1",2\n', [(2, {"a": "x, y\n1", "b": "2"})]),
        (b'a,b\n"x\ny\nz",2\n', [(2, {"a": "x\ny\nz", "b": "2"})]),
        (b"a,b\n1,2,3\n4,5\n", [(2, "3 cells, the header names 2"), (3, {"a": "4", "b": "5"})]),
        (b"sep=;\r\na;b\r\n1;2\r\n", [(3, {"a": "1", "b": "2"})]),
        (b"sep=,\na,b\n1,2\n", [(3, {"a": "1", "b": "2"})]),
        (b"a,b\r1,2\r", [(1, "lines end in a carriage return alone; save the file with line feeds")]),
        (b"a,b,,\n1,2,,\n3,4\n5,6,x,\n",
         [(2, {"a": "1", "b": "2"}), (3, {"a": "3", "b": "4"}),
          (4, "4 cells, the header names 2; the last has no name there")]),
        (b'a,b\n"x, y\nz", 2\n', [(2, SWALLOWED)]),
        (b'a, b, c\n"x, 1, 2\nz", 3, 4\n', [(2, SWALLOWED)]),
        (b'a,b,c\n1, "Q, x", "A"\n2, z, w\n',
         [(2, {"a": "1", "b": "Q, x", "c": "A"}), (3, {"a": "2", "b": " z", "c": " w"})]),
        (b'a,b\n1," ""Q"""\n', [(2, {"a": "1", "b": ' "Q"'})]),
        (b'a,b\n1, "Q\nx"\n', [(2, OPEN), (3, "1 cell, the header names 2")]),
        (b"a,a\n1,2\n", [(1, "the header names a column twice")]),
        (b'a\n"x\n', [(2, "not CSV (unexpected end of data)")]),
        (b"a\n\xff\nx\n", [(2, "not UTF-8; save the file as UTF-8 (in Excel: CSV UTF-8)"), (3, {"a": "x"})]),
        (b"", []), (b"a,b\n", []), (b"\n\n", []),
    ],
)  # fmt: skip
def test_records(data: bytes, wanted: list[tuple[int, Any]], tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(data)
    assert [(row.place, row.problem or row.value) for row in read(tmp_path / "rows.csv")] == wanted


def test_a_stray_quote_swallows_no_rows(tmp_path: Path) -> None:
    """Tables without quoting have quotes that are text: where they would make one cell of rows, nobody guesses."""
    path = tmp_path / "rows.tsv"
    path.write_bytes(b'i\ta\tb\n"Fine, he said\tA1.\tB1.\nQuote of the day"\tA2.\tB2.\nx\tA3.\tB3.\n')
    first, second = read(path)
    assert (first.where, first.problem) == (f"{path}, line 2", SWALLOWED)
    assert second.value == {"i": "x", "a": "A3.", "b": "B3."}
    for between, cell in (("\n", "\t "), ("\n\n", "\t"), ("\n\n", "\t ")):
        swallowed = f'i\ta\tb\n"Fine, he said{cell}A1.{cell}B1.{between}Quote of the day"{cell}A2.{cell}B2.\n'
        path.write_text(swallowed)
        assert [row.problem for row in read(path)] == [SWALLOWED]
    path.write_bytes(b'i\ta\tb\n"def f():\n\treturn 1"\tA\tB\n"a ""q"""\tC\tD\n')
    assert [row.value["i"] for row in read(path)] == ["def f():\n\treturn 1", 'a "q"'], "quoted as it should be"

"""Rows of any file: what is read, what cannot be, and where it is said to be."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import math
import os
import re
import sys
import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlaif_fast.errors import PairError
from rlaif_fast.files import strict_json
from rlaif_fast.files.json_array import elements
from rlaif_fast.files.opening import open_rows
from rlaif_fast.files.source import Part, Row

VALUES: list[Any] = [{"a": "x", "n": 1}, {"a": "é \u2028 \n", "n": 2}, {"a": '"q", [z]', "n": 3}]
Packing = Callable[[bytes], bytes]
PACKED: dict[str, Packing] = {
    "plain": bytes,
    "gz": gzip.compress,
    "zst": lambda data: zstandard.ZstdCompressor().compress(data),
    "gz twice": lambda data: gzip.compress(data[: len(data) // 2]) + gzip.compress(data[len(data) // 2 :]),
    "zst twice": lambda data: b"".join(
        zstandard.ZstdCompressor().compress(part) for part in (data[: len(data) // 2], data[len(data) // 2 :])
    ),
}


def lines(values: list[Any]) -> bytes:
    return b"".join(json.dumps(value, ensure_ascii=False).encode() + b"\n" for value in values)


def parquet(values: list[Any]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(values), sink, row_group_size=2)
    return sink.getvalue()


def arrow(values: list[Any], opened: Any = pa.ipc.new_file) -> bytes:
    sink = io.BytesIO()
    table = pa.Table.from_pylist(values)
    with opened(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


WRITTEN: dict[str, tuple[str, Callable[[list[Any]], bytes]]] = {
    "jsonl": ("jsonl", lines),
    "json": ("json", lambda values: json.dumps(values, indent=1).encode()),
    "parquet": ("parquet", parquet),
    "arrow file": ("arrow", arrow),
    "arrow stream": ("arrow", lambda values: arrow(values, pa.ipc.new_stream)),
}


def read(path: Path, kind: str | None = None) -> list[Row]:
    with open_rows(str(path), kind) as source:
        rows = list(source.rows())
        assert list(source.rows()) == rows, "each pass begins at the beginning"
    return rows


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("written", WRITTEN)
def test_contents_are_told_by_their_beginning(written: str, packing: str, tmp_path: Path) -> None:
    kind, write = WRITTEN[written]
    path = tmp_path / "rows"  # the name tells nothing
    path.write_bytes(PACKED[packing](write(VALUES)))
    with open_rows(str(path)) as source:
        assert (source.kind, source.restartable, source.name) == (kind, True, str(path))
    assert [(row.value, row.problem) for row in read(path)] == [(value, None) for value in VALUES]
    unit = "line" if kind == "jsonl" else "row"
    assert [row.where for row in read(path)] == [f"{path}, {unit} {n}" for n in (1, 2, 3)]


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet"])
def test_a_pipe_is_read_once(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    data = PACKED["gz"](WRITTEN[kind][1](VALUES))
    writer = threading.Thread(target=lambda: path.write_bytes(data))
    writer.start()
    with open_rows(str(path)) as source:
        assert (source.kind, source.restartable) == (kind, False)
        assert [row.value for row in source.rows()] == VALUES
    writer.join()


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbf" + lines(VALUES))))
    with open_rows("-") as source:
        assert (source.name, source.restartable) == ("stdin", False)
        assert [row.where for row in source.rows()] == [f"stdin, line {n}" for n in (1, 2, 3)]


def test_a_name_or_a_word_says_what_the_beginning_does_not(tmp_path: Path) -> None:
    for name, kind, data in (
        ("a.csv", None, b"x,y\n1,2\n"), ("a.tsv", None, b"x\ty\n1\t2\n"), ("a", "csv", b"x,y\n1,2\n"),
        ("b.csv.gz", None, gzip.compress(b"x,y\n1,2\n")),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(data)
        assert [row.value for row in read(tmp_path / name, kind)] == [{"x": "1", "y": "2"}]
    (tmp_path / "rows.jsonl").write_bytes(b"[1]\n[2]\n")
    assert [row.value for row in read(tmp_path / "rows.jsonl")] == [[1], [2]], "an array a line"


# Damage


@pytest.mark.parametrize("packing", ["gz", "zst"])
@pytest.mark.parametrize("kind", ["jsonl", "json"])
def test_cut_off_data_is_said_behind_what_is_whole(kind: str, packing: str, tmp_path: Path) -> None:
    values = [{"n": n, "text": os.urandom(50).hex()} for n in range(2000)]
    data = PACKED[packing](WRITTEN[kind][1](values))
    for share in (0.1, 0.5, 0.99):
        (tmp_path / "rows").write_bytes(data[: int(share * len(data))])
        *good, last = read(tmp_path / "rows")
        assert [row.value for row in good if row.problem is None] == values[: len([r for r in good if not r.problem])]
        assert last.problem is not None and ("cut off" in last.problem or "not JSON" in last.problem)
    (tmp_path / "rows").write_bytes(data[:-30] + b"garbage" + data[-23:])
    assert any(row.problem for row in read(tmp_path / "rows"))


@pytest.mark.parametrize("written", ["parquet", "arrow file"])
def test_damaged_tables_are_said(written: str, tmp_path: Path) -> None:
    kind, write = WRITTEN[written]
    data = write(VALUES)
    (tmp_path / "rows").write_bytes(data[: len(data) // 2])
    (row,) = read(tmp_path / "rows")
    assert (
        row.problem is not None and row.problem.startswith(f"damaged {kind.capitalize()} (") and "\n" not in row.problem
    )


def test_lines_that_cannot_be_read_do_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "rows").write_bytes(b'{"n": 1}\n{oops\n\n\xff\n' + b"[" * 100_000 + b'\nNan\n{"n": 7}')
    rows = read(tmp_path / "rows")
    assert [row.place for row in rows] == [1, 2, 4, 5, 6, 7]
    assert [row.problem and row.problem.split(" (")[0] for row in rows] == [
        None, "not JSON", "not UTF-8 at byte 0", "not JSON", "not JSON", None,
    ]  # fmt: skip
    assert rows[1].value == "{oops" and rows[2].value == "\\xff", "what was there, for the file of errors"


def test_a_line_too_long_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlaif_fast.files.json_lines.LIMIT", 100)
    (tmp_path / "rows").write_bytes(b'"' + b"x" * 97 + b'"\n"' + b"x" * 500_000 + b'"\n"short"\n"' + b"x" * 101)
    rows = read(tmp_path / "rows")
    assert [(row.place, row.problem) for row in rows] == [
        (1, None), (2, "longer than 10 MB"), (3, None), (4, "longer than 10 MB"),
    ]  # fmt: skip


# Arrays

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=8,
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(_JSON, max_size=6), st.sampled_from([None, 1]), st.booleans(), st.integers(1, 40))
def test_an_array_is_read_whatever_part_of_it_is_there(
    values: list[Any], indent: int | None, ascii_only: bool, step: int
) -> None:
    data = json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode()
    found = list(elements(io.BufferedReader(io.BytesIO(data)), step))
    assert found == [(n, value, None) for n, value in enumerate(values, start=1)]


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=30) | st.text('[]{}",:0 1e-truefalsn\\u', max_size=30).map(str.encode), st.integers(1, 9))
def test_any_bytes_are_an_array_or_a_problem(data: bytes, step: int) -> None:
    found = list(elements(io.BufferedReader(io.BytesIO(data)), step))
    try:
        whole = strict_json.DECODER.decode(data.decode()) if b"\0" not in data[:4] else None
    except (ValueError, RecursionError):
        whole = None
    if isinstance(whole, list) and not data.startswith(b"\xef\xbb\xbf"):
        assert [value for _, value, _ in found] == whole and not any(problem for *_, problem in found)
    else:
        assert found[-1][2] and not any(problem for *_, problem in found[:-1]), "one problem, the last"


@pytest.mark.parametrize(
    ("data", "places", "reason"),
    [
        (b"[1, 2 3]", 2, "not JSON (Expecting ',' delimiter at character 6)"),
        (b"[1, 2", 2, "not JSON (Expecting ',' delimiter at character 5)"),
        (b"[1, 2]]", 3, "not JSON (more text behind the array)"),
        (b"[1, 2] {}", 3, "not JSON (more text behind the array)"),
        (b'[1, "\xff"]', 2, "not UTF-8 at byte 5"),
        (b"[1, Nan]", 2, "not JSON (Expecting value at character 4)"),
        (b"[" * 100_000, 1, "not JSON (nested too deeply)"),
    ],
)
def test_where_an_array_breaks_is_said(data: bytes, places: int, reason: str, tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_bytes(data)
    rows = read(tmp_path / "rows.json")
    assert (len(rows), rows[-1].problem) == (places, reason)
    assert rows[-1].where == f"{tmp_path}/rows.json, row {places}"


# CSV

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


# Tables


def test_values_of_tables_are_as_json_has_them(tmp_path: Path) -> None:
    table = pa.table({"f": [1.5, float("nan")], "d": [date(2024, 1, 2), None], "b": [b"\xff\0", b""],
                      "l": [[{"x": 1}], []], "i": [2**62, -1], "x": [math.inf, -math.inf]})  # fmt: skip
    pq.write_table(table, tmp_path / "t.parquet")
    one, two = (row.value for row in read(tmp_path / "t.parquet"))
    assert one == {"f": 1.5, "d": "2024-01-02", "b": {"base64": "/wA="}, "l": [{"x": 1}], "i": 2**62, "x": None}
    assert two == {"f": None, "d": None, "b": "", "l": [], "i": -1, "x": None}


def test_text_without_its_type_is_text(tmp_path: Path) -> None:
    pq.write_table(pa.table({"i": pa.array(["é".encode(), b"\xff"])}), tmp_path / "t.parquet")
    assert [row.value["i"] for row in read(tmp_path / "t.parquet")] == ["é", {"base64": "/w=="}]


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_a_column_that_is_named_twice(ending: str, tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["x"]), pa.array(["y"])], names=["a", "a"])
    with pa.OSFile(str(tmp_path / f"t.{ending}"), "wb") as sink:
        if ending == "parquet":
            pq.write_table(table, sink)
        else:
            with pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table)
    assert [row.problem for row in read(tmp_path / f"t.{ending}")] == ["the table names the column 'a' twice"]


def test_a_key_with_two_values(tmp_path: Path) -> None:
    said = "the key 'a' occurs twice with different values"
    (tmp_path / "t.jsonl").write_text('{"a": 1, "a": 1}\n{"b": {"a": 1, "a": 2}}\n{"a": 3}\n')
    assert [row.problem or row.value for row in read(tmp_path / "t.jsonl")] == [
        {"a": 1}, f"not JSON ({said})", {"a": 3},
    ]  # fmt: skip
    (tmp_path / "t.json").write_text('[{"a": 1}, {"a": 1, "a": 2}]')
    assert [row.problem for row in read(tmp_path / "t.json")] == [None, said]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"instruction,response_0\nx,y\n", "; if this is CSV, say --from csv"),
        (b"instruction\tresponse_0\nx,y\n", "; if this is TSV, say --from tsv"),
        (b'{\n "instruction": "i"\n}\n',
         "; an object over several lines is not read: write one a line, or an array of them (--from json)"),
        (b"{oops, \n", ")"),
    ],
)  # fmt: skip
def test_what_the_first_line_may_be(data: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "rows").write_bytes(data)
    first, *rest = read(tmp_path / "rows")
    assert first.problem is not None and first.problem.endswith(said)
    assert not any("--from" in (row.problem or "") for row in rest)


def test_utf16_is_named(tmp_path: Path) -> None:
    for name in ("t.csv", "t.jsonl"):
        (tmp_path / name).write_text("a,b", encoding="utf-16")
        with pytest.raises(PairError, match=f"^{tmp_path}/{name}: is UTF-16, save it as UTF-8$"):
            read(tmp_path / name)


# Folders


def test_a_saved_data_set_is_a_folder(tmp_path: Path) -> None:
    whole = datasets.Dataset.from_list(VALUES)
    whole.save_to_disk(str(tmp_path / "one"), num_shards=2)
    assert [row.value for row in read(tmp_path / "one")] == VALUES
    assert [row.place for row in read(tmp_path / "one")] == [1, 2, 3]
    datasets.DatasetDict({"train": whole}).save_to_disk(str(tmp_path / "dict"))
    assert [row.value for row in read(tmp_path / "dict")] == VALUES
    datasets.DatasetDict({"train": whole, "test": whole}).save_to_disk(str(tmp_path / "two"))
    with pytest.raises(PairError, match=r"holds 2 splits, give one of them: .*/train or .*/test"):
        read(tmp_path / "two")
    assert [row.value for row in read(tmp_path / "two" / "test")] == VALUES


def test_a_folder_of_shards_in_order(tmp_path: Path) -> None:
    for number in (1, 0, 2):
        (tmp_path / f"part-{number}.jsonl").write_bytes(lines([VALUES[number]]))
    (tmp_path / "notes.txt").write_text("no shard")
    assert [row.value for row in read(tmp_path)] == VALUES
    assert read(tmp_path)[2].where == f"{tmp_path}/part-2.jsonl, line 1" and read(tmp_path)[2].place == 3
    (tmp_path / "all.parquet").write_bytes(parquet(VALUES[:1]))
    with pytest.raises(PairError) as caught:
        read(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: holds 4 files of rows, give one of them: {tmp_path}/all.parquet or --split part (3 files)"
    )


def _write(folder: Path, *names: str) -> Path:
    """Files of a row each, whose number is their place among ``names``."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((parquet if name.endswith(".parquet") else lines)([{"n": number}]))
    return folder


def _numbers(folder: Path, split: str | None = None) -> list[int]:
    with open_rows(str(folder), part=Part(split)) as source:
        return [row.value["n"] for row in source.rows()]


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["train-00000-of-00001.parquet", "test-00000-of-00001.parquet"], {"train": [0], "test": [1]}),
        (["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet",
          "data/validation-00000-of-00001.parquet"], {"train": [0, 1], "validation": [2]}),
        (["data/train_prefs-00000-of-00001.parquet", "data/train_sft-00000-of-00001.parquet"],
         {"train_prefs": [0], "train_sft": [1]}),
        (["train.jsonl", "test.jsonl"], {"train": [0], "test": [1]}),
        (["train.jsonl.gz", "dev.jsonl"], {"train": [0], "dev": [1]}),
        (["train-0.jsonl", "train-1.jsonl", "test.jsonl"], {"train": [0, 1], "test": [2]}),
        (["train/0000.parquet", "test/0000.parquet"], {"train": [0], "test": [1]}),
        (["default/train/0000.parquet", "default/test/0000.parquet"], {"train": [0], "test": [1]}),
        (["train/a.jsonl", "train/b.jsonl", "test/a.jsonl"], {"train": [0, 1], "test": [2]}),
        (["train.parquet", "test.jsonl"], {"train": [0], "test": [1]}),
        (["train.jsonl", "test.json"], {"train": [0], "test": [1]}),
        (["Train.jsonl", "Test.json"], {"train": [0], "test": [1]}),
        (["train-1-of-2.jsonl", "train-2-of-2.jsonl", "test-1-of-1.jsonl"], {"train": [0, 1], "test": [2]}),
        (["train-v1.jsonl", "train-v2.jsonl"], {"train-v1": [0], "train-v2": [1]}),
        (["test2023.jsonl", "test2024.jsonl"], {"test2023": [0], "test2024": [1]}),
        (["easy.jsonl", "hard.jsonl"], {"easy": [0], "hard": [1]}),
        (["en.parquet", "de.parquet"], {"en": [0], "de": [1]}),
        (["contest.jsonl", "latest.jsonl"], {"contest": [0], "latest": [1]}),
        (["x/y/a.jsonl", "x/y/b.jsonl"], {"a": [0], "b": [1]}),
        (["all.parquet", "part-0.jsonl", "part-1.jsonl"], {"all": [0], "part": [1, 2]}),
        (["train.jsonl", "train-1.jsonl"], {"train": [0], "train-1": [1]}),
    ],
)  # fmt: skip
def test_a_folders_splits_are_told_apart(names: list[str], splits: dict[str, list[int]], tmp_path: Path) -> None:
    names = [name.removesuffix(".gz") for name in names]
    _write(tmp_path, *names)
    with pytest.raises(PairError) as caught:
        _numbers(tmp_path)
    said, usual = str(caught.value), all(re.search("train|^test|dev|validation", split) for split in splits)
    what = f"{len(splits)} splits" if usual else f"{len(names)} files of rows"
    assert said.startswith(f"{tmp_path}: holds {what}, give one of them: ")
    assert all(
        f"--split {split}" in said.replace("--split T", "--split t")
        or (not usual and len(places) == 1 and str(tmp_path / names[places[0]]) in said)
        for split, places in splits.items()
    )
    assert {split: _numbers(tmp_path, split) for split in splits} == splits
    with pytest.raises(PairError, match="has no split other \\("):
        _numbers(tmp_path, "other")


@pytest.mark.parametrize(
    "names",
    [
        ["data/train-00000-of-00001.parquet"],
        ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"],
        ["a.jsonl", ".hidden/train.jsonl"], ["train.json"], ["x/data.json"],
        [f"part-{number}.jsonl" for number in range(12)], ["000.parquet", "001.parquet"],
        ["part.0.parquet", "part.1.parquet"], ["file1.jsonl", "file2.jsonl"], ["chunk_01.jsonl", "chunk_02.jsonl"],
        ["part-3.jsonl"], ["train/0000.parquet", "train/0001.parquet"],
        [f"part-0000{n}-6b1e0f0a-1111-4222-8333-123456789abc-c000.snappy.parquet" for n in (0, 1)],
        ["train-00000-of-00002-ffffffffffffffff.parquet", "train-00001-of-00002-aaaaaaaaaaaaaaaa.parquet"],
    ],
)  # fmt: skip
def test_one_split_is_read_wherever_it_lies(names: list[str], tmp_path: Path) -> None:
    shown = [number for number, name in enumerate(names) if not name.startswith(".")]
    assert _numbers(_write(tmp_path, *names)) == shown


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["data/train-00000-of-00003.parquet", "data/train-00002-of-00003.parquet"],
         "train lacks 1 of 3 parts \\(1\\)"),
        (["train-00000-of-00002.parquet"], "train lacks 1 of 2 parts \\(1\\)"),
        (["train-2-of-2.jsonl"], "train lacks 1 of 2 parts \\(1\\)"),
        (["part-0.jsonl", "part-2.jsonl"], "lacks 1 of 3 parts \\(1\\)"),
        (["train/00000.parquet", "train/00002.parquet"], "train lacks 1 of 3 parts \\(1\\)"),
        (["train-00000-of-00001.parquet", "train-00000-of-00002.parquet", "train-00001-of-00002.parquet"],
         "train has parts of different sets \\(train-00000-of-00001.parquet and train-00000-of-00002.parquet\\)"),
        (["train-0.jsonl", "train-1.csv"], "train has files of several kinds \\(.csv, .jsonl\\)"),
    ],
)  # fmt: skip
def test_a_folder_with_a_gap_is_refused(names: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(PairError, match=f"^{tmp_path}: .*{said}"):
        _numbers(_write(tmp_path, *names))


def test_what_describes_a_folder_is_no_data(tmp_path: Path) -> None:
    _write(tmp_path, "train.json")
    (tmp_path / "dataset_infos.json").write_text('{"default": {}}')
    (tmp_path / "notes.json").write_text('{\n "a": 1\n}')
    assert _numbers(tmp_path) == [0]
    (tmp_path / "train.json").write_text('[\n{"n": 5}]')
    assert _numbers(tmp_path) == [5]


def test_what_a_split_is_none_of_is_said(tmp_path: Path) -> None:
    _write(tmp_path, "en/train.jsonl", "en/test.jsonl", "de/train.jsonl")
    with pytest.raises(PairError, match=f"^{tmp_path}: holds 2 data sets, give one of them: {tmp_path}/de or"):
        _numbers(tmp_path)
    assert _numbers(tmp_path, "test") == [1]
    with pytest.raises(PairError, match="holds 2 data sets"):
        _numbers(tmp_path, "train")
    assert _numbers(tmp_path / "en", "train") == [0]
    with pytest.raises(PairError, match=r"train.jsonl: --split train is for a data set's folder"):
        _numbers(tmp_path / "en" / "train.jsonl", "train")


def test_a_split_of_a_saved_data_set(tmp_path: Path) -> None:
    one, two = (datasets.Dataset.from_list([{"n": n}]) for n in (1, 2))
    datasets.DatasetDict({"train": one, "test": two}).save_to_disk(str(tmp_path / "d"))
    assert _numbers(tmp_path / "d", "test") == [2]
    with pytest.raises(PairError, match=r"has no split dev \(test, train\)"):
        _numbers(tmp_path / "d", "dev")
    with pytest.raises(PairError, match="a single split, which has no name here"):
        _numbers(tmp_path / "d" / "train", "train")


@pytest.mark.parametrize("name", ["state.json", "dataset_dict.json"])
@pytest.mark.parametrize("text", ["", "[]", "{}", '{"_data_files": [5], "splits": 5}'])
def test_a_broken_folder_is_said(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(PairError, match=f"^{tmp_path}/{name}: cannot be read as part of a data set"):
        read(tmp_path)


def _refused(path: str | Path) -> str:
    with pytest.raises(PairError) as caught, open_rows(str(path)):
        pass
    return str(caught.value)


def test_a_folder_of_several_files_or_none_says_what_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    nothing = (
        ".: a folder without a saved data set or files of rows (.parquet, .arrow, .jsonl, .ndjson, .csv, .tsv, .json)"
    )
    assert _refused(".") == f"{nothing}; it is empty, give a file of pairs"
    for name in ("d.txt", "c.xlsx", "b.md", ".hidden"):
        (tmp_path / name).write_text("x")
    assert _refused(".") == f"{nothing}; it holds b.md, c.xlsx, d.txt, give a file of pairs"
    (tmp_path / "a").mkdir()
    assert _refused(".") == f"{nothing}; it holds a, b.md, c.xlsx and 1 more, give a file of pairs"
    _write(tmp_path, "v.jsonl", "v.json", "p.jsonl")
    found = ".: holds 3 files of rows, give one of them: p.jsonl or v.json or v.jsonl"
    assert _refused(".") == found
    _write(tmp_path, *(f"w{letter}.csv" for letter in "abcdefg"))
    assert _refused(".").endswith(" or v.json or v.jsonl or wa.csv or wb.csv or wc.csv or wd.csv or we.csv, or 2 more")


SHEET = "a spreadsheet, which is not read; save it as CSV (UTF-8), with the columns' names in its first row"


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("p.xlsx", b"PK\x03\x04 whatever", SHEET),
        ("p.ods", b"PK\x03\x04mimetypeapplication/vnd.oasis", SHEET),
        ("p.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", SHEET),
        ("p", b"PK\x03\x04\x14\0[Content_Types].xml", SHEET),
        ("p.zip", b"PK\x03\x04 whatever", "a ZIP archive, which is not read; unpack it (JSON Lines, JSON, CSV, TSV,"
         " Parquet and Arrow are read, also packed with gzip or zstd)"),
        ("p.jsonl.bz2", bz2.compress(b"{}"), "packed with bzip2, which is not read; unpack it, or pack it with gzip or"
         " zstd"),
        ("p.jsonl.xz", lzma.compress(b"{}"), "packed with xz, which is not read; unpack it, or pack it with gzip or"
         " zstd"),
    ],
)  # fmt: skip
def test_what_holds_no_rows_says_how_it_is_converted(name: str, data: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    assert _refused(tmp_path / name) == f"{tmp_path / name}: is {said}"
    with pytest.raises(PairError, match="which is not read"), open_rows(str(tmp_path / name), "csv"):
        pass


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("https://huggingface.co/datasets/owner/name", "hf://datasets/owner/name"),
        ("huggingface.co/datasets/owner/name/viewer/default/train?row=3", "hf://datasets/owner/name"),
        ("https://huggingface.co/datasets/owner/na.me/tree/main", "hf://datasets/owner/na.me"),
        ("https://huggingface.co/datasets/owner/name/blob/v2/data/a.jsonl", "hf://datasets/owner/name@v2"),
        ("https://hf.co/datasets/owner/name/", "hf://datasets/owner/name"),
        ("owner/name", "hf://datasets/owner/name"),
        ("datasets/owner/name", "hf://datasets/owner/name"),
    ],
)
def test_a_data_set_of_the_hub_is_recognised(given: str, meant: str) -> None:
    assert _refused(given) == f"{given}: no such file; if a data set of the hub is meant, give {meant}"


def test_what_cannot_be_opened_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("owner/pairs.jsonl", "tests/none", "a/b/c", "/owner/name"):
        assert (
            _refused(name) == f"{name}: cannot be read (No such file or directory), give a file of pairs or - for stdin"
        )
    for address in ("https://huggingface.co/owner/name", "s3://bucket/pairs.jsonl"):
        assert _refused(address) == (
            f"{address}: addresses are not read; download the file and give its path, or - for stdin"
        )
    with pytest.raises(PairError, match="cannot be read \\(No such file or directory\\), give a file of pairs"):
        read(tmp_path / "none")
    if Path("/proc/self/mem").exists():
        with pytest.raises(PairError, match=r"^/proc/self/mem: cannot be read \(Input/output error\)"):
            read(Path("/proc/self/mem"))
    (tmp_path / "t").write_bytes(parquet(VALUES))
    (tmp_path / "z").write_bytes(PACKED["zst"](lines(VALUES)))
    for module, name in (("pyarrow", "t"), ("zstandard", "z")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(PairError) as caught:
            read(tmp_path / name)
        assert str(caught.value) == (
            f"{tmp_path}/{name}: this kind of file needs {module}, pip install 'rlaif-fast[formats]'"
        )


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=60), name=st.sampled_from(["rows", "rows.csv", "rows.json", "rows.gz"]),
    beginning=st.sampled_from([b"", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"]),
)  # fmt: skip
def test_any_file_is_rows_or_problems(data: bytes, name: str, beginning: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(beginning + data)
    for row in read(tmp_path / name):
        assert row.problem is None or "\n" not in row.problem

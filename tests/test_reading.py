"""Rows of any file: what is read, what cannot be, and where it is said to be."""

from __future__ import annotations

import gzip
import io
import json
import math
import os
import sys
import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

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
from rlaif_fast.files.source import Row

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


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=60), name=st.sampled_from(["rows", "rows.csv", "rows.json", "rows.gz"]),
    beginning=st.sampled_from([b"", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"]),
)  # fmt: skip
def test_any_file_is_rows_or_problems(data: bytes, name: str, beginning: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(beginning + data)
    for row in read(tmp_path / name):
        assert row.problem is None or "\n" not in row.problem

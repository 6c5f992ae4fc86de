"""Verdict rows to the file that is wanted: nothing lost, nothing half, the same bytes again."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlaif_fast.errors import PairError
from rlaif_fast.files import writing
from rlaif_fast.files.keeping import Keep, Sieve
from rlaif_fast.files.opening import open_rows
from rlaif_fast.files.writing import check_target, convert, target_kind, trl_row
from tests.verdicts import Row, random_rows, verdict_row, write_rows

KINDS = ["jsonl", "json", "csv", "tsv", "parquet", "jsonl.gz", "csv.gz", "parquet.zst", "json.zst"]


def made(folder: Path, name: str, rows: list[Row], to: writing.To = "rows", keep: Keep = Keep()) -> Path:
    partial = write_rows(folder / "rows.partial", rows)
    convert(partial, folder / name, to=to, keep=keep)
    assert not partial.exists() and not list(folder.glob("*.writing"))
    return folder / name


def read_back(path: Path) -> list[Any]:
    with open_rows(str(path)) as source:
        rows = list(source.rows())
    assert [row.problem for row in rows] == [None] * len(rows)
    return [row.value for row in rows]


def as_cells(row: Row) -> Row:
    """A row as CSV holds it."""
    return {name: "" if v is None else v if isinstance(v, str) else json.dumps(v) for name, v in row.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_reads_back(kind: str, tmp_path: Path) -> None:
    rows = [row | {"note": n} for n, row in enumerate(random_rows(1, 20))]
    for row in rows:
        row.setdefault("task", None)
    names = list(rows[0])
    found = read_back(made(tmp_path, f"v.{kind}", rows))
    wanted = [{name: row[name] for name in names} for row in rows]
    assert found == (list(map(as_cells, wanted)) if kind[1:3] == "sv" else wanted)


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8) | (
    st.text('"\r\n,;\t\ufeff\u2028 a', min_size=1, max_size=5)
)


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "tsv", "parquet"])
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.tuples(_TEXT, _TEXT, _TEXT), min_size=1, max_size=4))
def test_any_text_reads_back(kind: str, texts: list[tuple[str, str, str]], tmp_path: Path) -> None:
    rows = [
        verdict_row(key, [0.25, 0.5], response_0=f"0{one}", response_1=f"1{two}", instruction=three)
        for key, (one, two, three) in enumerate(texts)
    ]
    found = read_back(made(tmp_path, f"v.{kind}", rows))
    for name in ("instruction", "chosen", "rejected"):
        assert [row[name] for row in found] == [row[name] for row in rows]


@pytest.mark.parametrize("kind", [*KINDS, "jsonl.zst"])
def test_the_same_rows_have_the_same_bytes(kind: str, tmp_path: Path) -> None:
    rows = random_rows(2, 30)
    first = made(tmp_path, f"first.{kind}", rows).read_bytes()
    os.utime(tmp_path / f"first.{kind}", (0, 0))
    assert made(tmp_path, f"second.{kind}", rows).read_bytes() == first


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("v.jsonl", ("jsonl", None)), ("v.ndjson", ("jsonl", None)), ("v.JSON", ("json", None)),
        ("v.CSV.GZ", ("csv", "gz")),
        ("v.tsv", ("tsv", None)), ("v.parquet", ("parquet", None)), ("v.parquet.zst", ("parquet", "zst")),
        ("v", ("jsonl", None)), ("v.txt", ("jsonl", None)), ("v.gz", ("jsonl", "gz")), ("csv", ("jsonl", None)),
    ],
)  # fmt: skip
def test_the_name_says_the_kind(name: str, wanted: tuple[str, str | None]) -> None:
    assert target_kind(Path("some.csv") / name) == wanted


def test_plain_rows_are_moved_not_copied(tmp_path: Path) -> None:
    partial = write_rows(tmp_path / "v.jsonl.partial", random_rows(3, 5))
    number, data = partial.stat().st_ino, partial.read_bytes()
    (tmp_path / "v.jsonl").write_text("older")
    assert convert(partial, tmp_path / "v.jsonl", to="rows", keep=Keep()) == 5
    assert (tmp_path / "v.jsonl").stat().st_ino == number and (tmp_path / "v.jsonl").read_bytes() == data


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet"])
def test_no_rows_are_a_file_with_the_usual_columns(kind: str, tmp_path: Path) -> None:
    path = made(tmp_path, f"v.{kind}", [])
    if kind == "parquet":
        schema = pq.read_schema(path)
        assert schema.names[:5] == ["id", "instruction", "chosen", "rejected", "label"]
        assert schema.field("p1").type == pa.float64() and schema.field("p1_by_order").type == pa.list_(pa.float64())
    wanted = "id,instruction,chosen,rejected,label,p1,p2,p1_by_order,consistent,truncated\n"
    assert path.read_bytes() == {"csv": wanted.encode(), "json": b"[]\n", "jsonl": b""}.get(kind, path.read_bytes())


def test_a_failure_leaves_the_older_file_and_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    partial = write_rows(tmp_path / "v.csv.partial", random_rows(4, 5))
    (tmp_path / "v.csv").write_text("older")

    def full(stream: io.BufferedIOBase, wanted: Callable[[], Iterator[Row]], to: str) -> int:
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(writing._WRITERS, "csv", full)
    with pytest.raises(OSError, match="No space left"):
        convert(partial, tmp_path / "v.csv", to="rows", keep=Keep())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v.csv", "v.csv.partial"]
    assert (tmp_path / "v.csv").read_text() == "older" and len(partial.read_text().splitlines()) == 5


# Columns


def test_columns_of_any_row_stand_in_every_row(tmp_path: Path) -> None:
    rows = [verdict_row(1, [0.6]), verdict_row(2, [0.6, 0.7], 1, note={"a": [1]}), verdict_row("x", [0.6], note="text")]
    with open(made(tmp_path, "v.csv", rows), newline="") as stream:
        one, two, three = csv.DictReader(stream)
    assert [one["human_label"], one["note"], one["consistent"]] == ["", "", ""]
    assert json.loads(two["note"]) == {"a": [1]} and three["note"] == "text"
    found = pq.read_table(made(tmp_path, "v.parquet", rows)).to_pylist()
    assert [row["id"] for row in found] == ["1", "2", '"x"'], "of several types: JSON text"
    assert [row["note"] for row in found] == [None, '{"a": [1]}', '"text"']
    assert [row["human_label"] for row in found] == [None, 1, None]
    assert [row["p1_by_order"] for row in found] == [[0.6], [0.6, 0.7], [0.6]]


def test_parquet_columns_have_the_type_of_their_values(tmp_path: Path) -> None:
    rows = [
        verdict_row(n, [0.5], whole=n, part=n / 2, mixed=n / 2 if n else 1, flag=bool(n), huge=10**30 + n, none=None,
                    texts=["a", n])
        for n in range(3)
    ]  # fmt: skip
    path = made(tmp_path, "v.parquet", rows)
    schema = pq.read_schema(path)
    types = {name: str(schema.field(name).type) for name in schema.names}
    assert types["id"] == types["whole"] == "int64" and types["part"] == types["mixed"] == "double"
    assert types["flag"] == "bool" and types["none"] == types["huge"] == types["texts"] == "string"
    found = pq.read_table(path).to_pylist()
    assert [row["huge"] for row in found] == [str(10**30 + n) for n in range(3)]
    assert [row["mixed"] for row in found] == [1.0, 0.5, 1.0] and found[1]["texts"] == '["a", 1]'


def test_large_files_are_written_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = random_rows(5, 50)
    monkeypatch.setattr(writing, "_BATCH", 8)
    path = made(tmp_path, "v.parquet", rows)
    assert pq.ParquetFile(path).num_row_groups == 7
    monkeypatch.setattr(writing, "_BATCH_BYTES", 1)
    assert pq.ParquetFile(made(tmp_path, "w.parquet", rows)).num_row_groups == 50
    assert pq.read_table(path).to_pylist() == pq.read_table(tmp_path / "w.parquet").to_pylist()


# What is kept, and TRL's rows


def test_near_ties_and_disagreement_are_dropped_or_marked() -> None:
    tie, split, sure = verdict_row(1, [0.5, 0.52]), verdict_row(2, [0.9, 0.4]), verdict_row(3, [0.9, 0.8])
    once = verdict_row(4, [0.9])
    rows = [tie, split, sure, once]
    assert [row for row in rows if Keep(min_margin=0.1)(row)] == [split, sure, once]
    assert [row for row in rows if Keep(only_consistent=True)(row)] == [sure, once], "one order cannot disagree"
    assert Keep(min_margin=abs(sure["p1"] - sure["p2"]))(sure) is sure and Keep()(tie) is tie
    marked = [Keep(min_margin=0.1, mark=True)(row) for row in rows]
    assert [row["kept"] for row in marked if row] == [False, True, True, True]
    assert Keep(min_margin=0.1, mark=True)(tie | {"kept": "x"}) == tie | {"input_kept": "x", "kept": False}


def test_a_sieve_counts_each_pass_anew() -> None:
    tie, split, sure = verdict_row(1, [0.51, 0.52]), verdict_row(2, [0.9, 0.4]), verdict_row(3, [0.9, 0.8])
    worse = verdict_row(4, [0.52, 0.47])
    sieve = Sieve(Keep(min_margin=0.1, only_consistent=True))
    assert sieve.line("pair") == "", "nothing came through"
    for _ in range(2):  # as a table is written: its columns are looked for first
        assert list(sieve([tie, split, sure, worse])) == [sure]
        assert sieve.line("pair") == (
            "1 pair kept and 3 dropped (1 below the margin, 1 below the margin and inconsistent, 1 inconsistent)"
        )
    marking = Sieve(Keep(min_margin=0.1, mark=True))
    assert [row["kept"] for row in marking([tie, split, sure, worse])] == [False, True, True, False]
    assert marking.line("pair") == "2 pairs kept and 2 marked (2 below the margin)"
    everything = Sieve()
    assert list(everything([tie, sure])) == [tie, sure] and everything.line("pair") == "2 pairs"
    none = Sieve(Keep(min_margin=0.1))
    assert list(none([sure])) == [sure] and none.line("pair") == "1 pair kept and 0 dropped"


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_kept_rows_are_counted(kind: str, tmp_path: Path) -> None:
    rows = random_rows(6, 40)
    kept = [row for row in rows if abs(row["p1"] - row["p2"]) >= 0.3]
    partial = write_rows(tmp_path / "p", rows)
    sieve = Sieve(Keep(min_margin=0.3))
    assert convert(partial, tmp_path / f"v.{kind}", to="rows", keep=sieve) == sieve.kept == len(kept)
    assert sieve.dropped == {"below the margin": len(rows) - len(kept)}
    assert [str(row["id"]) for row in read_back(tmp_path / f"v.{kind}")] == [row["id"] for row in kept]


def test_a_row_for_trl() -> None:
    row = verdict_row(7, [0.25, 0.375], 1, note="x")
    assert trl_row(row) == {
        "id": "7", "prompt": "text 7", "chosen": "one 7", "rejected": "zero 7", "soft_label": 0.6875, "margin": 0.375,
        "consistent": True,
    }  # fmt: skip
    assert trl_row(row | {"id": "a", "kept": False})["kept"] is False
    assert [trl_row(row | {"id": key})["id"] for key in ("7", 7, 1.5, True, None)] == ["7", "7", "1.5", "true", "null"]


def test_trl_files_have_one_type_a_column(tmp_path: Path) -> None:
    rows = [verdict_row(key, [0.6, 0.7]) for key in (1, "x", None, 2.5)]
    schema = pq.read_schema(made(tmp_path, "t.parquet", rows, to="trl"))
    assert schema.names == ["id", "prompt", "chosen", "rejected", "soft_label", "margin", "consistent"]
    assert [str(field.type) for field in schema] == ["string"] * 4 + ["double"] * 2 + ["bool"]


# Before the work


def test_a_target_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_target(tmp_path / "new.parquet.zst")
    with pytest.raises(PairError, match="not a file that can be replaced"):
        check_target(tmp_path)
    with pytest.raises(PairError, match=r"the folder .* does not exist, make it"):
        check_target(tmp_path / "no" / "v.csv")
    for module, name in (("pyarrow", "v.parquet"), ("zstandard", "v.csv.zst")):
        monkeypatch.setitem(__import__("sys").modules, module, None)
        with pytest.raises(PairError, match=rf"{name}: this kind of file needs {module}, pip install"):
            check_target(tmp_path / name)
        check_target(tmp_path / "v.csv.gz")


def test_compressed_files_tell_no_time(tmp_path: Path) -> None:
    data = made(tmp_path, "v.jsonl.gz", random_rows(7, 3)).read_bytes()
    assert data[4:8] == b"\0\0\0\0" and data[3] == 0, "neither time nor name"
    assert len(gzip.decompress(data).splitlines()) == 3


@pytest.mark.parametrize("ending", [".xlsx", ".txt", ".foo", ".jsonlx", ".arrow", ".txt.gz"])
def test_an_unknown_ending_is_refused(ending: str, tmp_path: Path) -> None:
    with pytest.raises(PairError) as caught:
        check_target(tmp_path / f"v{ending}")
    said = f"{ending.removesuffix('.gz')} files are not written; name it .jsonl, .json, .csv, .tsv or .parquet"
    assert str(caught.value) == f"{tmp_path}/v{ending}: {said}"
    for name in ("verdicts", "run-1.5", "v.JSONL", "v.csv.gz"):
        assert check_target(tmp_path / name) == tmp_path / name

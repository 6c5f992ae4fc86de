"""From a run's verdict rows, plain JSON Lines, to the file the user wants."""

from __future__ import annotations

import codecs
import csv
import gzip
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from rlaif_fast.files.extra import optional
from rlaif_fast.files.keeping import Keep, Row, Sieve
from rlaif_fast.files.targets import check_ending, named, put, sync_file, target_of

To = Literal["rows", "tied", "trl", "scores", "rewards", "rankings"]  # tied: rows of a prompt that has a label for ties
Columns = dict[str, set[type]]  # the types of each column's values

_ENDINGS = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet",
}  # fmt: skip
# What stands in every row, so that a file without rows has its columns too.
_ROWS: dict[str, type | None] = {
    "id": None, "instruction": str, "chosen": str, "rejected": str, "label": int, "p1": float, "p2": float,
    "p1_by_order": list, "consistent": bool, "truncated": bool,
}  # fmt: skip
_COLUMNS: dict[To, dict[str, type | None]] = {
    "rows": _ROWS,
    "tied": {**_ROWS, "p_tie": float},
    "trl": {"id": str, "prompt": str, "chosen": str, "rejected": str, "soft_label": float, "margin": float,
            "consistent": bool},
    "scores": {"id": None, "instruction": str, "response": str, "score": float, "rating": float, "distribution": list,
               "mass": float, "truncated": bool},
    "rewards": {"id": None, "instruction": str, "response": str, "score": float, "truncated": bool},
    "rankings": {"id": None, "instruction": str, "responses": list, "ranking": list, "strengths": list, "wins": list,
                 "wins_first": list, "consistent_share": float, "truncated": bool},
}  # fmt: skip
_BATCH = 1024  # rows of a Parquet row group, at most
_BATCH_BYTES = 16_000_000


def trl_row(row: Row) -> Row:
    """A verdict's row as TRL's trainers take it: texts, with the soft label and the margin beside them."""
    key, p1, p2 = row["id"], row["p1"], row["p2"]
    found = {
        "id": key if isinstance(key, str) else json.dumps(key),
        "prompt": row["instruction"], "chosen": row["chosen"], "rejected": row["rejected"],
        "soft_label": max(p1, p2), "margin": abs(p1 - p2), "consistent": row["consistent"],
    }  # fmt: skip
    return found | ({"kept": row["kept"]} if "kept" in row else {})


def target_kind(path: Path) -> tuple[str, str | None]:
    """(jsonl, json, csv, tsv or parquet; gz, zst or None) from a file's name."""
    name = path.name.lower()
    packing = next((end for end in ("gz", "zst") if name.endswith(f".{end}")), None)
    ending = Path(name.removesuffix(f".{packing}")).suffix
    return _ENDINGS.get(ending, "jsonl"), packing


def check_target(path: Path, inputs: Sequence[str] = ()) -> Path:
    """The file that ``path`` leads to; said before hours of judging what could not be written.

    Raises:
        PairError: as :func:`target_of`, an ending that is not written, or a package for its kind is not installed.
    """
    target = target_of(path, inputs)
    kind, packing = target_kind(target)
    ending = Path(target.name.lower().removesuffix(f".{packing}")).suffix
    if ending not in _ENDINGS:
        check_ending(path, ending, (".jsonl", ".json", ".csv", ".tsv", ".parquet"))
    if packing == "zst":
        optional("zstandard", path)
    if kind == "parquet":
        optional("pyarrow", path)
    return target


def convert(
    rows: Path, target: Path, *, to: To, keep: Keep | Sieve = Keep(),
    spread: Callable[[Row], Iterable[Row]] | None = None,
) -> int:  # fmt: skip
    """Give the rows their form and ``target`` its name; ``rows`` is gone then. The bytes depend on the rows only.

    Args:
        rows: verdict rows, one JSON object a line.
        keep: which are written; a sieve counts them, where not all are taken as they are.
        spread: what a row of another kind becomes: verdict rows.

    Returns:
        How many rows the target has.
    """
    kind, packing = target_kind(target)
    sieve = keep if isinstance(keep, Sieve) else Sieve(keep)
    if (kind, packing, sieve.keep) == ("jsonl", None, Keep()) and to != "trl":
        with open(rows, "rb") as lines:
            count = sum(1 for _ in lines)
        with named(target):
            put(rows, target)
        return count

    def judged() -> Iterator[Row]:
        with open(rows, "rb") as stream:
            for line in stream:
                yield from spread(json.loads(line)) if spread else [json.loads(line)]

    def wanted() -> Iterator[Row]:
        return map(trl_row, sieve(judged())) if to == "trl" else sieve(judged())

    fresh = target.with_name(target.name + ".writing")
    try:
        with named(target):
            with _packed(fresh, packing) as stream:
                count = _WRITERS[kind](stream, wanted, to)
            put(fresh, target)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    rows.unlink()
    return count


@contextmanager
def _packed(path: Path, packing: str | None) -> Iterator[BinaryIO]:
    with open(path, "wb") as file:
        if packing == "gz":
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as stream:
                yield cast(BinaryIO, stream)
        elif packing == "zst":
            with optional("zstandard").ZstdCompressor(write_checksum=True).stream_writer(file, closefd=False) as stream:
                yield stream
        else:
            yield cast(BinaryIO, file)
        file.flush()
        sync_file(file.fileno())


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _write_lines(stream: BinaryIO, wanted: Callable[[], Iterator[Row]], _: To) -> int:
    count = 0
    for row in wanted():
        count += 1
        stream.write(_json(row).encode() + b"\n")
    return count


def _write_array(stream: BinaryIO, wanted: Callable[[], Iterator[Row]], _: To) -> int:
    count = 0
    for count, row in enumerate(wanted(), start=1):
        stream.write((b",\n" if count > 1 else b"[\n") + _json(row).encode())
    stream.write(b"\n]\n" if count else b"[]\n")
    return count


def _columns(rows: Iterator[Row], to: To) -> Columns:
    columns: Columns = {name: set() if kind is None else {kind} for name, kind in _COLUMNS[to].items()}
    for row in rows:
        for name, value in row.items():
            kinds = columns.setdefault(name, set())
            if value is not None:  # an integer that int64 cannot hold stays exact as text
                kinds.add(dict if type(value) is int and not -(2**63) <= value < 2**63 else type(value))
    return columns


def _write_csv(stream: BinaryIO, wanted: Callable[[], Iterator[Row]], to: To, delimiter: str = ",") -> int:
    columns = _columns(wanted(), to)
    text = codecs.getwriter("utf-8")(stream)
    plain, quoted = (
        csv.writer(text, delimiter=delimiter, lineterminator="\n", quoting=quoting)
        for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
    )

    def write(cells: Collection[str]) -> None:
        # A carriage return ends a line for readers, and csv does not quote it where lines end in another.
        (quoted if any("\r" in cell for cell in cells) else plain).writerow(cells)

    write(columns)
    count = 0
    for row in wanted():
        count += 1
        write([_cell(row.get(name)) for name in columns])
    return count


def _cell(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else _json(value)


def _write_parquet(stream: BinaryIO, wanted: Callable[[], Iterator[Row]], to: To) -> int:
    arrow, parquet = optional("pyarrow"), optional("pyarrow.parquet")
    types = {str: arrow.string(), bool: arrow.bool_(), int: arrow.int64(), float: arrow.float64()}
    numbers = arrow.list_(arrow.float64())
    lists = {"responses": arrow.list_(arrow.string()), "ranking": arrow.list_(arrow.int64()),
             "wins": arrow.list_(numbers), "wins_first": arrow.list_(numbers)}  # fmt: skip
    kinds = {
        name: list if _COLUMNS[to].get(name) is list else _kind_of(found)
        for name, found in _columns(wanted(), to).items()
    }
    schema = arrow.schema([
        (name, lists.get(name, numbers) if kind is list else types.get(kind, arrow.string()))
        for name, kind in kinds.items()
    ])  # fmt: skip

    def value(row: Row, name: str) -> Any:
        found = row.get(name)
        if found is None or kinds[name] not in (float, dict):
            return found
        return float(found) if kinds[name] is float else _json(found)

    count = 0
    with parquet.ParquetWriter(stream, schema) as writer:
        for batch in _batches(wanted()):
            count += len(batch)
            columns = [[value(row, name) for row in batch] for name in kinds]
            arrays = [arrow.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
            writer.write_batch(arrow.RecordBatch.from_arrays(arrays, schema=schema))
    return count


def _kind_of(found: set[type]) -> type:
    """What a Parquet column of no list of ours holds; dict for JSON text."""
    if found == {int, float}:
        return float
    kind = next(iter(found)) if len(found) == 1 else dict if found else str
    return dict if kind is list else kind


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += sum(len(value) for value in row.values() if isinstance(value, str))
        if len(batch) == _BATCH or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


_WRITERS: dict[str, Callable[[BinaryIO, Callable[[], Iterator[Row]], To], int]] = {
    "jsonl": _write_lines,
    "json": _write_array,
    "csv": _write_csv,
    "tsv": lambda stream, wanted, to: _write_csv(stream, wanted, to, "\t"),
    "parquet": _write_parquet,
}

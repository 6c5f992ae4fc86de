"""A file, a folder or standard input, opened with the reader for its kind."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from rlaif_fast.errors import PairError
from rlaif_fast.files.arrow_tables import arrow_rows, parquet_rows
from rlaif_fast.files.compression import CUT, DAMAGE, unpacked
from rlaif_fast.files.csv_records import records
from rlaif_fast.files.extra import optional
from rlaif_fast.files.folder import shards_of
from rlaif_fast.files.foreign import cannot_be_read, refuse_foreign
from rlaif_fast.files.hub_commit import SCHEME
from rlaif_fast.files.hub_dataset import hub_rows
from rlaif_fast.files.json_array import elements
from rlaif_fast.files.json_lines import json_lines
from rlaif_fast.files.source import Found, Part, Row, Source


@contextmanager
def open_rows(
    path: str, kind: str | None = None, part: Part = Part(), say: Callable[[str], object] | None = None
) -> Iterator[Source]:
    """The rows of a file, a folder, a data set of the hub (``hf://datasets/OWNER/NAME``), or standard input for ``-``.

    Args:
        kind: jsonl, json (an array), csv, tsv, parquet, arrow; None: seen from the beginning and the name.
        part: of a folder or a data set that holds several.
        say: is told which commit of a data set is read.

    Raises:
        PairError: missing, not readable, a folder without rows, or a package for its kind is not installed.
    """
    if path.startswith(SCHEME):
        if kind is not None:
            raise PairError(f"{path}: --from {kind} is for files, and this is a data set of the hub; leave it out")
        with hub_rows(path, part, say) as source:
            yield source
        return
    for name in ("config", "revision"):
        if (value := getattr(part, name)) is not None:
            raise PairError(f"{path}: --{name} {value} is for data sets of the hub (hf://datasets/…); leave it out")
    split = part.split
    if split is not None and not os.path.isdir(path):
        raise PairError(f"{path}: --split {split} is for a data set's folder, and this is not a folder; leave it out")
    if path == "-":
        if sys.stdin is None:
            raise PairError("stdin: is closed, give a file of pairs")
        with _readable("stdin"):
            head, stream = unpacked(sys.stdin.buffer, "stdin")
        found = kind or _kind(head, "")
        refuse_foreign(head, "stdin")
        _require(found, "stdin")
        yield Source("stdin", found, False, lambda: _rows("stdin", found, stream))
        return
    if os.path.isdir(path):
        shards = shards_of(Path(path), split)
        yield Source(path, "folder", True, lambda: _folder_rows(shards))
        return
    try:
        file = open(path, "rb")  # noqa: SIM115  (an error of the caller's block is not ours)
    except OSError as error:
        raise cannot_be_read(path, str(error.strerror)) from None
    with file:
        restartable = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        with _readable(path):
            head, stream = unpacked(file, path)
        known = kind or _kind(head, path)
        refuse_foreign(head, path)
        _require(known, path)
        read = (lambda: _file_rows(path, known)) if restartable else (lambda: _rows(path, known, stream))
        yield Source(path, known, restartable, read)


@contextmanager
def _readable(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PairError(f"{path}: cannot be read ({error.strerror or error}), give a file of pairs") from None


def _require(kind: str, file: str) -> None:
    if kind in ("parquet", "arrow"):
        optional("pyarrow", file)


def _kind(head: bytes, name: str) -> str:
    ending = Path(re.sub(r"\.(gz|zst)$", "", name.lower())).suffix
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"\xff\xff\xff\xff", b"ARROW1")):
        return "arrow"
    if ending in (".csv", ".tsv"):
        return ending[1:]
    return "json" if head.lstrip().startswith(b"[") and ending not in (".jsonl", ".ndjson") else "jsonl"


def _file_rows(path: str, kind: str) -> Iterator[Row]:
    with open(path, "rb") as file:
        if file.read(4) in (b"PAR1", b"ARRO", b"\xff\xff\xff\xff"):
            file.seek(0)
            yield from _rows(path, kind, file)  # to be read at any place, without a copy
        else:
            file.seek(0)
            yield from _rows(path, kind, unpacked(file, path)[1])


def _rows(name: str, kind: str, stream: BinaryIO) -> Iterator[Row]:
    unit = "line" if kind in ("jsonl", "csv", "tsv") else "row"
    place, unread = 0, True
    try:
        for place, value, problem in _READERS[kind](stream):
            if kind == "jsonl" and problem and unread:
                problem += _advice(value)
            unread = False
            yield Row(place, f"{name}, {unit} {place}", value, problem)
    except DAMAGE:
        yield Row(place + 1, f"{name}, {unit} {place + 1}", None, CUT)


def _advice(line: Any) -> str:
    """What a first line that is no JSON may be instead."""
    text = line.strip() if isinstance(line, str) else ""
    if text in ("{", "["):
        return "; an object over several lines is not read: write one a line, or an array of them (--from json)"
    found = next((name for name, mark in (("tsv", "\t"), ("csv", ",")) if mark in text and text[0] not in "{["), None)
    return f"; if this is {found.upper()}, say --from {found}" if found else ""


_READERS: dict[str, Callable[[BinaryIO], Found]] = {
    "jsonl": json_lines,
    "json": elements,
    "csv": lambda stream: records(stream, ","),
    "tsv": lambda stream: records(stream, "\t"),
    "parquet": parquet_rows,
    "arrow": arrow_rows,
}


def _folder_rows(shards: list[Path]) -> Iterator[Row]:
    place = 0
    for shard in shards:
        with open_rows(str(shard)) as source:
            for row in source.rows():
                place += 1
                yield Row(place, row.where, row.value, row.problem)

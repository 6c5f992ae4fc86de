"""Rows of any file people have: JSON Lines, a JSON array, CSV, Parquet, a datasets folder; packed or not."""

from __future__ import annotations

import base64
import codecs
import csv
import gzip
import importlib
import io
import json
import os
import re
import shutil
import stat
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from rlaif_fast.errors import PairError

_LIMIT = 10_000_000  # bytes of a line or record, characters of an array's element
_TOO_LONG = "longer than 10 MB"
_CUT = "the compressed data is cut off or damaged"
_DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile)
_STEP = 1 << 16
_SPACE = re.compile(r"[ \t\n\r]*")

Found = Iterator[tuple[int, Any, "str | None"]]  # place, value, problem


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it was read.

    Attributes:
        place: line of a text file (the first of a CSV record), number of the row elsewhere; from 1.
        where: "file, line N" or "file, row N".
        value: parsed, not yet checked; where there is a problem, the text that has it as far as it is known.
        problem: why it could not be read.
    """

    place: int
    where: str
    value: Any
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """An opened file, folder or standard input.

    Attributes:
        restartable: whether each call of :meth:`rows` begins at the beginning; else there is one pass.
        read: begins a pass.
    """

    name: str
    kind: str
    restartable: bool
    read: Callable[[], Iterator[Row]]

    def rows(self) -> Iterator[Row]:
        """The rows in order; one that cannot be read has a problem, and the last one if reading cannot go on."""
        return self.read()


@contextmanager
def open_rows(path: str, kind: str | None = None) -> Iterator[Source]:
    """The rows of a file, a folder, or standard input for ``-``.

    Args:
        kind: jsonl, json (an array), csv, tsv, parquet, arrow; None: seen from the beginning and the name.

    Raises:
        PairError: missing, not readable, a folder without rows, or a package for its kind is not installed.
    """
    if path == "-":
        head, stream = _unpacked(sys.stdin.buffer, "stdin")
        found = kind or _kind(head, "")
        _require(found, "stdin")
        yield Source("stdin", found, False, lambda: _rows("stdin", found, stream))
        return
    if os.path.isdir(path):
        shards = _shards(Path(path))
        yield Source(path, "folder", True, lambda: _folder_rows(shards))
        return
    try:
        file = open(path, "rb")  # noqa: SIM115  (an error of the caller's block is not ours)
    except OSError as error:
        raise PairError(f"{path}: cannot be read ({error.strerror}), give a file of pairs or - for stdin") from None
    with file:
        restartable = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        head, stream = _unpacked(file, path)
        known = kind or _kind(head, path)
        _require(known, path)
        read = (lambda: _file_rows(path, known)) if restartable else (lambda: _rows(path, known, stream))
        yield Source(path, known, restartable, read)


def optional(module: str, file: str | Path = "this file") -> Any:
    """A module of the extra ``formats`` that ``file`` needs; raises PairError where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        name = module.partition(".")[0]
        raise PairError(f"{file}: this kind of file needs {name}, pip install 'rlaif-fast[formats]'") from None


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


class _Ahead(io.RawIOBase):
    """A stream whose beginning was looked at; a byte order mark is dropped. Does not close what it reads."""

    def __init__(self, stream: Any) -> None:
        self._stream, self.head = stream, b""
        self._damage: Exception | None = None
        try:  # blanks may come before what tells the kind, and a pipe gives as little as it likes
            while len(self.head) < _STEP and len(self.head.lstrip()) < 4 and (more := stream.read1(_STEP)):
                self.head += more
        except _DAMAGE as error:
            self._damage = error
        self.head = self.head.removeprefix(codecs.BOM_UTF8)
        self._left = self.head

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left and self._damage:
            raise self._damage
        data = self._left[: len(buffer)] or self._stream.read1(len(buffer))
        self._left = self._left[len(data) :]
        buffer[: len(data)] = data
        return len(data)


class _Zstd(io.RawIOBase):
    """Unpacked zstd frames; EOFError where they are cut off, which zstandard's own reader passes over."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._package, self._stream = optional("zstandard", name), stream
        self._frame: Any = None
        self._out = self._in = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._out:
            # A kilobyte may unpack to 32 MB.
            self._in = self._in or self._stream.read(1024)
            if not self._in:
                if self._frame is not None:
                    raise EOFError(_CUT)
                return 0
            self._frame = self._frame or self._package.ZstdDecompressor().decompressobj()
            try:
                self._out = self._frame.decompress(self._in)
            except self._package.ZstdError as error:
                raise EOFError(_CUT) from error
            self._in = b""
            if self._frame.eof:
                self._in, self._frame = self._frame.unused_data, None
        size = min(len(buffer), len(self._out))
        buffer[:size], self._out = self._out[:size], self._out[size:]
        return size


def _unpacked(stream: BinaryIO, name: str) -> tuple[bytes, BinaryIO]:
    """(the beginning of the content, the content), whatever it is packed with; raises PairError."""
    ahead = _Ahead(stream)
    packed = io.BufferedReader(ahead)
    if ahead.head.startswith(b"\x1f\x8b"):
        ahead = _Ahead(gzip.GzipFile(fileobj=packed))
    elif ahead.head.startswith(b"\x28\xb5\x2f\xfd"):
        ahead = _Ahead(io.BufferedReader(_Zstd(packed, name), _STEP))
    else:
        return ahead.head, packed
    return ahead.head, io.BufferedReader(ahead)


def _file_rows(path: str, kind: str) -> Iterator[Row]:
    with open(path, "rb") as file:
        if file.read(4) in (b"PAR1", b"ARRO", b"\xff\xff\xff\xff"):
            file.seek(0)
            yield from _rows(path, kind, file)  # to be read at any place, without a copy
        else:
            file.seek(0)
            yield from _rows(path, kind, _unpacked(file, path)[1])


def _rows(name: str, kind: str, stream: BinaryIO) -> Iterator[Row]:
    unit = "line" if kind in ("jsonl", "csv", "tsv") else "row"
    place = 0
    try:
        for place, value, problem in _READERS[kind](stream):
            yield Row(place, f"{name}, {unit} {place}", value, problem)
    except _DAMAGE:
        yield Row(place + 1, f"{name}, {unit} {place + 1}", None, _CUT)


def _lines(stream: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """(number from 1, line); None for one that is too long, which is not kept."""
    number = 0
    while line := stream.readline(_LIMIT + 1):
        number += 1
        if len(line) <= _LIMIT or line.endswith(b"\n"):
            yield number, line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(_STEP)
        yield number, None


def _json_lines(stream: BinaryIO) -> Found:
    for number, line in _lines(stream):
        if line is None:
            yield number, None, _TOO_LONG
        elif line.strip():
            try:
                yield number, _DECODER.decode(line.decode().rstrip()), None
            except UnicodeDecodeError as error:
                yield number, _shown(line), f"not UTF-8 at byte {error.start}"
            except (ValueError, RecursionError) as error:
                yield number, _shown(line), f"not JSON ({_reason(error)})"


def _shown(line: bytes) -> str:
    """A line that could not be read, as text that loses nothing."""
    return line.rstrip(b"\r\n").decode(errors="backslashreplace")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at column {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


class _Window:
    """The part of a JSON array's text that is being read."""

    def __init__(self, stream: BinaryIO, step: int) -> None:
        self._stream, self._step = cast(Any, stream), step
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._fed = self._gone = self._at = 0  # bytes read, characters dropped, place in the text
        self._text, self._ended = "", False
        self.problem: str | None = None  # why there is no more text, where the file does not just end

    def character(self) -> str:
        """The next one that is no blank; "" at the end."""
        while True:
            self._at = _end(self._text, self._at)
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def skip(self) -> None:
        self._at += 1

    def value(self) -> Any:
        """The next element, if a comma or the array's end follows; ValueError says why there is none."""
        while True:
            text = self._text
            try:
                value, end = _DECODER.raw_decode(text, self._at)
                if end - self._at > _LIMIT:
                    raise ValueError(f"{_TOO_LONG}, the array is not read further")
                after = _end(text, end)
                if text[after : after + 1] in (",", "]"):
                    self._at = after
                    return value
                error = json.JSONDecodeError("Expecting ',' delimiter", text, after)
            except json.JSONDecodeError as caught:
                error = caught
            except RecursionError as deep:
                raise ValueError(f"not JSON ({_reason(deep)})") from None
            # More text may mend what is wrong near its end; an open string is reported where it begins.
            mendable = error.pos >= len(text) - 12 or error.msg.startswith("Unterminated string")
            if mendable and len(text) - self._at > _LIMIT:
                raise ValueError(f"{_TOO_LONG}, the array is not read further")
            place = self._gone + error.pos
            if not mendable or not self._more():
                raise ValueError((mendable and self.problem) or f"not JSON ({error.msg} at character {place})")

    def _more(self) -> bool:
        """Drop what was read and add up to as much as is left; False at the end."""
        wanted = min(max(self._step, len(self._text) - self._at), 1 << 20)
        data = b""
        try:
            while not self._ended and len(data) < wanted:
                part = self._stream.read1(wanted - len(data))
                data += part
                self._ended = not part
        except _DAMAGE:
            self._ended, self.problem = True, _CUT
        self._fed += len(data)
        try:
            text = self._decoder.decode(data, self._ended)
        except UnicodeDecodeError as error:
            text = error.object[: error.start].decode()
            self._ended, self._fed = True, self._fed - len(error.object) + error.start
            self.problem = self.problem or f"not UTF-8 at byte {self._fed}"
            self._decoder.reset()
        self._text, self._gone, self._at = self._text[self._at :] + text, self._gone + self._at, 0
        return bool(text) or not self._ended


def _end(text: str, at: int) -> int:
    return cast("re.Match[str]", _SPACE.match(text, at)).end()


def _elements(stream: BinaryIO, step: int = _STEP) -> Found:
    window = _Window(stream, step)
    if window.character() != "[":
        yield 1, None, window.problem or "not a JSON array"
        return
    window.skip()
    number = 0
    more = window.character() != "]"
    while more:
        number += 1
        window.character()
        try:
            yield number, window.value(), None
        except ValueError as error:
            text = str(error)
            yield number, None, text if text.startswith(("not ", "longer", "the ")) else f"not JSON ({text})"
            return
        more = window.character() == ","
        if more:
            window.skip()
    window.skip()
    if window.character() or window.problem:
        yield number + 1, None, window.problem or "not JSON (more text behind the array)"


class _TextLines:
    """Lines for the csv module, which takes them one by one."""

    def __init__(self, stream: BinaryIO) -> None:
        self._lines, self.number = _lines(stream), 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.number, line = next(self._lines)
        if line is None:
            raise csv.Error(_TOO_LONG)
        return line.decode(errors="surrogateescape")


def _records(stream: BinaryIO, delimiter: str) -> Found:
    csv.field_size_limit(_LIMIT)
    lines = _TextLines(stream)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    header: list[str] = []
    while True:
        place, problem = lines.number + 1, None
        try:
            cells = next(reader)
            "".join(cells).encode()
        except StopIteration:
            return
        except csv.Error as error:
            problem = str(error) if str(error) == _TOO_LONG else f"not CSV ({error})"
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


def _parquet(stream: BinaryIO) -> Found:
    parquet = optional("pyarrow.parquet")
    with _seekable(stream) as file:
        yield from _table(lambda: parquet.ParquetFile(file, pre_buffer=False).iter_batches(batch_size=64), "Parquet")


def _arrow(stream: BinaryIO) -> Found:
    ipc = optional("pyarrow").ipc

    def batches(file: BinaryIO) -> Iterator[Any]:
        if file.read(6) == b"ARROW1":
            reader = ipc.open_file(file)
            yield from (reader.get_batch(n) for n in range(reader.num_record_batches))
        else:
            file.seek(0)
            yield from ipc.open_stream(file)

    with _seekable(stream) as file:
        yield from _table(lambda: batches(file), "Arrow")


def _table(batches: Callable[[], Iterable[Any]], kind: str) -> Found:
    arrow = optional("pyarrow")
    number = 0
    try:
        for batch in batches():
            for first in range(0, batch.num_rows, 64):
                for value in batch.slice(first, 64).to_pylist():
                    number += 1
                    yield number, _plain(value), None
    except (arrow.ArrowException, OSError, ValueError) as error:
        yield number + 1, None, f"damaged {kind} ({str(error).splitlines()[0][:200] if str(error) else 'cut off'})"


@contextmanager
def _seekable(stream: BinaryIO) -> Iterator[BinaryIO]:
    if stream.seekable():
        yield stream
        return
    with tempfile.TemporaryFile() as file:
        shutil.copyfileobj(stream, file)
        file.seek(0)
        yield cast(BinaryIO, file)


def _plain(value: Any) -> Any:
    """As JSON can hold it: dates as ISO text, bytes as base64, a float that is missing as null."""
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if value is None or isinstance(value, str | int | float):
        return None if value != value else value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


_READERS: dict[str, Callable[[BinaryIO], Found]] = {
    "jsonl": _json_lines,
    "json": _elements,
    "csv": lambda stream: _records(stream, ","),
    "tsv": lambda stream: _records(stream, "\t"),
    "parquet": _parquet,
    "arrow": _arrow,
}


def _shards(folder: Path) -> list[Path]:
    """The files of a data set's folder, in order. PairError: none, several splits, or several kinds."""
    splits = _saved(folder / "dataset_dict.json", lambda found: [str(name) for name in found["splits"]])
    if splits is not None:
        if len(splits) != 1:
            named = " or ".join(str(folder / name) for name in splits)
            raise PairError(f"{folder}: holds {len(splits)} splits, give one of them: {named or 'none is listed'}")
        folder /= splits[0]
    files = _saved(folder / "state.json", lambda found: [folder / file["filename"] for file in found["_data_files"]])
    if files is not None:
        return files
    for endings in ((".parquet",), (".jsonl", ".jsonl.gz", ".jsonl.zst")):
        if shards := sorted(path for path in folder.iterdir() if path.name.endswith(endings)):
            return shards
    raise PairError(f"{folder}: a folder without a saved data set, .parquet or .jsonl files; give a file of pairs")


def _saved(path: Path, take: Callable[[Any], list[Any]]) -> list[Any] | None:
    try:
        return take(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError, OSError):
        raise PairError(f"{path}: cannot be read as part of a data set, save it again with save_to_disk") from None


def _folder_rows(shards: list[Path]) -> Iterator[Row]:
    place = 0
    for shard in shards:
        with open_rows(str(shard)) as source:
            for row in source.rows():
                place += 1
                yield Row(place, row.where, row.value, row.problem)

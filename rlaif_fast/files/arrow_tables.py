"""Rows of Parquet and Arrow, as JSON can hold them."""

from __future__ import annotations

import base64
import math
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from rlaif_fast.files.extra import optional
from rlaif_fast.files.source import Found


def parquet_rows(stream: BinaryIO) -> Found:
    parquet = optional("pyarrow.parquet")
    with _seekable(stream) as file:
        yield from _table(lambda: parquet.ParquetFile(file, pre_buffer=False).iter_batches(batch_size=64), "Parquet")


def arrow_rows(stream: BinaryIO) -> Found:
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
            twice = [name for at, name in enumerate(batch.schema.names) if name in batch.schema.names[:at]]
            if twice:
                yield 1, None, f"the table names the column {twice[0]!r} twice"
                return
            for first in range(0, batch.num_rows, 64):
                for value in batch.slice(first, 64).to_pylist():
                    number += 1
                    yield number, plain(value), None
    except (arrow.ArrowException, OSError, ValueError, OverflowError) as error:
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


def plain(value: Any) -> Any:
    """As JSON can hold it: dates as ISO text, bytes as text, NaN and infinities as null."""
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:  # an object, which is never taken for a text
            return {"base64": base64.b64encode(value).decode()}
    return value.isoformat() if hasattr(value, "isoformat") else str(value)

"""Content of a file that may be packed: gzip, zstd, a byte order mark."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from typing import Any, BinaryIO

from rlaif_fast.files.extra import optional
from rlaif_fast.files.source import STEP

CUT = "the compressed data is cut off or damaged"
DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile)


class _Ahead(io.RawIOBase):
    """A stream whose beginning was looked at; a byte order mark is dropped. Does not close what it reads."""

    def __init__(self, stream: Any) -> None:
        self._stream, self.head = stream, b""
        self._damage: Exception | None = None
        try:  # blanks may come before what tells the kind, and a pipe gives as little as it likes
            while len(self.head) < STEP and len(self.head.lstrip()) < 4 and (more := stream.read1(STEP)):
                self.head += more
        except DAMAGE as error:
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
                    raise EOFError(CUT)
                return 0
            self._frame = self._frame or self._package.ZstdDecompressor().decompressobj()
            try:
                self._out = self._frame.decompress(self._in)
            except self._package.ZstdError as error:
                raise EOFError(CUT) from error
            self._in = b""
            if self._frame.eof:
                self._in, self._frame = self._frame.unused_data, None
        size = min(len(buffer), len(self._out))
        buffer[:size], self._out = self._out[:size], self._out[size:]
        return size


def unpacked(stream: BinaryIO, name: str) -> tuple[bytes, BinaryIO]:
    """(the beginning of the content, the content), whatever it is packed with; raises PairError."""
    ahead = _Ahead(stream)
    packed = io.BufferedReader(ahead)
    if ahead.head.startswith(b"\x1f\x8b"):
        ahead = _Ahead(gzip.GzipFile(fileobj=packed))
    elif ahead.head.startswith(b"\x28\xb5\x2f\xfd"):
        ahead = _Ahead(io.BufferedReader(_Zstd(packed, name), STEP))
    else:
        return ahead.head, packed
    return ahead.head, io.BufferedReader(ahead)

"""Rows that come once and are read more than once: kept on disk as they come, so memory stays flat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO


class Spool:
    """Values of an iterator, which is asked once for each.

    Each pass of :meth:`values` begins at the first value and goes on with what was not read yet. Passes may be left
    early, and run side by side.
    """

    def __init__(self, values: Iterator[Any], file: BinaryIO) -> None:
        """Args: values: JSON values; file: an empty one to write to and read from, one line a value."""
        self._values, self._file, self._end = values, file, 0
        self._failure: Exception | None = None

    def values(self) -> Iterator[Any]:
        at = 0
        while True:
            if at == self._end:
                if self._failure is not None:  # an iterator that failed would look like one that ended
                    raise self._failure
                try:
                    value = next(self._values)
                except StopIteration:
                    return
                except Exception as error:
                    self._failure = error
                    raise
                self._file.seek(self._end)
                self._file.write(json.dumps(value).encode() + b"\n")
                self._end = at = self._file.tell()
            else:
                self._file.seek(at)
                value = json.loads(self._file.readline())
                at = self._file.tell()
            yield value

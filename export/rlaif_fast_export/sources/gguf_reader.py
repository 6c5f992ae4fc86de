"""The format's own reader, quick enough for a tokenizer's hundred thousand texts, and lent to transformers' loader."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from functools import cache
from typing import Any
from unittest.mock import patch

import gguf
import numpy as np
from gguf import GGUFValueType


class GgufReader(gguf.GGUFReader):
    """A file's metadata and tensors. Arrays are read at once, not an element at a time."""

    @property
    def data(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """The file's bytes, mapped."""
        return self._bytes

    @data.setter
    def data(self, mapped: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
        self._bytes = np.asarray(mapped)  # slices of np.memmap itself are objects that take ten times as long to make

    def _get_field_parts(self, orig_offs: int, raw_type: int) -> tuple[int, list[Any], list[int], list[GGUFValueType]]:
        if raw_type != GGUFValueType.ARRAY or self.byte_order == "S":
            return super()._get_field_parts(orig_offs, raw_type)
        kind, count = self._get(orig_offs, np.uint32), self._get(orig_offs + 4, np.uint64)
        scalar, start = self.gguf_scalar_to_np.get(GGUFValueType(kind[0])), orig_offs + 12
        size = int(count[0])
        if scalar is not None:
            values = self._get(start, scalar, size)
            if len(values) < size:
                raise ValueError("an array is cut off")
            parts = list(values.reshape(-1, 1))
            return 12 + values.nbytes, [kind, count, *parts], list(range(2, 2 + size)), _types(kind, size)
        if kind[0] != GGUFValueType.STRING:
            return super()._get_field_parts(orig_offs, raw_type)
        texts, end = self._texts(start, size)
        return end - orig_offs, [kind, count, *texts], list(range(3, 3 + 2 * size, 2)), _types(kind, size)

    def _texts(self, start: int, count: int) -> tuple[list[Any], int]:
        """(length and bytes of each of so many texts by turns, where the last one ends)."""
        parts: list[Any] = []
        for _ in range(count):
            length = self._bytes[start : start + 8].view(np.uint64)
            end = start + 8 + int(length[0])
            if end > len(self._bytes):
                raise ValueError("a text is cut off")
            parts += (length, self._bytes[start + 8 : end])
            start = end
        return parts, start


def _types(kind: Any, count: int) -> list[GGUFValueType]:
    return [GGUFValueType.ARRAY, *([GGUFValueType(kind[0])] if count else [])]


@contextmanager
def lent(reader: GgufReader) -> Iterator[None]:
    """Let transformers load from a reader that is open, without the tokenizer, which it would parse and throw away.

    It also makes the table of all tensors' names once, not once a module (27 s for the embedded default).
    """
    bare = copy(reader)
    bare.fields = type(reader.fields)(
        (name, field) for name, field in reader.fields.items() if not name.startswith("tokenizer.")
    )
    with (
        patch.object(gguf, "GGUFReader", lambda _: bare),
        patch.object(gguf, "get_tensor_name_map", cache(gguf.get_tensor_name_map)),
    ):
        yield

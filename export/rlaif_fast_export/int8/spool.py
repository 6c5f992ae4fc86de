"""Tensors in a file: what an export has to keep, and memory has no room for."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

_PART = 1 << 24  # bytes read at once


@dataclass(frozen=True)
class Spooled:
    """A tensor in the file."""

    path: Path
    start: int  # bytes
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    @property
    def numbers(self) -> tuple[int, list[int], str]:
        """By which :meth:`Spool.at` finds it."""
        return self.start, list(self.shape), self.dtype.name

    def read(self) -> torch.Tensor:
        """A copy in memory."""
        found = np.fromfile(self.path, self.dtype, math.prod(self.shape), offset=self.start)
        return torch.from_numpy(found.reshape(self.shape))


class Spool:
    """The file; it grows with every tensor."""

    def __init__(self, path: Path) -> None:
        """What the file holds already stays."""
        path.touch()
        self._path, self._end = path, path.stat().st_size
        self._sums = {0: 0}  # CRC-32 of so many first bytes

    def at(self, start: int, shape: Sequence[int], dtype: str) -> Spooled:
        """What was put there, by its numbers."""
        return Spooled(self._path, start, tuple(shape), np.dtype(dtype))

    def put(self, tensor: torch.Tensor) -> Spooled:
        """Write a tensor down. Raises OSError where the disk is full."""
        value = np.ascontiguousarray(tensor.detach().numpy())
        with self._path.open("ab") as file:
            file.write(value.data)
        found = Spooled(self._path, self._end, value.shape, value.dtype)
        self._sums[self._end + value.nbytes] = zlib.crc32(value.data, self.sum_of(self._end))
        self._end += value.nbytes
        return found

    @property
    def size(self) -> int:
        """Of the file, in bytes."""
        return self._end

    def sum_of(self, size: int) -> int:
        """CRC-32 of the first ``size`` bytes, which there are."""
        if size not in self._sums:
            known = max(start for start in self._sums if start < size)
            found = self._sums[known]
            with self._path.open("rb") as file:
                file.seek(known)
                while part := file.read(min(_PART, size - file.tell())):
                    found = zlib.crc32(part, found)
            self._sums[size] = found
        return self._sums[size]

"""Weights that stay in their files: mapped, read when they are needed, and let go when they were.

Tensors of a safetensors file are views of the file's mapping as long as nobody converts them. What was read of it
counts as the process's memory until the mapping is told that it is not needed: the next read brings it back.
"""

from __future__ import annotations

import ctypes
import os
import sys
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_DONTNEED = 4  # of madvise(2) on Linux


@dataclass(frozen=True)
class Mapped:
    """Address ranges (start, bytes) that show files, unchanged."""

    ranges: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, files: Iterable[Path], shown: Iterable[int]) -> Mapped:
        """This process's mappings of ``files`` that hold one of the addresses ``shown``; none where nobody tells.

        A mapping that something was written to is left out: what was written would be lost with its pages.
        """
        if sys.platform != "linux":
            return cls()
        wanted, addresses, found = {str(file.resolve()) for file in files}, sorted(shown), []
        start = size = 0
        for line in os.fsdecode(Path("/proc/self/smaps").read_bytes()).split("\n"):
            words = line.split(maxsplit=5)
            if not words:
                continue
            if not words[0].endswith(":"):
                first, end = (int(address, 16) for address in words[0].split("-"))
                start, size = first, end - first if len(words) > 5 and words[5] in wanted else 0
            elif words[0] == "Anonymous:" and size and words[1] == "0":
                first, behind = bisect_left(addresses, start), bisect_left(addresses, start + size)
                found += [(start, size)] if first < behind else []
        return cls(tuple(found))

    def let_go(self) -> None:
        """Give the memory back that reading them took."""
        if self.ranges:
            libc = ctypes.CDLL(None)
            for start, size in self.ranges:
                libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), _DONTNEED)

"""What an int8 export has done so far, in a folder: one that was killed is taken up behind its last finished block."""

from __future__ import annotations

import io
import os
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import torch

from rlaif_fast_export.int8.spool import Spool

_KEY = "key"
_HEAD = struct.Struct("<QII")  # bytes of the spool when this was saved, their CRC-32, and that of what follows


class Work:
    """The folder.

    Attributes:
        spool: what is too large for memory.
    """

    def __init__(self, folder: Path, key: str) -> None:
        """Begin in ``folder``, or go on where it was left with the same ``key``."""
        self._folder = folder
        if not was_left(folder, key):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            (folder / _KEY).write_text(key)
        self.spool = Spool(folder / "spool")

    def load(self, name: str) -> Any:
        """What was saved under ``name``; None where nothing was, or it or the spool as it was then is damaged."""
        try:
            written = memoryview((self._folder / f"{name}.pt").read_bytes())
            size, spooled, own = _HEAD.unpack_from(written)
        except (OSError, struct.error):
            return None
        content = written[_HEAD.size :]
        if zlib.crc32(content) != own or size > self.spool.size or self.spool.sum_of(size) != spooled:
            return None
        return torch.load(io.BytesIO(content), weights_only=True)

    def save(self, name: str, value: Any) -> None:
        """Tensors, numbers and texts, in lists and dictionaries; whole or not at all."""
        partial, written = self._folder / f"{name}.partial", io.BytesIO()
        torch.save(value, written)  # to a file it would not say that a disk is full
        content = written.getbuffer()
        with partial.open("wb") as file:
            size = self.spool.size
            file.write(_HEAD.pack(size, self.spool.sum_of(size), zlib.crc32(content)))
            file.write(content)
        os.replace(partial, self._folder / f"{name}.pt")

    def drop(self, name: str) -> None:
        """What was saved under ``name``, if it was."""
        (self._folder / f"{name}.pt").unlink(missing_ok=True)


def was_left(folder: Path, key: str) -> bool:
    """Whether work with ``key`` was left in ``folder``."""
    try:
        return (folder / _KEY).read_text() == key
    except OSError:
        return False

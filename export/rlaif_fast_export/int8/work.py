"""What an int8 export has done so far, in a folder: one that was killed is taken up behind its last finished block."""

from __future__ import annotations

import io
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import torch

from rlaif_fast_export.int8.spool import Spool

_KEY = "key"


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
        """What was saved under ``name``; None where nothing was, or it is torn."""
        try:
            return torch.load(self._folder / f"{name}.pt", weights_only=True)
        except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError):
            return None

    def save(self, name: str, value: Any) -> None:
        """Tensors, numbers and texts, in lists and dictionaries; whole or not at all."""
        partial, written = self._folder / f"{name}.partial", io.BytesIO()
        torch.save(value, written)  # to a file it would not say that a disk is full
        partial.write_bytes(written.getbuffer())
        os.replace(partial, self._folder / f"{name}.pt")

    def drop(self, name: str) -> None:
        """What was saved under ``name``, if it was."""
        (self._folder / f"{name}.pt").unlink(missing_ok=True)

    def remove(self) -> None:
        """It is done."""
        shutil.rmtree(self._folder)


def was_left(folder: Path, key: str) -> bool:
    """Whether work with ``key`` was left in ``folder``."""
    try:
        return (folder / _KEY).read_text() == key
    except OSError:
        return False

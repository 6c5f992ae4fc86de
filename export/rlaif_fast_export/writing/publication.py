"""A bundle appears whole or not at all: it is made in a folder beside its place, and moved there."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path

from filelock import BaseFileLock

from rlaif_fast.bundle.editing import alone_with, require_free
from rlaif_fast.errors import PairError
from rlaif_fast.files.locking import locked
from rlaif_fast.files.targets import sync_file

_HELD = "export"  # in the folder of an export that runs, the lock by which others know it


@contextmanager
def scratch(output: Path, of_use: Callable[[Path], Path | None] = lambda _: None) -> Iterator[Path]:
    """A folder beside ``output`` that is gone afterwards, whatever happens but a kill; that, the next export mends.

    ``of_use``: what of a killed export's folder this one goes on with; all else of it is removed.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    taken: tuple[Path, BaseFileLock] | None = None
    with alone_with(output):  # a folder that is not locked yet, or not any more, is nobody's to take
        for left, lock in _abandoned(output):
            if taken is None and (kept := of_use(left)) is not None:
                taken = left, lock
                _remove_all_but(kept)
            else:
                shutil.rmtree(left, ignore_errors=True)
                lock.release()
        if taken is None:
            folder = output.parent / f"{_prefix(output)}{secrets.token_hex(4)}"  # pids are the same in two containers
            folder.mkdir()
            taken = folder, locked(folder / _HELD, None)
    folder, lock = taken
    try:
        yield folder
    except OSError as error:
        if error.filename is not None:
            raise
        room = "make room, or give another disk's folder with -o"
        raise OSError(error.errno, f"{error.strerror or error}; {room}", str(output)) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def left_behind(output: Path) -> list[Path]:
    """The folders of exports to ``output`` that were killed."""
    found = []
    with alone_with(output):
        for left, lock in _abandoned(output):
            lock.release()
            found.append(left)
    return found


def _abandoned(output: Path) -> Iterator[tuple[Path, BaseFileLock]]:
    """The folders that no process holds any more, held now."""
    for left in sorted(output.parent.glob(f"{escape(_prefix(output))}*")):
        try:
            lock = locked(left / _HELD, None)
        except (PairError, OSError):
            continue
        yield left, lock


def _prefix(output: Path) -> str:
    return f".{output.name}.partial-"


def _remove_all_but(kept: Path) -> None:
    for other in kept.parent.iterdir():
        if other.is_dir() and other != kept:
            shutil.rmtree(other)
        elif other != kept and other.stem != _HELD:
            other.unlink()


def publish(folder: Path, output: Path, *, force: bool) -> None:
    """Move the finished bundle to its place; an older one goes only once the new one stands.

    Raises ExportError where something is there that ``force`` does not replace: another export may have been quicker.
    """
    for path in (path for path in folder.rglob("*") if path.is_file()):
        with open(path, "rb") as stream:
            sync_file(stream.fileno())
    before = f".{output.name}.old-"
    old = output.with_name(f"{before}{os.getpid()}")
    with alone_with(output):
        require_free(output, force)
        for lock in folder.glob(f"{_HELD}.*"):
            lock.unlink()
        if output.exists():
            output.rename(old)
        try:
            folder.rename(output)
        except OSError:
            if old.exists():
                old.rename(output)
            raise
    for replaced in output.parent.glob(f"{escape(before)}*"):
        shutil.rmtree(replaced, ignore_errors=True)

"""A bundle appears whole or not at all: it is made in a folder beside its place, and moved there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path

from rlaif_fast.files.targets import sync_file


@contextmanager
def scratch(output: Path, of_use: Callable[[Path], Path | None] = lambda _: None) -> Iterator[Path]:
    """A folder beside ``output`` that is gone afterwards, whatever happens but a kill; that, the next export mends.

    ``of_use``: what of a killed export's folder this one goes on with; all else of it is removed.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    folder, taken = _own(output), None
    for left in left_behind(output):
        if taken is None and (kept := of_use(left)) is not None:
            taken = left
            _remove_all_but(kept)
        else:
            shutil.rmtree(left, ignore_errors=True)
    if taken is None:
        folder.mkdir()
    elif taken != folder:
        taken.rename(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def left_behind(output: Path) -> list[Path]:
    """The folders of exports to ``output`` that were killed."""
    prefix, own = _prefix(output), _own(output)
    found = output.parent.glob(f"{escape(prefix)}*")
    return [left for left in found if left == own or not _alive(left.name.removeprefix(prefix))]


def _own(output: Path) -> Path:
    """This process's; one that was killed may have had it, since pids come again, in containers at once."""
    return output.parent / f"{_prefix(output)}{os.getpid()}"


def _prefix(output: Path) -> str:
    return f".{output.name}.partial-"


def _remove_all_but(kept: Path) -> None:
    for other in kept.parent.iterdir():
        if other.is_dir() and other != kept:
            shutil.rmtree(other)
        elif other != kept:
            other.unlink()


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True


def publish(folder: Path, output: Path) -> None:
    """Move the finished bundle to its place; an older one goes only once the new one stands."""
    for path in (path for path in folder.rglob("*") if path.is_file()):
        with open(path, "rb") as stream:
            sync_file(stream.fileno())
    before = f".{output.name}.old-"
    old = output.with_name(f"{before}{os.getpid()}")
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

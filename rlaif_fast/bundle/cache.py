"""The cache folder: what it holds, and taking things out of it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rlaif_fast.bundle.folder import lacking, read_manifest
from rlaif_fast.bundle.home import BUNDLES, CHECKED, ENGINES, FINISHED, READINGS, home
from rlaif_fast.bundle.hub import downloads, forget_empty
from rlaif_fast.errors import BundleError


@dataclass(frozen=True)
class Entry:
    """Something in the cache folder that can be taken out.

    Attributes:
        name: what ``cache remove`` takes.
        kind: ``bundle``, ``download`` (a published bundle), ``self-tests`` (which bundles passed on this machine),
            ``readings`` (what ``select`` read), ``finished`` (what made the files of finished runs), ``engines``
            (what was measured of them), ``leftover`` of a stopped export or download, ``damaged`` (no readable
            manifest), ``incomplete`` (a bundle's file is missing or cut off) or ``link``.
        what: a few words for people.
        bytes: of its files; a link has none.
        made: when it was written, seconds since 1970.
        used: when it was last read, as far as the file system notes that.
    """

    name: str
    kind: str
    what: str
    path: Path
    bytes: int
    made: float
    used: float


def entries() -> list[Entry]:
    """Everything in the cache folder, by name. An error of one thing hides no other."""
    found = [_bundle(path) for path in _inside(home() / BUNDLES)]
    found += [_bundle(path, name) for name, path in downloads()]
    for name, kind, holds in (
        (CHECKED, "self-tests", "passed on this machine"), (READINGS, "readings", "prompts that select read through"),
        (FINISHED, "finished", "remembered with the run that made it"),
        (ENGINES, "engines", "measured on this machine"),
    ):  # fmt: skip
        path = home() / name
        if path.is_symlink() or path.is_dir():
            what = "a link" if path.is_symlink() else f"{len(list(_inside(path)))} {holds}"
            found.append(_entry(path, "link" if path.is_symlink() else kind, what, name))
    return sorted(found, key=lambda entry: entry.name)


def remove(entry: Entry) -> None:
    """Take ``entry`` out. A link is taken away itself; what it leads to is left alone.

    Raises:
        BundleError: a process has it open, or the folder it lies in is a link that leads out of the cache folder.
    """
    if entry.path.parent != home() and entry.path.parent.is_symlink():
        raise BundleError(f"{entry.path.parent}: a link that leads out of the cache folder; remove {entry.name} there")
    if entry.path.is_symlink() or not entry.path.is_dir():
        entry.path.unlink()
        return
    if (process := _user(entry.path)) is not None:
        raise BundleError(f"{entry.path}: in use by process {process}; wait for it, or stop it")
    # Renamed first: stopped halfway, no half bundle is left under its name.
    gone = entry.path.with_name(f".{entry.path.name}.old-{os.getpid()}")
    entry.path.rename(gone)
    shutil.rmtree(gone)
    forget_empty()


def _bundle(path: Path, name: str | None = None) -> Entry:
    """Args: name: of a download."""
    if path.is_symlink():
        return _entry(path, "link", f"to {os.readlink(path)}", name)
    if path.name.startswith(".") or not path.is_dir():
        return _entry(path, "leftover", f"of a stopped {'download' if name else 'export'} or removal", name)
    try:
        manifest = read_manifest(path)
    except BundleError as error:
        return _entry(path, "damaged", str(error), name)
    if faults := lacking(path, manifest):
        return _entry(path, "incomplete", f"{manifest.name}: {', '.join(faults)}", name)
    return _entry(path, "download" if name else "bundle", manifest.name, name)


def _entry(path: Path, kind: str, what: str, name: str | None = None) -> Entry:
    stats = [path.lstat()] if kind == "link" else list(_stats(path))
    size = 0 if kind == "link" else sum(stat.st_size for stat in stats)
    made, used = (max((getattr(stat, key) for stat in stats), default=0.0) for key in ("st_mtime", "st_atime"))
    return Entry(name or path.name, kind, what, path, size, made, max(made, used))


def _stats(path: Path) -> Iterator[os.stat_result]:
    """Of every file below, links not followed."""
    if not path.is_dir():
        yield path.lstat()
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                yield Path(folder, name).lstat()


def _inside(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(folder.iterdir())


def _user(folder: Path) -> int | None:
    """A process that has files of ``folder`` mapped or open, where the system lets us see it."""
    if sys.platform != "linux":
        return None
    inside = f"{folder.resolve()}{os.sep}"
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            with suppress(OSError):  # another user's, or gone by now
                if inside in (process / "maps").read_text(errors="surrogateescape"):
                    return int(process.name)
                if any(os.readlink(file).startswith(inside) for file in (process / "fd").iterdir()):
                    return int(process.name)
    return None

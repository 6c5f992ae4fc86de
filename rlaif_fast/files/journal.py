"""Where a run stands, on disk, so that stopping it at any moment loses nothing and doubles nothing.

Beside the output ``OUT`` lie, until it is whole::

    OUT.partial   the verdicts so far, one JSON object a line, in the order of the input
    OUT.journal   how many of them are safe, and what the run is bound to; replaced as a whole, never edited
    OUT.lock      held by the process that writes them

A run that finds a journal of its own kind cuts OUT.partial back to what the journal vouches for (a torn last
line goes with it), reads the input from the beginning, compares its consumed part by digest and goes on behind it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from rlaif_fast.errors import PairError
from rlaif_fast.files.difference import difference
from rlaif_fast.files.locking import Say, locked
from rlaif_fast.files.targets import named, sync_file, sync_folder
from rlaif_fast.wording import counted

_INTERVAL = 1.0  # seconds between two journal entries: what a killed run judges again
_SCHEMA = 1


class Item(Protocol):
    """What is judged or scored."""

    @property
    def bytes(self) -> int: ...


T = TypeVar("T", bound=Item)


class Digest(Protocol):
    """One of hashlib's."""

    def update(self, data: bytes, /) -> None: ...


@dataclass(frozen=True)
class _Stand:
    """What the journal vouches for. Replaced as a whole, so an interrupt sees the one before or the one behind a row.

    Attributes:
        input: digest of the rows consumed, hexadecimal.
    """

    verdicts: int = 0
    bytes: int = 0
    input: str = hashlib.sha256().hexdigest()
    tally: Mapping[str, Any] = field(default_factory=dict)


class Journal:
    """A run's rows on their way into a file. Made by :func:`journal_of`."""

    def __init__(self, output: Path, bound: Mapping[str, Any], say: Say | None = None) -> None:
        self.rows = output.with_name(output.name + ".partial")
        self.done = 0  # verdicts that were there already
        self.finished = False  # nothing left to do: an earlier process was stopped just behind the end
        self.form: Mapping[str, Any] = {}  # what the finished file was given, where that is so
        self._file = output.with_name(output.name + ".journal")
        self._output, self._bound, self._say = output, dict(bound), say
        self._stand = self._coming = _Stand()  # _coming: where the row on its way leads to
        self._consumed = hashlib.sha256()
        self._stream: io.FileIO | None = None
        self._next = 0.0
        self._fresh = False  # begun by this process
        self._noted = False  # there is more to come back to than rows

    @property
    def tally(self) -> Mapping[str, Any]:
        """What the closing line counts up to here."""
        return self._stand.tally

    def start(self, restart: bool) -> None:
        """Take up what is there, or begin. Raises PairError where it belongs to another run."""
        entry = None if restart else self._read()
        if entry is not None:
            self._compare(entry["bound"])
            if not self.rows.exists():
                self.finished = bool(entry["complete"]) and self._output.exists()
                self.form = entry.get("form") or {}
                entry = entry if self.finished else None
            elif self.rows.stat().st_size < entry["bytes"]:
                raise PairError(
                    f"{self.rows}: {self.rows.stat().st_size:,} bytes, {entry['bytes']:,} were written;"
                    " start over with --restart"
                )
            elif not _ends_line(self.rows, entry["bytes"]):
                raise PairError(f"{self.rows}: does not match the journal; start over with --restart")
        if entry is not None:
            self._stand = self._coming = _Stand(**{f.name: entry[f.name] for f in fields(_Stand)})
            self.done = self._stand.verdicts
        if self.finished:
            return
        # Unbuffered: what a full disk refused is not tried again behind our back.
        self._stream = open(self.rows, "ab", buffering=0)  # noqa: SIM115  (closed by close)
        self._stream.truncate(self._stand.bytes)
        if entry is None:
            self._fresh = True
            self._record()

    def checked(self, items: Iterable[T]) -> Iterator[T]:
        """``items`` themselves; raises PairError where the part consumed before is not what it was."""
        number = 0
        for number, item in enumerate(items, start=1):
            if number <= self.done:
                self._consume(item)
            if number == self.done:
                self._verify()
            yield item
        if number < self.done:
            raise self._changed(f"it has {counted(number, 'row')}")

    def write(self, item: Item, row: str, tally: Mapping[str, Any]) -> None:
        """Append what became of an item; ``tally`` is what the closing line shall count up to here."""
        assert self._stream is not None
        rest = memoryview(row.encode() + b"\n")
        self._consume(item)
        before = self._stand
        self._coming = _Stand(
            before.verdicts + 1, before.bytes + len(rest), self._consumed.hexdigest(), dict(tally)
        )  # fmt: skip
        with named(self._output):
            while rest:  # what the system has survives this process
                rest = rest[self._stream.write(rest) :]
        self._stand = self._coming
        if time.monotonic() >= self._next:
            self._record()

    def note(self, tally: Mapping[str, Any]) -> None:
        """Keep what was found out before the first row, or between two."""
        self._stand, self._noted = replace(self._stand, tally=dict(tally)), True
        self._coming = self._stand
        if time.monotonic() >= self._next:
            self._record()

    def complete(self, form: Mapping[str, Any] = {}) -> None:
        """All pairs are judged: what is left to do is to give the file its ``form`` (JSON values) and name."""
        self.form = form
        self._record(complete=True)
        self.close()

    def close(self) -> None:
        """Leave the run where it stands."""
        if self._stream is not None:
            stream, self._stream = self._stream, None
            stream.close()

    def remove(self) -> None:
        """There is nothing to come back to."""
        self.close()
        self._file.unlink(missing_ok=True)
        self.rows.unlink(missing_ok=True)

    def stop(self) -> None:
        """Vouch for everything written so far, as far as the disk still lets; no verdict yet leaves no trace."""
        with suppress(OSError):  # the last entry holds, what came behind it is judged again
            if self._stream is not None and os.fstat(self._stream.fileno()).st_size == self._coming.bytes:
                self._stand = self._coming  # interrupted behind the row's last byte
            if self._fresh and not self._stand.verdicts and not self._noted:
                self.remove()
            elif self._stream is not None and (self._stand.verdicts > self.done or self._noted):
                self._record()
        self.close()

    def _consume(self, item: Any) -> None:
        consume(self._consumed, item)

    def _verify(self) -> None:
        if self._consumed.hexdigest() != self._stand.input:
            raise self._changed(f"its first {self.done} rows are not those that were read")

    def _changed(self, how: str) -> PairError:
        return PairError(
            f"{self._output}: the run began with another input ({how}); give the same input, or start over with"
            " --restart"
        )

    def _compare(self, bound: Any) -> None:
        if how := difference(bound if isinstance(bound, dict) else {}, self._bound):
            raise PairError(f"{self._output}: the run began {how}; give the same command, or start over with --restart")

    def _read(self) -> dict[str, Any] | None:
        try:
            entry = json.loads(self._file.read_bytes())
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError):
            entry = None
        wanted = {"schema": int, "bound": dict, "verdicts": int, "bytes": int, "input": str, "tally": dict,
                  "complete": bool}  # fmt: skip
        if (
            not isinstance(entry, dict)
            or entry.get("schema") != _SCHEMA
            or any(type(entry.get(name)) is not kind for name, kind in wanted.items())
            or min(entry["verdicts"], entry["bytes"]) < 0
            or (entry["verdicts"] == 0) != (entry["bytes"] == 0)
            or not all(map(_counted, entry["tally"].values()))
        ):
            raise PairError(f"{self._file}: not a journal that this version reads; start over with --restart")
        return entry

    def _record(self, complete: bool = False) -> None:
        """Replace the journal once the rows it vouches for are on the disk."""
        assert self._stream is not None
        entry = {
            "schema": _SCHEMA, "bound": self._bound, "complete": complete, "form": dict(self.form),
            **{f.name: getattr(self._stand, f.name) for f in fields(_Stand)},
        }  # fmt: skip
        fresh = self._file.with_name(self._file.name + ".new")
        try:
            with named(self._output):
                synced = sync_file(self._stream.fileno())
                with open(fresh, "wb") as stream:
                    stream.write(json.dumps(entry).encode())
                    stream.flush()
                    synced &= sync_file(stream.fileno())
                os.replace(fresh, self._file)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise
        if not (sync_folder(self._file.parent) and synced) and self._say is not None:
            self._say(f"{self._output}: this file system cannot be asked to write through; a power cut may lose rows,"
                      " an end of the process does not")  # fmt: skip
            self._say = None
        self._next = time.monotonic() + _INTERVAL


@contextmanager
def journal_of(
    output: Path, bound: Mapping[str, Any], *, restart: bool = False, say: Say | None = None
) -> Iterator[Journal]:
    """The run that writes ``output``, locked against other processes.

    Args:
        output: the file that stands when all is done.
        bound: what must be the same for the run to be taken up again, by name; JSON values.
        restart: forget what an earlier run left.
        say: is told what the file system lacks.

    Raises:
        PairError: another process is at it, or what lies there belongs to another run.
        OSError: with the output's name; what was judged is kept.
    """
    lock = locked(output, say)
    try:
        journal = Journal(output, bound, say)
        try:
            journal.start(restart)
            yield journal
        except BaseException:
            journal.stop()
            raise
        journal.remove()
    finally:
        # Safe while it is held: who waits for it sees that the file he opened is gone and opens another.
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _counted(value: Any) -> bool:
    """Whether a tally has such a value: a number, or the readings of a sample, which are rows of numbers."""
    rows = value if isinstance(value, list) else [[value]]
    return all(isinstance(row, list) and all(type(x) in (int, float) for x in row) for row in rows)


def _ends_line(rows: Path, size: int) -> bool:
    """Whether the first ``size`` bytes are whole lines."""
    with open(rows, "rb") as stream:
        stream.seek(max(0, size - 1))
        return size == 0 or stream.read(1) == b"\n"


def consume(digest: Digest, item: Any, without: Collection[str] = ("where",)) -> None:
    """Take what an item holds into a digest of a run's input; not ``where`` its row stood."""
    content = [getattr(item, field.name) for field in fields(item) if field.name not in without]
    digest.update(json.dumps(content).encode() + b"\n")


def begun_with(output: Path) -> Mapping[str, Any]:
    """What the interrupted run into ``output`` is bound to, as far as that can be read; nothing where there is none."""
    with suppress(OSError, ValueError, RecursionError, LookupError, TypeError):
        bound = json.loads(output.with_name(output.name + ".journal").read_bytes())["bound"]
        return bound if isinstance(bound, dict) else {}
    return {}


def begun(output: Path) -> bool:
    """Whether a run into ``output`` was begun and has not ended."""
    return output.with_name(output.name + ".journal").exists()

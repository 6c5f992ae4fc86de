"""One process at an output, also where the file system has no locks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from rlaif_fast.errors import PairError
from rlaif_fast.files.targets import LACKING

Say = Callable[[str], None]


def locked(output: Path, say: Say | None, timeout: float = 0) -> BaseFileLock:
    """A lock that is held; where the file system has none, a file that only one process can make.

    Args:
        timeout: seconds to wait for another process that has it; -1: for as long as it takes.

    Raises:
        PairError: another process has it.
        OSError: the folder cannot be written to.
    """
    lock: BaseFileLock = FileLock(output.with_name(output.name + ".lock"))
    busy = "another process is writing it; wait for it, or give another file with -o"
    try:
        try:
            with warnings.catch_warnings(record=True) as caught:  # filelock has a stand-in of its own for ENOSYS
                warnings.simplefilter("always")
                lock.acquire(timeout=timeout)
            lacking = bool(caught)
        except (OSError, NotImplementedError) as error:
            if isinstance(error, Timeout) or (isinstance(error, OSError) and error.errno not in LACKING):
                raise
            Path(lock.lock_file).unlink(missing_ok=True)
            lock = SoftFileLock(output.with_name(output.name + ".locked"))
            busy = f"another process is writing it; or one was killed: then remove {lock.lock_file}"
            lock.acquire(timeout=timeout)
            lacking = True
    except Timeout:
        raise PairError(f"{output}: {busy}") from None
    if lacking and say is not None:
        say(f"{output}: this file system has no locks; {Path(lock.lock_file).name} replaces the lock")
    return lock


@contextmanager
def alone(output: Path, say: Say, waiting: str) -> Iterator[None]:
    """Hold the lock of :func:`locked`; ``say`` is told ``waiting`` where another process has to be waited for first.

    Raises OSError where the folder cannot be written to.
    """
    try:
        held = locked(output, None)
    except PairError:
        say(waiting)
        held = locked(output, None, -1)
    try:
        yield
    finally:
        held.release()

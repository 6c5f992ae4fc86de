"""Where bytes go: through links, in one step, onto the disk; and what a file system lacks is said, not failed on."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from rlaif_fast.errors import ExportError, PairError

WRITING = ".writing"  # ending of a file that is not whole yet
SIBLINGS = (".partial", ".journal", ".journal.new", ".lock", ".locked", WRITING, ".errors.jsonl")
# What file systems answer that cannot do it: SMB and FUSE to a folder's fsync, NFS without a lock daemon to a lock.
LACKING = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOTTY}
_IN_PLACE = {errno.EBUSY, errno.EXDEV}  # a single file that is mounted into a container has no name to give
_NO_ENDING = re.compile(r"|\.[0-9_-]*")  # of a name without one, as verdicts or run-1.5
_KEPT = "what was judged is kept: make room, or mend it, and give the same command again"


def target_of(path: Path, inputs: Sequence[str | Path] = ()) -> Path:
    """The file that ``path`` leads to, there or not yet; its journal and lock lie beside it, not beside a link.

    Args:
        inputs: what is read, which must not be written; "-" is standard input.

    Raises:
        PairError: no file that can be replaced, not allowed, no folder for it, or one of the inputs.
    """
    if str(path) == "-":
        raise PairError(f"{path}: names no file, give one, or leave the option out and redirect standard output")
    try:
        found = os.stat(path)
    except FileNotFoundError:
        found = None
    except (OSError, ValueError) as error:  # a loop of links, a name too long or with a NUL
        raise PairError(f"{path}: {getattr(error, 'strerror', None) or error}, give another name") from None
    if found and (not stat.S_ISREG(found.st_mode) or _special(path)):
        stream = "" if path.is_dir() else ", or leave the option out and redirect standard output"
        raise PairError(f"{path}: not a file that can be replaced, give another name{stream}")
    real = Path(os.path.realpath(path)) if path.is_symlink() else path
    folder = real.parent
    if not folder.is_dir():
        raise PairError(f"{path}: the folder {folder} does not exist, make it or give another name")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PairError(f"{path}: the folder {folder} cannot be written to, give another one")
    if found and not os.access(real, os.W_OK):
        raise PairError(f"{path}: is write-protected, give another name or chmod u+w it")
    for one in inputs:
        _check_apart(path, real, str(one))
    return real


def check_ending(path: Path, ending: str, endings: Sequence[str], by: str = "") -> None:
    """Raise PairError where the name of a file says that it is of another format than what is written into it.

    Args:
        ending: of the name, with its dot; without one, or with a number as in run-1.5, a name fits every format.
        endings: those of the format.
        by: the option that names the file, where it decides the format.
    """
    if ending.lower() in endings or _NO_ENDING.fullmatch(ending):
        return
    *others, last = endings
    names = f"{', '.join(others)} or {last}" if others else last
    raise PairError(f"{path}: {ending} files are not written{by and f' by {by}'}; name it {names}")


def folder_of(path: Path) -> Path:
    """The folder that ``path`` leads to, there or not yet, by its name: a link stays, and what it leads to is written.

    Raises:
        ExportError: a loop of links, or a name that cannot be.
    """
    try:
        os.stat(path)
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise ExportError(f"{path}: {getattr(error, 'strerror', None) or error}, give another folder with -o") from None
    return Path(os.path.realpath(path)) if path.is_symlink() or path.name in ("", "..") else path


def _check_apart(path: Path, real: Path, read: str) -> None:
    try:
        there = os.fstat(0) if read == "-" else os.stat(read)
    except (OSError, ValueError):
        return  # whoever reads it says so
    if stat.S_ISDIR(there.st_mode):
        if real.exists() and Path(os.path.realpath(read)) in Path(os.path.realpath(real)).parents:
            raise PairError(f"{path}: lies in the folder that is read, give another name")
        return
    for name in (real, *(real.with_name(real.name + ending) for ending in SIBLINGS)):
        with suppress(OSError):
            if os.path.samestat(there, os.stat(name)):
                what = "the input itself" if name == real else f"{name.name}, which it needs, is the input"
                raise PairError(f"{path}: {what}, give another name")


def put(fresh: Path, target: Path) -> None:
    """Give ``fresh`` the target's name and, where a file is there already, that one's owner and permissions."""
    with suppress(OSError):
        old = os.stat(target)
        with suppress(OSError):
            os.chown(fresh, old.st_uid, old.st_gid)
        os.chmod(fresh, stat.S_IMODE(old.st_mode))
    try:
        os.replace(fresh, target)
    except OSError as error:
        if error.errno not in _IN_PLACE:
            raise
        with open(fresh, "rb") as source, open(target, "r+b") as stream:
            stream.truncate()
            shutil.copyfileobj(source, stream)
        fresh.unlink()


def sync_file(descriptor: int) -> bool:
    """Bring a file onto the disk; False where its file system cannot be asked to."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in LACKING:
            raise
        return False
    return True


def sync_folder(folder: Path) -> bool:
    """Make a rename survive a power cut; False where the file system cannot be asked to."""
    if os.name != "posix":
        return True
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # a folder that may be written and not listed
        return False
    try:
        return sync_file(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def named(path: Path, advice: str = _KEPT) -> Iterator[None]:
    """An OSError inside gets the path and the advice with it: no space, over quota, a disk that fails."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror or error}; {advice}", str(path)) from error


def write_text(path: Path, text: str) -> None:
    """UTF-8 with the same bytes on every system, whole or not at all; into a pipe or device as it stands.

    Raises:
        PairError, OSError: with the path and what to do.
    """
    data = text.encode("utf-8", "backslashreplace")  # the name of a file need not be Unicode
    if streams(path):
        with named(path, "nothing more can be written there"):
            path.write_bytes(data)
        return
    write_whole(target_of(path), data, "make room or give another name")


def write_whole(path: Path, data: bytes, advice: str) -> None:
    """All of a file or nothing. Raises OSError with the path and the advice."""
    fresh = path.with_name(path.name + WRITING)
    try:
        with named(path, advice):
            fresh.write_bytes(data)
            put(fresh, path)
    except BaseException:
        with suppress(OSError):  # on a read-only disk it is not there either
            fresh.unlink(missing_ok=True)
        raise


def streams(path: Path) -> bool:
    """Whether a path is a pipe, a device or a descriptor of this process, which cannot be replaced."""
    return (path.exists() and not path.is_file() and not path.is_dir()) or _special(path)


def _special(path: Path) -> bool:
    return Path(os.path.abspath(path)).parts[1:2] in (("dev",), ("proc",)) and path.exists()

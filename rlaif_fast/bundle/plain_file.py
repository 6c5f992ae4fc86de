"""Files of a bundle as they may be: regular, with one name, and not larger than sense."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

from rlaif_fast.errors import BundleError
from rlaif_fast.files.targets import named

_CHUNK = 1 << 22  # bytes
# What Windows lacks is 0 there. A named pipe would keep us waiting for somebody who writes.
_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))


def open_plain(path: Path, largest: int) -> tuple[BinaryIO, int]:
    """(stream, bytes) of a file that is no link, has no second name and is no larger than ``largest`` bytes.

    Raises:
        BundleError: it is none, or cannot be read.
    """
    try:
        descriptor = -1 if path.is_symlink() else os.open(path, _FLAGS)
    except PermissionError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror})") from None
    except OSError:
        descriptor = -1
    if descriptor < 0:
        raise BundleError(f"{path}: missing or no plain file; export the model again")
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise BundleError(f"{path}: missing or no plain file; export the model again")
        if found.st_nlink > 1:
            raise BundleError(
                f"{path}: has another name elsewhere (a hard link) by which it may change; copy the bundle with cp -r"
            )
        if found.st_size > largest:
            raise BundleError(f"{path}: {found.st_size:,} bytes, larger than such a file can be ({largest:,})")
    except BaseException:
        os.close(descriptor)
        raise
    return open(descriptor, "rb"), found.st_size


def write_plain(path: Path, content: bytes) -> None:
    """Write a file, all of it or nothing. Raises OSError, which names it."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with named(path, "make room"):
            partial.write_bytes(content)
            partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def digest_of(stream: BinaryIO) -> str:
    """sha256 of the rest of a stream, in hex."""
    sha = hashlib.sha256()
    while chunk := stream.read(_CHUNK):
        sha.update(chunk)
    return sha.hexdigest()

"""The manifest's reader, to be fuzzed (see ``__main__``)."""

from __future__ import annotations

from pathlib import Path

from rlaif_fast.bundle.manifest import Manifest, _digest, _head
from rlaif_fast.commands.inspect import _details, _summary
from rlaif_fast.errors import BundleError


def signed(rest: bytes) -> bytes:
    """A manifest's content whose own digest is right."""
    return _head(_digest(rest)).encode() + rest


def check(data: bytes) -> None:
    """``data`` is a manifest behind its digest's line: refused in one line, or read, shown and written as it was."""
    try:
        found = Manifest.from_json(signed(data), "here")
    except BundleError as error:
        reason = str(error)
    else:
        reason = ""
        assert Manifest.from_json(found.to_json().encode(), "here") == found
        assert _summary(found, Path("here"), None, None) and _details(found, None) and found.digest
    assert not reason or (reason.startswith("here: ") and len(reason.splitlines()) == 1 and len(reason) < 1000)

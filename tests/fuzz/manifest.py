"""Fuzz the manifest's reader: ``python tests/fuzz/manifest.py tests/corpus/manifest -max_total_time=600``."""

from __future__ import annotations

import sys

from rlaif_fast.commands.inspect import _lines
from rlaif_fast.errors import BundleError
from rlaif_fast.manifest import Manifest, _digest, _head


def signed(rest: bytes) -> bytes:
    """A manifest's content whose own digest is right."""
    return _head(_digest(rest)).encode() + rest


def check(data: bytes) -> None:
    """``data`` is a manifest behind its digest's line: refused in one line, or read, shown and written as it was."""
    try:
        found = Manifest.from_json(signed(data), "here")
    except BundleError as error:
        assert str(error).startswith("here: ") and len(str(error).splitlines()) == 1 and len(str(error)) < 1000
        return
    assert Manifest.from_json(found.to_json().encode(), "here") == found
    assert _lines(found) and found.digest


if __name__ == "__main__":
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()

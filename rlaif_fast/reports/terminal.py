"""Text for people on the standard streams: nothing in it steers the terminal, and every character can be shown."""

from __future__ import annotations

import sys
from typing import IO, Any

from rlaif_fast.errors import escaped


class Shown:
    """A standard stream on which a character that its encoding lacks is an escape.

    Args:
        spare: what cannot be shown is lost, and the work behind it goes on.
    """

    def __init__(self, stream: IO[str] | None, *, spare: bool) -> None:
        self._stream, self._spare = stream, spare

    def write(self, text: str) -> int:
        self._try("write", fitting(text, self._stream))
        return len(text)

    def flush(self) -> None:
        self._try("flush")

    def _try(self, what: str, *arguments: str) -> None:
        if self._stream is not None:  # None: closed before Python began
            try:
                getattr(self._stream, what)(*arguments)
            except (OSError, ValueError):
                if not self._spare:
                    raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def fitting(text: str, stream: IO[str] | None) -> str:
    """``text`` with escapes for what the stream's encoding lacks."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def cell(value: object) -> str:
    """Anyone's text as it stands in a table on standard output."""
    return fitting(escaped(str(value)), sys.stdout)


def echo(text: str) -> None:
    """Lines for people on standard output."""
    out = Shown(sys.stdout, spare=False)
    out.write(_lines(text))
    out.flush()


def say(text: str) -> None:
    """Lines for people on standard error, above a bar where one is shown."""
    out = Shown(sys.stderr, spare=True)
    out.write(_lines(text))
    out.flush()


def _lines(text: str) -> str:
    return "".join("\t".join(map(escaped, line.split("\t"))) + "\n" for line in text.split("\n"))

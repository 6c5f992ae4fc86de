"""Lines of a file, and JSON Lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from rlaif_fast.files.source import LIMIT, STEP, TOO_LONG, Found
from rlaif_fast.files.strict_json import DECODER, reason


def lines(stream: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """(number from 1, line); None for one that is too long, which is not kept."""
    number = 0
    while line := stream.readline(LIMIT + 1):
        number += 1
        if len(line) <= LIMIT or line.endswith(b"\n"):
            yield number, line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(STEP)
        yield number, None


def json_lines(stream: BinaryIO) -> Found:
    for number, line in lines(stream):
        if line is None:
            yield number, None, TOO_LONG
        elif line.strip():
            try:
                yield number, DECODER.decode(line.decode().rstrip()), None
            except UnicodeDecodeError as error:
                yield number, _shown(line), f"not UTF-8 at byte {error.start}"
            except (ValueError, RecursionError) as error:
                yield number, _shown(line), f"not JSON ({reason(error)})"


def _shown(line: bytes) -> str:
    """A line that could not be read, as text that loses nothing."""
    return line.rstrip(b"\r\n").decode(errors="backslashreplace")

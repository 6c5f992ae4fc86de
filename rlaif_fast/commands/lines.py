"""Results on standard output, one JSON line each."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from rlaif_fast.errors import RlaifFastError

T = TypeVar("T")


def print_lines(results: Iterable[T], form: Callable[[T], str | None]) -> None:
    """Print each result as soon as it is there; ``form`` makes its line, None for no line."""
    if sys.stdout is None:
        raise RlaifFastError("standard output is closed; give a file with -o")
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8", line_buffering=True)
    for result in results:
        if (line := form(result)) is not None:
            sys.stdout.write(line + "\n")
    sys.stdout.flush()


def line_of(row: Mapping[str, Any]) -> str:
    """A row as its line."""
    return json.dumps(row, ensure_ascii=False, allow_nan=False)

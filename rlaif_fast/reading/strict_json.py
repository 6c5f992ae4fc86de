"""JSON as the readers take it, and why text is none."""

from __future__ import annotations

import json
from typing import Any


def _no_number(name: str) -> Any:  # noqa: ARG001
    """NaN and the infinities, which Python's own json writes: a gap, in files of every kind (docs/formats.md)."""
    return None


DECODER = json.JSONDecoder(parse_constant=_no_number)


def reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at column {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)

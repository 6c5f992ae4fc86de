"""JSON as the readers take it, and why text is none."""

from __future__ import annotations

import json
from typing import Any


def _no_number(name: str) -> Any:  # noqa: ARG001
    """NaN and the infinities, which Python's own json writes: a gap, in files of every kind (docs/formats.md)."""
    return None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; a key with two values is an error, where Python's own json takes the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        for name, value in pairs:
            if value != found[name]:
                raise ValueError(f"the key {name!r} occurs twice with different values")
    return found


DECODER = json.JSONDecoder(parse_constant=_no_number, object_pairs_hook=_once)


def reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg.removesuffix(' at')} at column {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)

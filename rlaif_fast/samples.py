"""From a row to a sample: one response a row, under the names data sets use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlaif_fast.fields import checked_row
from rlaif_fast.rating import Sample

NAMES = ("instruction", "response", "id")
_OTHERS = {"instruction": ("prompt", "question"), "response": ("completion", "output", "answer")}


def with_our_names(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with ``instruction`` and ``response``, where it has them under a usual name."""
    found = dict(row)
    for name, others in _OTHERS.items():
        other = next((other for other in others if other in found), None)
        if name not in found and other is not None:
            found[name] = found.pop(other)
    return found


def sample_from_row(row: Any, *, place: int | None = None, where: str = "") -> Sample:
    """A checked sample from a parsed row; arguments and errors are those of ``pair_from_row``."""
    if isinstance(row, dict):
        row = with_our_names(row)
    key, _, carried = checked_row(row, NAMES[:2], place, where)
    return Sample(row["instruction"], row["response"], key, carried, where)

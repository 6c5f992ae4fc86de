"""Rows that were given as verdicts and are none: what they are, and what to give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlaif_fast.schemas.human_labels import is_judged
from rlaif_fast.schemas.known import recognise

_GIVE = "give rows written by `rlaif-fast judge`"


def no_verdict(row: Mapping[str, Any], missing: str) -> str:
    """What is said of a row that lacks a field of a verdict."""
    if is_judged(row):
        return f"written with --to trl, which leaves p1 out; {_GIVE} without --to"
    if "p1" not in row and "p1_by_order" not in row:
        for command, own in (("rank", ("ranking", "strengths")), ("score", ("response", "score"))):
            if all(name in row for name in own):
                return f"written by `rlaif-fast {command}`; {_GIVE}"
        if recognise(row) is not None:
            return f"a pair that is not judged yet; judge it, and {_GIVE}"
    return f"field {missing!r} is missing; {_GIVE}"

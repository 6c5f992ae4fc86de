"""Verdicts as a table for people."""

from __future__ import annotations

from collections.abc import Iterable

from rlaif_fast.judging.verdict import Verdict
from rlaif_fast.reports.console import stdout
from rlaif_fast.reports.tables import framed

_TITLE = "verdicts: p1 is the probability that response_0 is preferred"
_SHORT = 64  # characters of a text that are shown


def print_table(verdicts: Iterable[Verdict]) -> None:
    """On standard output; also of those that were judged before an error."""
    rows: list[tuple[str, ...]] = []
    whole = False
    try:
        for verdict in verdicts:
            rows.append(_cells(verdict))
        whole = True
    finally:
        if rows or whole:
            stdout().print(framed(_TITLE, ("id", "p1", "by order", "consistent", "chosen"), rows, right="p1"))


def _cells(verdict: Verdict) -> tuple[str, ...]:
    agrees = {True: "yes", False: "no", None: "-"}[verdict.consistent]
    by_order = "  ".join(f"{p:.3f}" for p in verdict.p1_by_order)
    text = " ".join(verdict.chosen.split())
    which = "response_0" if verdict.label == 1 else "response_1"
    shown = f"{which}: {text[:_SHORT]}{'…' if len(text) > _SHORT else ''}"
    return str(verdict.pair.id), f"{verdict.p1:.4f}", by_order, agrees, shown

"""Verdicts as a table for people."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from rlaif_fast.judging.verdict import Verdict
from rlaif_fast.reports.console import stdout
from rlaif_fast.reports.terminal import cell

_SHORT = 64  # characters of a text that are shown


def print_table(verdicts: Iterable[Verdict]) -> None:
    """On standard output; also of those that were judged before an error."""
    table = Table(title="verdicts: p1 is the probability that response_0 is preferred", title_justify="left")
    for name in ("id", "p1", "by order", "consistent", "chosen"):
        table.add_column(name, justify="right" if name.startswith("p1") else "left", overflow="fold")
    try:
        for verdict in verdicts:
            table.add_row(*map(cell, _cells(verdict)))
    except BaseException:
        if table.rows:
            stdout().print(table)
        raise
    stdout().print(table)


def _cells(verdict: Verdict) -> tuple[str, ...]:
    agrees = {True: "yes", False: "no", None: "-"}[verdict.consistent]
    by_order = "  ".join(f"{p:.3f}" for p in verdict.p1_by_order)
    text = " ".join(verdict.chosen.split())
    which = "response_0" if verdict.label == 1 else "response_1"
    shown = f"{which}: {text[:_SHORT]}{'…' if len(text) > _SHORT else ''}"
    return str(verdict.pair.id), f"{verdict.p1:.4f}", by_order, agrees, shown

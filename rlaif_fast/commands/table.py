"""Verdicts as a table for people."""

from __future__ import annotations

from collections.abc import Iterable

from rlaif_fast.files.keeping import Row
from rlaif_fast.reports.console import stdout
from rlaif_fast.reports.tables import framed

_TITLE = "verdicts: p1 is the probability that response_0 is preferred"
_COLUMNS: tuple[str, ...] = ("id", "p1", "by order", "consistent", "chosen")
_SHORT = 64  # characters of a text that are shown


def print_table(rows: Iterable[Row]) -> None:
    """Verdict rows on standard output; also those that were judged before an error."""
    shown: list[tuple[str, ...]] = []
    columns, whole = _COLUMNS, False
    try:
        for row in rows:
            columns = (*_COLUMNS, "kept") if "kept" in row else _COLUMNS
            shown.append(_cells(row))
        whole = True
    finally:
        if shown or whole:
            stdout().print(framed(_TITLE, columns, shown, right="p1"))


def _cells(row: Row) -> tuple[str, ...]:
    agrees = {True: "yes", False: "no", None: "-"}[row["consistent"]]
    by_order = "  ".join(f"{p:.3f}" for p in row["p1_by_order"])
    text = " ".join(row["chosen"].split())
    which = "response_0" if row["label"] == 1 else "response_1"
    chosen = f"{which}: {text[:_SHORT]}{'…' if len(text) > _SHORT else ''}"
    kept = ("yes" if row["kept"] else "no",) if "kept" in row else ()
    return str(row["id"]), f"{row['p1']:.4f}", by_order, agrees, chosen, *kept

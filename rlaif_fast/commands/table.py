"""Verdicts as a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO

from rich.console import Console
from rich.table import Table

from rlaif_fast.verdict import Verdict


def print_table(verdicts: Sequence[Verdict], out: IO[str]) -> None:
    table = Table(title="verdicts: p1 is the probability that response_0 is preferred", title_justify="left")
    for name in ("id", "p1", "by order", "consistent", "chosen"):
        table.add_column(name, justify="right" if name.startswith("p1") else "left", overflow="fold")
    for verdict in verdicts:
        agrees = {True: "yes", False: "no", None: "-"}[verdict.consistent]
        by_order = "  ".join(f"{p:.3f}" for p in verdict.p1_by_order)
        text = " ".join(verdict.chosen.split())
        which = "response_0" if verdict.label == 1 else "response_1"
        table.add_row(
            str(verdict.pair.id), f"{verdict.p1:.4f}", by_order, agrees,
            f"{which}: {text[:64]}{'…' if len(text) > 64 else ''}",
        )  # fmt: skip
    Console(file=out, highlight=False, markup=False).print(table)

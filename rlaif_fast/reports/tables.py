"""Tables that people read: the same on the terminal, in Markdown and in HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Table(NamedTuple):
    """Rows of a name and a cell a column."""

    title: str
    columns: list[str]
    rows: list[list[str]]

    def to_markdown(self) -> list[str]:
        """Lines, an empty one last."""
        rule = ["---", *["---:"] * len(self.columns)]
        return [_row([self.title, *self.columns]), _row(rule), *map(_row, self.rows), ""]


def print_tables(title: str, tables: Iterable[Table], warnings: Iterable[str], where: str) -> None:
    """On standard output, for people."""
    from rich.table import Table as Printed

    from rlaif_fast.reports.console import stdout
    from rlaif_fast.reports.terminal import cell

    console = stdout()
    console.print(cell(title), style="bold")
    for table in tables:
        printed = Printed(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        printed.add_column(table.title)
        for column in table.columns:
            printed.add_column(column, justify="right")
        for row in table.rows:
            printed.add_row(*map(cell, row))
        console.print()
        console.print(printed)
    console.print()
    for warning in warnings:
        console.print(f"warning: {cell(warning)}", style="yellow")
    console.print(cell(where), style="dim")


def printable(value: object) -> str:
    """Text of anyone's without what XML cannot hold or nobody can see: such characters become blanks."""
    return "".join(c if c.isprintable() else " " for c in str(value))


def margin_text(low: float, high: float | None) -> str:
    return f"{low:g} and more" if high is None else f"{low:g} to {high:g}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

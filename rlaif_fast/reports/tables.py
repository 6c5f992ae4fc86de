"""Tables that people read: the same on the terminal, in Markdown and in HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rlaif_fast.reports.terminal import cell

if TYPE_CHECKING:
    from rich.table import Table as Printed
    from rich.text import Text


INTERVAL = "95 % interval"  # the column behind that of a value


class Table(NamedTuple):
    """Rows of a name and a cell a column."""

    title: str
    columns: list[str]
    rows: list[list[str]]

    def to_markdown(self) -> list[str]:
        """Lines, an empty one last."""
        rule = ["---", *["---:"] * len(self.columns)]
        return [_row([self.title, *self.columns]), _row(rule), *map(_row, self.rows), ""]

    def printed(self) -> Printed:
        """For a terminal."""
        from rich.table import Table as Printed

        printed = Printed(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        printed.add_column(self.title)
        for column in self.columns:
            printed.add_column(column, justify="right")
        for row in self.rows:
            printed.add_row(*map(cell, row))
        return printed


def print_tables(title: str, tables: Iterable[Table], warnings: Iterable[str], where: str) -> None:
    """On standard output, for people."""
    from rlaif_fast.reports.console import stdout

    console = stdout()
    console.print(cell(title), style="bold")
    for table in tables:
        console.print()
        console.print(table.printed())
    console.print()
    for warning in warnings:
        console.print(f"warning: {cell(warning)}", style="yellow")
    console.print(cell(where), style="dim")


def listing(rows: Iterable[Sequence[str | Text]]) -> Printed:
    """Rows without a head for a terminal: maybe a mark, a name, and what is folded where it is long."""
    from rich.table import Table as Printed

    printed = Printed(show_header=False, box=None, pad_edge=False)
    rows = list(rows)
    for _ in rows[0][:-2]:
        printed.add_column(no_wrap=True)
    printed.add_column(style="bold", no_wrap=True)
    printed.add_column(overflow="fold")
    for row in rows:
        printed.add_row(*(cell(part) if isinstance(part, str) else part for part in row))
    return printed


def framed(title: str, columns: Iterable[str], rows: Iterable[Sequence[str]], right: str) -> Printed:
    """A table of texts for a terminal, with lines; the one named ``right`` stands to the right."""
    from rich.table import Table as Printed

    printed = Printed(title=title, title_justify="left")
    for name in columns:
        printed.add_column(name, justify="right" if name == right else "left", overflow="fold")
    for row in rows:
        printed.add_row(*map(cell, row))
    return printed


def printable(value: object) -> str:
    """Text of anyone's without what XML cannot hold or nobody can see: such characters become blanks."""
    return "".join(c if c.isprintable() else " " for c in str(value))


def margin_text(low: float, high: float | None) -> str:
    return f"{low:g} and more" if high is None else f"{low:g} to {high:g}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def percent(value: float | None, signed: bool = False) -> str:
    return "-" if value is None else f"{100 * value:{'+' if signed else ''}.1f} %"


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def span_text(interval: list[float] | None, form: Callable[[float], str] = percent) -> str:
    """An interval; ``form`` writes one of its ends."""
    return "-" if interval is None else " to ".join(map(form, interval))


def short_span(interval: list[float] | None, form: Callable[[float], str]) -> str:
    """The same beside its value; nothing where there is none."""
    return span_text(interval, form).replace(" % to ", " to ") if interval else ""

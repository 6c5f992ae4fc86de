"""Tables that people read: the same on the terminal, in Markdown and in HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, NamedTuple

from rlaif_fast.reports.terminal import cell

if TYPE_CHECKING:
    from rich.table import Table as Printed
    from rich.text import Text


INTERVAL = "95 % interval"  # the column behind that of a value
_GAP = 2  # characters between columns on a terminal
_HEADING = 8  # characters of a line of a heading that is wrapped, at least
_NAME = 6  # characters of a row's name that are left to it at least


class Table(NamedTuple):
    """Rows of a name and a cell a column."""

    title: str
    columns: list[str]
    rows: list[list[str]]

    def to_markdown(self) -> list[str]:
        """Lines, an empty one last."""
        rule = ["---", *["---:"] * len(self.columns)]
        return [_row([self.title, *self.columns]), _row(rule), *map(_row, self.rows), ""]

    def printed(self, width: int | None = None) -> Printed:
        """For a terminal. Where ``width`` is too small, headings and names go over several lines, and no figure does.

        Args:
            width: characters of a line.
        """
        from rich.table import Table as Printed

        widths = [max(map(len, cells)) for cells in zip(*self.rows, strict=True)] or [0] * (1 + len(self.columns))
        fits = (
            width is None or sum(map(max, widths, map(len, (self.title, *self.columns)))) + _GAP * len(widths) <= width
        )
        title, *columns = [self.title, *self.columns] if fits else _wrapped([self.title, *self.columns], widths)
        needed = [max(cell, *map(len, heading.split("\n"))) for cell, heading in zip(widths[1:], columns, strict=True)]
        room = (width or 0) - sum(needed) - _GAP * len(widths)
        printed = Printed(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
        printed.add_column(title, overflow="fold")
        for column in columns:
            printed.add_column(column, justify="right", no_wrap=not fits and room >= _NAME)
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
        console.print(table.printed(console.width))
    console.print()
    for warning in warnings:
        console.print(f"warning: {cell(warning)}", style="yellow")
    console.print(cell(where), style="dim")


def _wrapped(headings: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Headings over several lines, each as narrow as its column, all ending on the same line."""
    lines = [
        wrap(heading, max(width, _HEADING, *map(len, heading.split())))
        for heading, width in zip(headings, widths, strict=True)
    ]
    most = max(map(len, lines))
    return ["\n".join([""] * (most - len(one)) + one) for one in lines]


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


def with_span(value: float | None, interval: list[float] | None, signed: bool = False) -> str:
    """A share and its interval in one cell."""
    if value is None:
        return "-"
    span = "-" if interval is None else " to ".join(f"{100 * end:{'+' * signed}.1f}" for end in interval)
    return f"{percent(value, signed)} ({span})"


def short_span(interval: list[float] | None, form: Callable[[float], str]) -> str:
    """The same beside its value; nothing where there is none."""
    return span_text(interval, form).replace(" % to ", " to ") if interval else ""

"""``--help`` with options under headings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
HEADINGS = (
    "Input", "Prompt", "Judging", "Precision", "Network", "Speed", "Output", "Thresholds", "Other options",
)  # in this order  # fmt: skip
_COLUMN = 30  # characters: click's width of a column of terms


class _Option(click.Option):
    def __init__(self, *arguments: Any, heading: str, **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.heading = heading


class Command(click.Command):
    """A command whose help groups its options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        records: dict[str, list[tuple[str, str]]] = {heading: [] for heading in HEADINGS}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and not isinstance(parameter, click.Argument):
                records[getattr(parameter, "heading", HEADINGS[-1])].append(record)
        for heading, found in records.items():
            if found:
                with formatter.section(heading):
                    formatter.write_dl([(term.ljust(_COLUMN), text) for term, text in found])


def option(heading: str, *declarations: str, **attributes: Any) -> Callable[[F], F]:
    """:func:`click.option` under one of ``HEADINGS``."""
    return click.option(*declarations, cls=_Option, heading=heading, **attributes)

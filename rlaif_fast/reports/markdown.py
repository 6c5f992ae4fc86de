"""A report as Markdown, for a pull request or a model card."""

from __future__ import annotations

from collections.abc import Iterable

from rlaif_fast.reports.tables import Table, printable


def markdown(title: str, tables: Iterable[Table], warnings: Iterable[str], where: str, command: str) -> str:
    """Title, tables, warnings, and what they are of; the command is a block of code."""
    out = [f"## {printable(title)}", "", *(line for table in tables for line in table.to_markdown())]
    out += [f"**{printable(warning)}**\n" for warning in warnings]
    return "\n".join([*out, printable(where), "", f"    {printable(command)}", ""])

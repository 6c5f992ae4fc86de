"""Prints docs/cli.md: the commands' own help. `make help-text` writes it, test_docs checks it."""

from __future__ import annotations

import os

import click

from rlaif_fast.cli import cli


def text() -> str:
    """The page, the same on every machine: a fixed width, no colours."""
    os.environ["COLUMNS"] = "100"
    parts = ["# The command line\n\nGenerated from the commands' own help by `make help-text`.\n"]
    for name, command in [("", cli), *sorted(cli.commands.items())]:
        path = f"rlaif-fast {name}".strip()
        context = _context(command, path)
        parts.append(f"## {path}\n\n```\n{command.get_help(context)}\n```\n")
        inside = command.commands if name and isinstance(command, click.Group) else {}
        for inner, found in sorted(inside.items()):
            help_text = found.get_help(_context(found, f"{path} {inner}"))
            parts.append(f"### {path} {inner}\n\n```\n{help_text}\n```\n")
    return "\n".join(parts)


def _context(command: click.Command, path: str) -> click.Context:
    """As the command line makes it, but for the width."""
    return click.Context(command, info_name=path, terminal_width=100, **cli.context_settings)


if __name__ == "__main__":
    print(text(), end="")

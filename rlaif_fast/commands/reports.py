"""What the commands that write reports have in common."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

import click

from rlaif_fast.errors import RlaifFastError


def check_folders(paths: Iterable[Path | None]) -> None:
    """Say before the work what could not be written behind it."""
    for path in paths:
        if path is not None and not path.parent.is_dir():
            raise RlaifFastError(f"{path}: its folder does not exist")


def write(path: Path, text: str) -> None:
    """The same bytes on every system."""
    path.write_text(text, encoding="utf-8", newline="\n")


def command_line(context: click.Context) -> str:
    """The command line, from what was parsed: it is the same however the command was called."""
    words = ["rlaif-fast", context.command.name or ""]
    for parameter in context.command.params:
        name = parameter.name or ""
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            value = context.params[name]
            flag = [] if isinstance(parameter, click.Argument) else [max(parameter.opts, key=len)]
            words += flag if value is True else [*flag, str(value)]
    return shlex.join(words)

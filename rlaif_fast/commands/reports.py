"""What the commands that write reports have in common."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from rlaif_fast.commands.extra import require
from rlaif_fast.errors import RlaifFastError
from rlaif_fast.files.targets import check_ending, streams, target_of, write_text

INTERVALS, PLOTS = "scipy", "matplotlib"
_ENDINGS = {"--html": (".html", ".htm"), "--markdown": (".md", ".markdown")}  # of the other options .json


def check_reports(files: Mapping[str, Path | None], inputs: Sequence[str]) -> None:
    """Say before the work what could not be written behind it, or would be under another format's name.

    Args:
        files: what is to be written, by the option that names it.
        inputs: what is read.

    Raises RlaifFastError.
    """
    seen: dict[Path, Path] = {}
    for option, path in files.items():
        if path is None or streams(path):
            continue
        if str(path) == "-":
            raise RlaifFastError(f"-: {option} takes a file's name; standard output is /dev/stdout")
        check_ending(path, path.suffix, _ENDINGS.get(option, (".json",)), option)
        target = target_of(path, inputs)
        if target in seen:
            raise RlaifFastError(f"{path}: two reports cannot be one file, give another name")
        seen[target] = path


def write_reports(forms: Iterable[tuple[Path | None, Callable[[], str]]]) -> None:
    """Write each to its file, where one is wanted; before anything is shown, which may fail and must lose nothing."""
    for path, form in forms:
        if path is not None:
            write_text(path, form())


def require_eval(what: str, *modules: str) -> None:
    """Raise RlaifFastError where a module of the extra ``eval`` is not installed; said before the work, as well."""
    require("eval", what, *modules)


def command_line(context: click.Context) -> str:
    """The command line, from what was parsed: it is the same however the command was called."""
    words = ["rlaif-fast", context.command.name or ""]
    for parameter in context.command.params:
        name = parameter.name or ""
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            value = context.params[name]
            flag = [] if isinstance(parameter, click.Argument) else [max(parameter.opts, key=len)]
            several = parameter.multiple or parameter.nargs == -1
            values = value if several else [value]
            words += flag if value is True else [word for one in values for word in (*flag, _word(one))]
    return shlex.join(words)


def _word(value: Any) -> str:
    """A value as it is typed; several numbers with commas between them."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)

"""Options that several commands have, and what they mean together."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
_POLITE = 5  # nice level on a machine in use

_COLUMNS = (
    click.option("--split", help="Of a folder that holds several: train, test, …"),
    click.option("--carry", multiple=True, metavar="COLUMN", help="A column that looks like a part of the question and"
                 " is none. May be given again."),
)  # fmt: skip
_READING = (
    click.option("--from", "kind", type=click.Choice(["jsonl", "json", "csv", "tsv", "parquet", "arrow"]),
                 help="What the file is. [default: seen from its beginning and name]"),
    *_COLUMNS,
    click.option("--on-error", type=click.Choice(["stop", "skip"]), default="stop", show_default=True,
                 help="A bad row: stop before the work begins, or set it aside in OUTPUT.errors.jsonl."),
    click.option("--on-long", type=click.Choice(["error", "truncate"]), default="error", show_default=True,
                 help="A prompt over the model's context: an error, or leave the instruction's end away."),
    click.option("--limit", type=click.IntRange(min=0), help="Take the first N rows only."),
)  # fmt: skip
_SHOWING = click.option("--show", type=click.IntRange(min=1), metavar="N", help="Print the prompts of the first N rows,"
                        " and which columns were used, carried and ignored; judge nothing.")  # fmt: skip
engine_option = click.option("--engine", default="auto", envvar="RLAIF_FAST_ENGINE", metavar="NAME",
                             help="The engine (docs/engines.md), or auto: the fastest that keeps the verdicts, see"
                             " `tune`. [default: auto]")  # fmt: skip
_RUNNING = (
    click.option("-o", "--output", type=click.Path(path_type=Path), help="The output's file: .jsonl, .json, .csv, .tsv"
                 " or .parquet, maybe .gz or .zst behind it. [default: standard output]"),
    click.option("--restart", is_flag=True, help="Forget what a stopped run left for this output, and begin again."),
    click.option("--threads", type=click.IntRange(min=0), default=0, help="[default: the usable physical cores]"),
    engine_option,
    click.option("--nice", type=click.IntRange(0, 19), help="Give way to other processes: 0 not at all, 19 most."
                 f" [default: {_POLITE} on a machine in use, else 0]"),
    click.option("-v", "--verbose", is_flag=True, help="Say how the runtime was set up."),
)  # fmt: skip


def reading(command: F) -> F:
    """--from, --split, --carry, --on-error, --on-long, --limit and --show."""
    for option in reversed((*_READING, _SHOWING)):
        command = option(command)
    return command


def columns(command: F) -> F:
    """--split and --carry."""
    for option in reversed(_COLUMNS):
        command = option(command)
    return command


def running(command: F) -> F:
    """--output, --restart, --threads, --engine, --nice and --verbose."""
    for option in reversed(_RUNNING):
        command = option(command)
    return command


def give_way(nice: int | None) -> bool:
    """Set the process's priority; whether the machine is in use by others."""
    from rlaif_fast.runtime.cpu import busy

    polite = busy()
    level = (_POLITE if polite else 0) if nice is None else nice
    if level and hasattr(os, "nice"):
        os.nice(level)
    return polite

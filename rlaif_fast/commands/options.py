"""Options that several commands have, and what they mean together."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rlaif_fast.arguments import MOST_THREADS
from rlaif_fast.commands.headings import option

if TYPE_CHECKING:
    from rlaif_fast.files.source import Part
    from rlaif_fast.judging.run import Run

F = TypeVar("F", bound=Callable[..., Any])
_POLITE = 5  # nice level on a machine in use

kind_option = option("Input", "--from", "kind", type=click.Choice(["jsonl", "json", "csv", "tsv", "parquet", "arrow"]),
                     help="Input format. [default: detected from content and file name]")  # fmt: skip
bundle_option = option("Judging", "-b", "--bundle", help="The bundle: its folder, the id of an exported model, or the"
                       " owner/name of a published bundle. [default: the embedded default model's]")  # fmt: skip
template_option = option("Judging", "--template", metavar="NAME", help="Name of the bundle's prompt to use; see `prompt"
                         " list`. [default: the first]")  # fmt: skip


def bundle_and_template(command: F) -> F:
    """``--bundle`` and ``--template``."""
    return bundle_option(template_option(command))


long_option = option("Prompt", "--on-long", type=click.Choice(["error", "truncate"]), default="error",
                     show_default=True, help="What to do with a prompt longer than the model's context: stop with an"
                     " error, or truncate the instruction.")  # fmt: skip
threads_option = option("Speed", "--threads", type=click.IntRange(0, MOST_THREADS), default=0,
                        help="Threads of the engine, 0 for the default. [default: one per usable physical core]"
                        )  # fmt: skip


def _engine(_: click.Context, __: click.Parameter, name: str) -> str:
    """``name``, if there is such an engine: said before a bundle is made or loaded. Raises JudgeError."""
    if name != "auto":
        from rlaif_fast.runtime.engines import variant

        variant(name)
    return name


engine_option = option("Speed", "--engine", default="auto", envvar="RLAIF_FAST_ENGINE", metavar="NAME",
                       callback=_engine, help="Inference engine (docs/engines.md). auto: the one that `tune` chose,"
                       " else onnxruntime. [default: auto]")  # fmt: skip
nice_option = option("Speed", "--nice", type=click.IntRange(0, 19), help="Nice level of the process: 0 normal, 19"
                     f" lowest priority. [default: {_POLITE} if other processes are busy, else 0]")  # fmt: skip
limit_option = option("Input", "--limit", type=click.IntRange(min=1), help="Use the first N rows only.")
_COLUMNS = (
    option("Input", "--split", help="Split of the data set, if it has several: train, test, …"),
    option("Input", "--config", metavar="NAME", help="Configuration of the hub data set, if it has several."),
    option("Input", "--revision", metavar="REV", help="Branch, tag or commit of the hub data set."
           " [default: main]"),
    option("Input", "--carry", multiple=True, metavar="COLUMN", help="Copy this column to the output instead of"
           " showing it to the judge. Repeatable."),
)  # fmt: skip
_READING = (
    kind_option,
    *_COLUMNS,
    limit_option,
    option("Input", "--on-error", type=click.Choice(["stop", "skip"]), default="stop", show_default=True,
           help="What to do with a bad row: stop before judging begins, or write it to OUTPUT.errors.jsonl and go on."),
    long_option,
    option("Prompt", "--show", type=click.IntRange(min=1), metavar="N", help="Print the prompts of the first N rows,"
           " and which columns are used, carried along and ignored. Judges nothing."),
)  # fmt: skip
_RUNNING = (
    threads_option,
    engine_option,
    nice_option,
    option("Output", "-o", "--output", type=click.Path(path_type=Path), help="Output file: .jsonl, .json, .csv, .tsv"
           " or .parquet, optionally with .gz or .zst appended. [default: standard output]"),
    option("Output", "--restart", is_flag=True, help="Start over: discard an interrupted run of this output, replace a"
           " finished one."),
    option("Other options", "-v", "--verbose", is_flag=True, help="Show how the runtime was set up, and how long"
           " loading took."),
)  # fmt: skip


def part_of(
    split: str | None, config: str | None, revision: str | None, output: Path | None = None, *, restart: bool = False
) -> Part:
    """The part of a data set that options name, and what an interrupted run into ``output`` has read of it."""
    from rlaif_fast.files.journal import begun_with
    from rlaif_fast.files.source import Part

    return Part(split, config, revision, {} if output is None or restart else begun_with(output))


def reading(command: F) -> F:
    """--from, --split, --config, --revision, --carry, --limit, --on-error, --on-long and --show."""
    return _all(_READING, command)


def columns(command: F) -> F:
    """--split, --config, --revision and --carry."""
    return _all(_COLUMNS, command)


def running(command: F) -> F:
    """--threads, --engine, --nice, --output, --restart and --verbose."""
    return _all(_RUNNING, command)


def _all(options: Sequence[Callable[[F], F]], command: F) -> F:
    for decorate in reversed(options):
        command = decorate(command)
    return command


def check_show(given: Mapping[str, Any], does: str) -> None:
    """Raise UsageError where ``--show`` has a file to write to; ``does`` is what the command does otherwise."""
    if given["show"] is not None and given["output"] is not None:
        raise click.UsageError(f"--show is printed and {does} nothing; leave --output out")


def check_mark(given: Mapping[str, Any], *thresholds: str) -> None:
    """Raise UsageError where ``--mark`` has none of ``thresholds`` to mark by."""
    if given["mark"] and not any(given[name] for name in thresholds):
        names = " or ".join(f"--{name.replace('_', '-')}" for name in thresholds)
        raise click.UsageError(f"--mark needs {names}")


def give_way(nice: int | None) -> bool:
    """Set the process's priority; whether the machine is in use by others."""
    from rlaif_fast.runtime.cpu import busy

    polite = busy()
    level = (_POLITE if polite else 0) if nice is None else nice
    if level and hasattr(os, "nice"):
        os.nice(level)
    return polite


def finish(context: click.Context, run: Run[Any, Any]) -> None:
    """Print the run's closing lines; exit status 1 where rows were skipped."""
    from rlaif_fast.reports.terminal import say

    for line in run.lines():
        say(line)
    if run.skipped:
        context.exit(1)

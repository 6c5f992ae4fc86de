"""``rlaif-fast tune``, and what ``--engine auto`` does in the other commands."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from rlaif_fast.commands.numbers import Range
from rlaif_fast.commands.options import threads_option

if TYPE_CHECKING:
    from rlaif_fast.judging.judge import Judge
    from rlaif_fast.judging.rater import Rater
    from rlaif_fast.prompts.kinds import Kinds
    from rlaif_fast.runtime.engine_choice import Tried, Tuned

J = TypeVar("J", "Judge", "Rater")


@click.command()
@click.argument("bundle", required=False)
@click.option("--max-delta", type=Range(min=0, min_open=True), help="Largest mean |difference in log-odds|"
              " to PyTorch fp32 that an engine may have. [default: int8 bundles 0.03, or the limit set at export; fp32"
              " bundles none, they stay exact]")  # fmt: skip
@threads_option
def tune(bundle: str | None, max_delta: float | None, threads: int) -> None:
    """Find the fastest faithful engine for BUNDLE on this machine, and remember it for --engine auto.

    Every engine that is installed and suits this machine judges the bundle's probe pairs. It is timed in turns with the
    default engine, onnxruntime, and compared with PyTorch's answers. That takes a few seconds each, plus the time to
    load. For an int8 bundle the engines are also tried on the model's fp32 bundle, if there is one. The choice holds
    for all prompts of the bundle. BUNDLE is a folder or a name, as -b of the other commands takes it. [default: the
    embedded default model's]
    """
    from rlaif_fast.bench.tuning import tune as try_all
    from rlaif_fast.commands.default import bundle_folder_of
    from rlaif_fast.reports.console import Steps
    from rlaif_fast.reports.terminal import echo
    from rlaif_fast.runtime.cpu import busy
    from rlaif_fast.runtime.engine_choice import remember

    folder = bundle_folder_of(bundle)
    with Steps().shown() as steps:
        table = try_all(folder, steps, max_delta=max_delta, threads=threads, spin=not busy())
    remember(folder, table)
    _print(table)
    _say_missing(folder)
    echo(_line(table))


def opened(
    kind: type[J], folder: Path, engine: str, *, template: str | None, threads: int, spin: bool = True,
    verbose: bool = False,
) -> J:  # fmt: skip
    """The judge or rater over ``folder``: ``auto`` is looked up, and found out once where it may matter.

    The prompt is the one called ``template``, else the bundle's first for that kind of work. Where the answers of an
    int8 bundle are not its own on this machine, the float32 bundle of the same model takes over, and it is said.

    Args:
        verbose: say what was opened, how long that took, and how the runtime is set up.

    Raises RlaifFastError of every kind.
    """
    from rlaif_fast.bundle.float32_bundle import float32_of
    from rlaif_fast.bundle.folder import read_manifest
    from rlaif_fast.bundle.home import name_of
    from rlaif_fast.errors import UnfaithfulError
    from rlaif_fast.reports.terminal import say
    from rlaif_fast.runtime.engine_choice import AUTO
    from rlaif_fast.runtime.engines import DEFAULT

    name = prompt_name(folder, template, kind.kinds)
    place, taken = settled(folder, engine, threads, name, spin=spin)
    since = time.perf_counter()
    try:
        found = kind.load(place, template=name, threads=threads, spin=spin, engine=taken)
    except UnfaithfulError:
        beside = float32_of(folder, read_manifest(folder).through(name)) if engine == AUTO else None
        if beside is None:
            raise
        say(f"{name_of(folder)} does not answer here as it did where it was exported: judging with the fp32 bundle")
        since = time.perf_counter()
        found = kind.load(beside[0], template=name, threads=threads, spin=spin, engine=DEFAULT)
    if verbose:
        say(f"{found.manifest.name}, loaded in {time.perf_counter() - since:.2f} s\n{found.describe()}")
    return found


def prompt_name(folder: Path, template: str | None, kinds: Kinds) -> str:
    """What the prompt is called that ``template`` means: the bundle may be judged by another, whose first differs.

    Raises BundleError where the bundle has none.
    """
    from rlaif_fast.bundle.folder import read_manifest
    from rlaif_fast.bundle.home import name_of

    return read_manifest(folder).through(template, kinds, name_of(folder)).prompt.name


def settled(folder: Path, engine: str, threads: int, template: str, *, spin: bool = True) -> tuple[Path, str]:
    """The bundle and the engine to load: as asked, but which of a model's two bundles ``auto`` takes is found out once.

    A bundle without the prompt called ``template`` is not taken in the place of ``folder``, and that is said. What was
    found is taken also where a read-only cache folder does not keep it.
    """
    from rlaif_fast.bench.first_trial import SECONDS, try_both, worthwhile
    from rlaif_fast.bundle.home import name_of
    from rlaif_fast.reports.console import Steps
    from rlaif_fast.reports.terminal import say
    from rlaif_fast.runtime.engine_choice import AUTO, may_judge, remember, remembered
    from rlaif_fast.runtime.engines import DEFAULT

    if engine != AUTO or remembered(folder) is not None or not worthwhile(folder):
        return folder, engine
    say(f"the model has an int8 and an fp32 bundle: trying which judges faster here, once, {SECONDS:g} s at most")
    with Steps().shown() as steps:
        table = try_both(folder, steps, threads=threads, spin=spin)
    remember(folder, table)
    say(f"chosen: {_found(table)} (`rlaif-fast tune {name_of(folder)}` tries every engine)")
    chosen = Path(table.choice.folder)
    if may_judge(chosen, folder, template):
        return chosen, DEFAULT
    say(f"it has no prompt {template} as {name_of(folder)} has it, so that one judges")
    return folder, DEFAULT


def _found(table: Tuned) -> str:
    """What a first trial found, in words."""
    of = table.tried[1]
    if of.ratio is None:
        return f"the int8 bundle; the fp32 one was {of.refusal}"
    if table.chosen == 0:
        return f"the int8 bundle; the fp32 one takes {of.ratio:.2f} times as long"
    return f"the fp32 bundle: exact, and takes {of.ratio:.2f} times as long as the int8 one"


def _say_missing(folder: Path) -> None:
    """What could be tried besides, were the float32 bundle there; on standard error."""
    from rlaif_fast.bench.tuning import out_of_reach
    from rlaif_fast.reports.terminal import say

    names = out_of_reach(folder)
    if names:
        say(f"not tried: {', '.join(names)}; export the model with --precision fp32 too")


def _line(table: Tuned) -> str:
    from rlaif_fast.bench.tuning import reason

    why = reason(table)
    return f"chosen: {table.choice.engine} on the {table.choice.precision} bundle{f': {why}' if why else ''}"


def _print(table: Tuned) -> None:
    from rlaif_fast.reports.console import stdout
    from rlaif_fast.reports.tables import Table
    from rlaif_fast.reports.terminal import cell

    rows = [
        [f"{one.engine}{' *' if number == table.chosen else ''}", one.precision, *_figures(one)]
        for number, one in enumerate(table.tried)
    ]
    console = stdout()
    columns = ["bundle", "ms a pair", "time / default", "mean error", "max error"]
    console.print(Table("engine", columns, rows).printed(), soft_wrap=True)
    for one in table.tried:
        if one.refusal:
            console.print(cell(f"not {one.engine} on the {one.precision} bundle: {one.refusal}"), soft_wrap=True)


def _figures(one: Tried) -> list[str]:
    formats = ((one.ms, ",.1f"), (one.ratio, ".2f"), (one.mean, ".2g"), (one.max, ".2g"))
    return ["-" if value is None else format(value, spec) for value, spec in formats]

"""``rlaif-fast judge``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from rlaif_fast.commands.headings import Command, option
from rlaif_fast.commands.numbers import Range
from rlaif_fast.commands.options import (
    bundle_and_template,
    check_mark,
    check_show,
    finish,
    give_way,
    part_of,
    reading,
    running,
)
from rlaif_fast.commands.table import check_table, print_verdicts, table_option
from rlaif_fast.commands.verdict_options import (
    calibration_in,
    calibration_of,
    calibration_option,
    check_orders,
    opened_judge,
)

if TYPE_CHECKING:
    from rlaif_fast.files.writing import To
    from rlaif_fast.judging.pair_run import AnyOrders
    from rlaif_fast.selection.profile import Profile

_SAMPLED = ("prior", "auto")


@click.command(cls=Command)
@click.argument("pairs", type=click.Path(allow_dash=True))
@option("Input", "--fields", help="Field mapping, as instruction=prompt,response_0=completions.0,response_1=…"
        " [default: the usual schemas are recognised]")  # fmt: skip
@reading
@bundle_and_template
@option("Judging", "--orders", type=click.Choice(["both", "forward", *_SAMPLED]), default="both", show_default=True,
        help="both: both orders, averaged. forward: response_0 first only. prior: forward, corrected by the position"
        " bias measured on a sample. auto: the second order only for pairs whose label it could change.")  # fmt: skip
@option("Judging", "--sample", type=click.IntRange(min=8), help="Pairs that prior and auto judge in both orders first."
        " [default: prior 200; auto the smallest number that can bound --disagreement, 399 for 0.01]")  # fmt: skip
@option("Judging", "--disagreement", type=Range(0, 1, min_open=True, max_open=True), help="For --orders"
        " auto: largest share of labels that may differ from those of --orders both, with 95 % confidence. [default:"
        " 0.01]")  # fmt: skip
@option("Judging", "--exact", is_flag=True, help="Same labels as float32: pairs near a tie, which int8 might decide"
        " otherwise, are judged again by the model's fp32 bundle.")  # fmt: skip
@calibration_option
@option("Judging", "--profile", "profile_file", type=click.Path(dir_okay=False, path_type=Path), help="Use the"
        " bundle, prompt, orders and calibration that `select --profile` wrote.")  # fmt: skip
@running
@option("Speed", "--window", type=click.IntRange(min=1), help="Pairs read ahead. With fp32, pairs on one instruction"
        " in this window share a forward pass. [default: 1024 for a file, 32 for a pipe]")  # fmt: skip
@option("Output", "--to", type=click.Choice(["rows", "trl"]), default="rows", show_default=True,
        help="Output rows: verdicts, or preference pairs for TRL's trainers.")  # fmt: skip
@option("Output", "--min-margin", type=Range(0, 1), default=0.0, help="Drop verdicts with |p1 - p2| below"
        " this.")  # fmt: skip
@option("Output", "--only-consistent", is_flag=True, help="Drop verdicts whose two orders disagree.")
@option(
    "Output",
    "--mark",
    is_flag=True,
    help="With --min-margin or --only-consistent: keep the rows they would drop, with kept: false.",
)
@table_option
@click.pass_context
def judge(
    context: click.Context, pairs: str, bundle: str | None, template: str | None, output: Path | None, restart: bool,
    kind: str | None, fields: str | None, to: Literal["rows", "trl"], min_margin: float, only_consistent: bool,
    mark: bool, on_error: str, on_long: str, orders: AnyOrders, sample: int | None, disagreement: float | None,
    exact: bool, calibration: Path | None, profile_file: Path | None, limit: int | None, window: int | None,
    threads: int, engine: str, nice: int | None, table: bool, verbose: bool, split: str | None,
    config: str | None, revision: str | None, carry: tuple[str, ...], show: int | None,
) -> None:  # fmt: skip
    """Judge PAIRS: JSON Lines, a JSON array, CSV, Parquet, a datasets folder, or - for standard input.

    A row has instruction, response_0 and response_1, maybe id; other fields are carried along, but those that belong
    to the question (input, system, …) are shown with it. The schemas of TRL, UltraFeedback, distilabel and AlpacaEval
    are recognised; --show prints what the judge is shown. A row out has the judge's label, 1 or 2; the label of a
    person that came with the row counts from 0 (human_label), and is there as 1 or 2 too (human_label_from_1).

    Each pair is judged in both orders by default, because small judges prefer a position more than a response. The
    rows of a file are checked before the first is judged. The output appears only when it is complete; an interrupted
    run resumes with the same command.
    """
    from rlaif_fast.commands.default import bundle_folder_of
    from rlaif_fast.commands.lines import line_of, print_lines
    from rlaif_fast.commands.show import show_pairs
    from rlaif_fast.files.keeping import Keep, Sieve
    from rlaif_fast.files.writing import check_target, convert, trl_row
    from rlaif_fast.judging.pair_run import PairRun
    from rlaif_fast.judging.run_input import RunInput
    from rlaif_fast.reports.terminal import say
    from rlaif_fast.rows.reader import open_pairs

    _check_usage(context.params)
    profile = _profile(context, profile_file)
    if profile is not None:
        template, orders = profile.prompt, profile.orders
        engine = "onnxruntime" if engine == "auto" else engine  # auto may take the other bundle of the model
    check_orders(context.params, orders)
    sieve = Sieve(Keep(min_margin, only_consistent, mark))
    if output is not None:
        output = check_target(output, [pairs, *map(str, filter(None, (calibration, profile_file)))])
    fitted = calibration_in(calibration)
    part = part_of(split, config, revision, output, restart=restart)
    with open_pairs(pairs, kind, fields, say, part=part, carry=carry) as intake:
        if show is not None:
            count = show if limit is None else min(show, limit)
            shown = bundle if bundle or profile is None else str(profile.folder)
            if show_pairs(intake, shown, template, count, orders, on_error == "skip"):
                context.exit(1)
            return
        rows = RunInput(
            intake.pairs, intake.restartable, limit=limit, skip=on_error == "skip", output=output, origin=intake.origin
        )  # fmt: skip
        rows.check()
        folder = bundle_folder_of(bundle, template) if bundle or profile is None else profile.folder
        loaded, precise = opened_judge(
            folder, template, threads, not give_way(nice), engine, exact=exact, only_consistent=only_consistent,
            verbose=verbose,
        )  # fmt: skip
        calibrated = calibration_of(fitted, calibration, loaded)
        if profile is not None and profile_file is not None:
            profile.require_judge(loaded.digest, profile_file)
            calibrated = profile.calibration
        run = PairRun(
            rows, loaded, orders=orders, sample=sample, disagreement=disagreement, exact=precise,
            calibration=calibrated, shorten=on_long == "truncate", window=window, sieve=sieve,
        )  # fmt: skip
        if output is not None:
            form: To = "tied" if to == "rows" and run.has_ties else to
            made = {"to": to, "min-margin": min_margin, "only-consistent": only_consistent, "mark": mark}
            run.to_file(partial(convert, to=form, keep=sieve), made, restart=restart)
        elif table:
            run.to_screen(lambda found: print_verdicts(sieve(one.row() for one in found), marked=mark))
        else:
            line = (lambda row: line_of(trl_row(row))) if to == "trl" else line_of
            run.to_screen(lambda found: print_lines(sieve(verdict.row() for verdict in found), line))
    finish(context, run)


def _check_usage(given: dict[str, Any]) -> None:
    """Raise UsageError where options do not go together."""
    orders = given["orders"]
    check_mark(given, "min_margin", "only_consistent")
    if given["table"]:
        check_table(given["output"], given["to"])
    if orders in _SAMPLED and given["calibration"]:
        raise click.UsageError(f"--calibration takes --orders both or forward: it was not fitted to {orders}'s p1")
    if given["sample"] is not None and orders not in _SAMPLED:
        raise click.UsageError("--sample needs --orders prior or auto")
    if given["disagreement"] is not None and orders != "auto":
        raise click.UsageError("--disagreement needs --orders auto")
    check_show(given, "judges")


def _profile(context: click.Context, path: Path | None) -> Profile | None:
    """What was selected. Raises UsageError beside an option that it decides."""
    from rlaif_fast.selection.profile import read_profile

    if path is None:
        return None
    for name in ("template", "orders", "calibration"):
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--profile decides --{name}; leave one of them out")
    found = read_profile(path)
    for name in ("exact", "only_consistent"):
        if context.params[name] and found.orders != "both":
            raise click.UsageError(f"--{name.replace('_', '-')} needs both orders, and the profile judges in one")
    return found

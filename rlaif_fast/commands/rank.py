"""``rlaif-fast rank``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
from rlaif_fast.commands.table import check_table, print_rankings, table_option
from rlaif_fast.commands.verdict_options import (
    calibration_in,
    calibration_of,
    calibration_option,
    check_orders,
    opened_judge,
)

if TYPE_CHECKING:
    from rlaif_fast.judging.judge import Orders
    from rlaif_fast.judging.preferences import Preferences
    from rlaif_fast.judging.ranking import Ranking, Which


class _To(click.Choice):  # type: ignore[type-arg]  # generic in some versions of click only
    """``pairs`` is what ``trl`` was called before."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert("trl" if value == "pairs" else value, param, ctx)


@click.command(cls=Command)
@click.argument("rows", type=click.Path(allow_dash=True))
@option("Input", "--fields", help="Field mapping, as instruction=question,responses=answers.*.text"
        " [default: the usual schemas are recognised]")  # fmt: skip
@reading
@bundle_and_template
@option("Judging", "--orders", type=click.Choice(["both", "forward"]), default="both", show_default=True,
        help="both: each pair in both orders, averaged. forward: the earlier response first only.")  # fmt: skip
@option("Judging", "--exact", is_flag=True, help="Same rankings as float32, and same labels of pairs: rows near a"
        " tie, which int8 might decide otherwise, are judged again by the model's fp32 bundle.")  # fmt: skip
@calibration_option
@running
@option("Output", "--to", type=_To(["rows", "trl"]), default="rows", show_default=True,
        help="Output rows: rankings, or preference pairs for TRL's trainers.")  # fmt: skip
@option("Output", "--pairs", "which", type=click.Choice(["best-worst", "all"]),
        help="With --to trl: best against worst response of a row, or every two. [default: best-worst]")  # fmt: skip
@option("Output", "--min-margin", type=Range(0, 1), default=0.0, help="With --to trl: drop pairs with"
        " |p1 - p2| below this.")  # fmt: skip
@option("Output", "--only-consistent", is_flag=True, help="With --to trl: drop pairs whose two orders disagree.")
@option(
    "Output",
    "--mark",
    is_flag=True,
    help="With --min-margin or --only-consistent: keep the pairs they would drop, with kept: false.",
)
@table_option
@click.pass_context
def rank(
    context: click.Context, rows: str, bundle: str | None, template: str | None, fields: str | None,
    to: Literal["rows", "trl"], which: Which | None, orders: Orders, exact: bool, calibration: Path | None,
    min_margin: float, only_consistent: bool, mark: bool, kind: str | None, on_error: str, on_long: str,
    limit: int | None, output: Path | None, restart: bool, threads: int, engine: str, nice: int | None, verbose: bool,
    split: str | None, config: str | None, revision: str | None, carry: tuple[str, ...], show: int | None, table: bool,
) -> None:  # fmt: skip
    """Rank two or more responses a row, from verdicts on all their pairs, or from rewards.

    A row of ROWS has instruction and responses (a list of texts), maybe id; other fields are carried along. Rows of
    UltraFeedback and distilabel, and tables with response_0, response_1, response_2 and so on, are recognised. A row
    out has ranking (places of the responses, best first), strengths (Bradley-Terry), wins (how likely each is
    preferred to each) and consistent_share (of the pairs, those that both orders decide alike).
    """
    from rlaif_fast.commands.default import bundle_folder_of
    from rlaif_fast.commands.lines import line_of, print_lines
    from rlaif_fast.commands.show import show_candidates
    from rlaif_fast.files.keeping import Keep
    from rlaif_fast.files.writing import check_target, convert
    from rlaif_fast.judging.preferences import Preferences
    from rlaif_fast.judging.ranker import Ranker
    from rlaif_fast.judging.ranking_run import RankingRun
    from rlaif_fast.judging.run_input import RunInput
    from rlaif_fast.reports.terminal import say
    from rlaif_fast.rows.reader import open_candidates

    _check_usage(context.params)
    if output is not None:
        output = check_target(output, [rows, *([str(calibration)] if calibration else [])])
    keep = Keep(min_margin, only_consistent, mark)
    preferences = Preferences(which or "best-worst", keep) if to == "trl" else None
    fitted = calibration_in(calibration)
    part = part_of(split, config, revision, output, restart=restart)
    with open_candidates(rows, kind, fields, say, part=part, carry=carry) as intake:
        if show is not None:
            count = show if limit is None else min(show, limit)
            if show_candidates(intake, bundle, template, count, orders, on_error == "skip"):
                context.exit(1)
            return
        taken = RunInput(
            intake.candidates, intake.restartable, limit=limit, skip=on_error == "skip", output=output,
            origin=intake.origin,
        )  # fmt: skip
        taken.check()
        folder = bundle_folder_of(bundle, template)
        judge, precise = opened_judge(
            folder, template, threads, not give_way(nice), engine, exact=exact, only_consistent=only_consistent,
            verbose=verbose,
        )  # fmt: skip
        ranker = Ranker(precise or judge, calibration_of(fitted, calibration, judge))
        run = RankingRun(taken, ranker, orders, shorten=on_long == "truncate", preferences=preferences)
        if table:
            run.to_screen(lambda found: print_rankings(ranking.row() for ranking in found))
        elif output is None:
            run.to_screen(lambda found: print_lines(_rows(found, preferences), line_of))
        else:
            form = partial(convert, to="rankings")
            if preferences is not None:
                form = partial(convert, to="trl", keep=preferences.sieve, spread=preferences.of)
            made = {"to": to, "pairs": preferences and preferences.which, "min-margin": min_margin,
                    "only-consistent": only_consistent, "mark": mark}  # fmt: skip
            run.to_file(form, made, restart=restart)
    finish(context, run)


def _check_usage(given: dict[str, Any]) -> None:
    """Raise UsageError where options do not go together."""
    if given["table"]:
        check_table(given["output"], given["to"])
    if given["which"] is not None and given["to"] != "trl":
        raise click.UsageError("--pairs needs --to trl")
    for name in ("min_margin", "only_consistent"):
        if given[name] and given["to"] != "trl":
            raise click.UsageError(f"--{name.replace('_', '-')} needs --to trl")
    check_mark(given, "min_margin", "only_consistent")
    if given["exact"] and given["calibration"]:
        raise click.UsageError("--exact takes no --calibration: its error bound is not for calibrated p1s; fit one to"
                               " the fp32 bundle and rank with that")  # fmt: skip
    check_orders(given, given["orders"])
    check_show(given, "ranks")


def _rows(rankings: Iterable[Ranking], preferences: Preferences | None) -> Iterator[dict[str, Any]]:
    """The rows that standard output gets."""
    from rlaif_fast.files.writing import trl_row

    rows = (ranking.row() for ranking in rankings)
    if preferences is None:
        return rows
    return map(trl_row, preferences.sieve(pair for row in rows for pair in preferences.of(row)))

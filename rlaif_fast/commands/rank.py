"""``rlaif-fast rank``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from rlaif_fast.commands.options import give_way, reading, running

if TYPE_CHECKING:
    from rlaif_fast.judging.judge import Orders
    from rlaif_fast.judging.ranking import Ranking, Which
    from rlaif_fast.rows.candidates import Candidates


@click.command()
@click.argument("rows", type=click.Path(allow_dash=True))
@click.option("-b", "--bundle", help="A bundle's folder or an exported model's id. [default: the embedded default]")
@click.option("--fields", help="Where a row keeps things, as instruction=question,responses=answers.*.text"
              " [default: the usual shapes are recognised]")  # fmt: skip
@click.option("--to", type=click.Choice(["rows", "pairs"]), default="rows", show_default=True,
              help="Rankings, or a preference file for TRL's trainers.")  # fmt: skip
@click.option("--pairs", "which", type=click.Choice(["best-worst", "all"]),
              help="With --to pairs: a row's best and worst, or every two. [default: best-worst]")  # fmt: skip
@click.option("--orders", type=click.Choice(["both", "forward"]), default="both", show_default=True,
              help="Each pair in both orders, averaged; or the earlier response first only.")  # fmt: skip
@reading
@running
@click.pass_context
def rank(
    context: click.Context, rows: str, bundle: str | None, fields: str | None, to: Literal["rows", "pairs"],
    which: Which | None, orders: Orders, kind: str | None, on_error: str, on_long: str, limit: int | None,
    output: Path | None, restart: bool, threads: int, engine: str, nice: int | None, verbose: bool,
    split: str | None, carry: tuple[str, ...], show: int | None,
) -> None:  # fmt: skip
    """Rank two or more responses a row, from verdicts on all their pairs.

    A row of ROWS has instruction and responses (a list of texts), maybe id; other fields are carried along. Rows of
    UltraFeedback and distilabel, and tables with response_0, response_1, response_2 and so on, are recognised. A row
    out has ranking (places of the responses, best first), strengths (Bradley-Terry), wins (how likely each is
    preferred to each) and consistent_share (of the pairs, those that both orders decide alike).
    """
    from rlaif_fast.commands.default import bundle_folder_of
    from rlaif_fast.commands.show import show_candidates
    from rlaif_fast.commands.tune import opened
    from rlaif_fast.files.writing import check_target, convert
    from rlaif_fast.judging.judge import Judge
    from rlaif_fast.judging.ranker import Ranker
    from rlaif_fast.judging.ranking import pairs_of
    from rlaif_fast.judging.run import Work, print_lines
    from rlaif_fast.reports.terminal import say
    from rlaif_fast.rows.reader import open_candidates

    if which is not None and to != "pairs":
        raise click.UsageError("--pairs needs --to pairs")
    if output is not None:
        output = check_target(output, [rows])
    if show is not None and output is not None:
        raise click.UsageError("--show is printed and ranks nothing; leave --output out")
    spread = partial(pairs_of, which=which or "best-worst") if to == "pairs" else None
    with open_candidates(rows, kind, fields, say, split=split, carry=carry) as intake:
        if show is not None:
            if show_candidates(intake, bundle, show if limit is None else min(show, limit), orders, on_error == "skip"):
                context.exit(1)
            return
        work = Work(intake.candidates, intake.restartable, limit, on_error == "skip", output)
        work.look()
        folder = bundle_folder_of(bundle)
        ranker = Ranker(opened(Judge, folder, engine, threads=threads, spin=not give_way(nice)))
        manifest = ranker.judge.manifest
        if verbose:
            work.say(f"{manifest.name}\n{ranker.judge.describe()}")
        shortened = ranker.shortened if on_long == "truncate" else None
        work.fitting(manifest.maximum_length, lambda candidates: ranker.check(candidates, orders), shortened)
        done = 0

        def results(many: Iterable[Candidates], done: int) -> Iterator[Ranking]:
            return ranker.rank_many(many, orders, done=done)

        if output is None:
            tally = work.to_screen(results, _Tally, lambda found: print_lines(found, partial(_lines, spread=spread)))
        else:
            bound = {
                "bundle": ranker.judge.digest, "orders": orders, "on-long": on_long, "limit": limit,
                "engine": ranker.judge.engine,
            }  # fmt: skip
            tally, done = work.to_file(
                results, _Tally, bound, restart,
                lambda path, target: convert(path, target, to="trl" if spread else "rankings", spread=spread),
            )  # fmt: skip
    counts = tally.counts
    figures = [f"{counts['pairs']} pairs"]
    if counts["both"]:
        figures.append(f"same position {100 * counts['same'] / counts['both']:.1f} %")
    work.say(work.closing("rows", done, figures, counts["ranked"], "ranked"))
    if work.skipped:
        context.exit(1)


class _Tally:
    def __init__(self, counts: Mapping[str, Any]) -> None:
        self.counts = {"ranked": 0, "pairs": 0, "both": 0, "same": 0, **counts}

    def take(self, ranking: Ranking) -> None:
        self.counts["ranked"] += 1
        for verdict in ranking.verdicts.values():
            self.counts["pairs"] += 1
            self.counts["both"] += verdict.consistent is not None
            self.counts["same"] += verdict.consistent is False


def _lines(ranking: Ranking, spread: Any) -> str | None:
    """What standard output gets of a ranking; None for nothing."""
    import json

    from rlaif_fast.files.writing import trl_row

    if spread is None:
        return ranking.to_json()
    rows = map(trl_row, spread(ranking.row()))
    return "\n".join(json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows) or None

"""``rlaif-fast judge``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from rlaif_fast.commands import orders as fewer
from rlaif_fast.commands.options import give_way, reading, running

if TYPE_CHECKING:
    from rlaif_fast.evaluation.calibration import Calibration
    from rlaif_fast.files.writing import Keep
    from rlaif_fast.judging.exact import ExactJudge
    from rlaif_fast.judging.judge import Judge, Orders
    from rlaif_fast.judging.verdict import Verdict
    from rlaif_fast.rows.pairs import Pair


@click.command()
@click.argument("pairs", type=click.Path(allow_dash=True))
@click.option("-b", "--bundle", help="A bundle's folder or an exported model's id. [default: the embedded default]")
@click.option("--fields", help="Where a row keeps things, as instruction=prompt,response_0=completions.0,response_1=…"
              " [default: the usual shapes are recognised]")  # fmt: skip
@click.option("--to", type=click.Choice(["rows", "trl"]), default="rows", show_default=True,
              help="Verdict rows, or a preference file for TRL's trainers.")  # fmt: skip
@click.option("--min-margin", type=click.FloatRange(0, 1), default=0.0, help="Drop verdicts with |p1 - p2| below this.")
@click.option("--only-consistent", is_flag=True, help="Drop verdicts whose two orders disagree.")
@click.option("--mark", is_flag=True, help="With the two above: keep such rows, and write kept: false.")
@click.option("--orders", type=click.Choice(fewer.CHOICES), default="both", show_default=True,
              help="Both orders, averaged; response_0 first only; the same corrected by a sample's label prior; or the"
              " second order only where it could change the label.")  # fmt: skip
@click.option("--sample", type=click.IntRange(min=8), help="Pairs that prior and auto read in both orders first."
              " [default: 200 for prior, for auto as few as can promise its disagreement: 399 for 0.01]")  # fmt: skip
@click.option("--disagreement", type=click.FloatRange(0, 1, min_open=True, max_open=True), help="Share of labels that"
              " may differ from both orders' with auto, with 95 % confidence. [default: 0.01]")  # fmt: skip
@click.option("--exact", is_flag=True, help="Labels equal to float32's: pairs too close for int8 are judged again by"
              " the fp32 bundle of the same model.")  # fmt: skip
@click.option("--calibration", type=click.Path(dir_okay=False, path_type=Path), help="Apply what `eval --fit` wrote"
              " for this bundle.")  # fmt: skip
@click.option("--window", type=click.IntRange(min=1), help="Pairs read ahead; with fp32, those on one instruction share"
              " a forward pass. [default: 1024 of a file, 32 of a pipe]")  # fmt: skip
@click.option("--table", is_flag=True, help="Print a table for people instead of rows.")
@reading
@running
@click.pass_context
def judge(
    context: click.Context, pairs: str, bundle: str | None, output: Path | None, restart: bool, kind: str | None,
    fields: str | None, to: Literal["rows", "trl"], min_margin: float, only_consistent: bool, mark: bool, on_error: str,
    on_long: str, orders: str, sample: int | None, disagreement: float | None, exact: bool, calibration: Path | None,
    limit: int | None, window: int | None, threads: int, engine: str, nice: int | None, table: bool, verbose: bool,
    split: str | None, carry: tuple[str, ...], show: int | None,
) -> None:  # fmt: skip
    """Judge PAIRS: JSON Lines, a JSON array, CSV, Parquet, a datasets folder, or - for standard input.

    A row has instruction, response_0 and response_1, maybe id; other fields are carried along, but those that belong
    to the question (input, system, …) are shown with it. The shapes of TRL, UltraFeedback, distilabel and AlpacaEval
    are recognised; --show prints what the judge is shown. Each pair is judged in both orders by default, because
    small judges prefer a position more than a response. The rows of a file are checked before the first is judged.
    The output appears whole; a stopped run goes on where it was when the same command is given again.
    """
    from rlaif_fast.commands.default import bundle_folder_of
    from rlaif_fast.commands.show import show_pairs
    from rlaif_fast.commands.table import print_table
    from rlaif_fast.files.writing import Keep, check_target, convert
    from rlaif_fast.judging.run import Work, print_lines
    from rlaif_fast.reports.terminal import say
    from rlaif_fast.rows.reader import open_pairs

    if mark and not (min_margin or only_consistent):
        raise click.UsageError("--mark needs --min-margin or --only-consistent")
    if table and (output or to != "rows"):
        raise click.UsageError("--table is printed; it takes neither --output nor --to")
    fewer.check(orders, sample, disagreement, exact, calibration is not None)
    if exact and engine not in ("auto", "onnxruntime"):
        raise click.UsageError("--exact needs an error bound, which was measured with onnxruntime: leave --engine out")
    if show is not None and output is not None:
        raise click.UsageError("--show is printed and judges nothing; leave --output out")
    keep = Keep(min_margin, only_consistent, mark)
    if output is not None:
        output = check_target(output, [pairs, *([str(calibration)] if calibration else [])])
    with open_pairs(pairs, kind, fields, say, split=split, carry=carry) as intake:
        if show is not None:
            if show_pairs(intake, bundle, show if limit is None else min(show, limit), orders, on_error == "skip"):
                context.exit(1)
            return
        work = Work(intake.pairs, intake.restartable, limit, on_error == "skip", output)
        work.look()
        folder = bundle_folder_of(bundle)
        started = time.perf_counter()
        spin = not give_way(nice)
        loaded = _load(folder, threads, spin, "onnxruntime" if exact else engine)
        precise = _exact(loaded, folder, threads, spin) if exact else None
        calibrated = _calibration(calibration, loaded)
        if verbose:
            seconds = time.perf_counter() - started
            work.say(f"{loaded.manifest.name}, loaded in {seconds:.2f} s\n{loaded.describe()}")
        shortened = loaded.shortened if on_long == "truncate" else None
        shown: Orders = "forward" if orders == "forward" else "both"
        work.fitting(loaded.manifest.maximum_length, lambda pair: loaded.prompt_tokens(pair, shown), shortened)
        frugal = fewer.frugal_judge(loaded, work, orders, sample, disagreement)
        survey = None if frugal is None else fewer.prepare(frugal, work)
        ahead, done = window or work.window, 0

        def results(pairs: Iterable[Pair], done: int) -> Iterator[Verdict]:
            if frugal is not None:
                return frugal.judge_many(pairs, window=ahead, done=done)
            found = (precise or loaded).judge_many(pairs, shown, window=ahead, done=done)
            return map(calibrated, found) if calibrated else found

        if table:
            tally = work.to_screen(results, _Tally, print_table, survey)
        elif output is None:
            tally = work.to_screen(results, _Tally, lambda verdicts: print_lines(verdicts, _form(to, keep)), survey)
        else:
            bound = {
                "bundle": loaded.digest, "exact": precise.exact.digest if precise else None, "orders": orders,
                "sample": frugal.digest if frugal else None, "disagreement": frugal.disagreement if frugal else None,
                "calibration": calibrated.digest if calibrated else None,
                "on-long": on_long, "limit": limit, "window": ahead, "engine": loaded.engine,
            }  # fmt: skip
            tally, done = work.to_file(
                results, _Tally, bound, restart, lambda rows, target: convert(rows, target, to=to, keep=keep), survey
            )
    counts = tally.counts
    all_both = counts["both"] == counts["judged"] > 0  # else those read twice are no fair share
    same = [f"same position {100 * counts['same'] / counts['both']:.1f} %"] if all_both else []
    work.say(work.closing("pairs", done, same, counts["judged"], "judged"))
    if precise is not None:
        work.say(precise.line())
    if frugal is not None and counts["judged"]:
        work.say(frugal.line(counts["judged"], counts["judged"] - counts["both"]))
    if work.skipped:
        context.exit(1)


def _load(folder: Path, threads: int, spin: bool, engine: str) -> Judge:
    from rlaif_fast.commands.tune import opened
    from rlaif_fast.judging.judge import Judge

    return opened(Judge, folder, engine, threads=threads, spin=spin)


def _exact(fast: Judge, folder: Path, threads: int, spin: bool) -> ExactJudge | None:
    """The judge of ``--exact``; None where the bundle is exact by itself."""
    from rlaif_fast.bundle.float32_bundle import companion
    from rlaif_fast.judging.exact import ExactJudge

    if fast.manifest.error_bound is None:
        return None
    return ExactJudge(fast, _load(companion(folder, fast.manifest), threads, spin, fast.engine))


def _calibration(path: Path | None, judge: Judge) -> Calibration | None:
    from rlaif_fast.evaluation.calibration import read_calibration

    if path is None:
        return None
    found = read_calibration(path)
    found.require_bundle(judge.digest, path)
    return found


class _Tally:
    def __init__(self, counts: Mapping[str, Any]) -> None:
        self.counts: dict[str, Any] = {"judged": 0, "both": 0, "same": 0, "sample": [], **counts}

    def take(self, verdict: Verdict) -> None:
        self.counts["judged"] += 1
        if verdict.consistent is not None:
            self.counts["both"] += 1
            self.counts["same"] += not verdict.consistent


def _form(to: str, keep: Keep) -> Callable[[Verdict], str | None]:
    """A verdict as the line that standard output gets; None where it gets none."""
    import json

    from rlaif_fast.files.writing import trl_row

    def form(verdict: Verdict) -> str | None:
        row: dict[str, Any] | None = keep(verdict.row())
        if row is None:
            return None
        return json.dumps(trl_row(row) if to == "trl" else row, ensure_ascii=False, allow_nan=False)

    return form

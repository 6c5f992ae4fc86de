"""``rlaif-fast judge``."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from rlaif_fast.alignment.calibration import Calibration
    from rlaif_fast.exact import ExactJudge
    from rlaif_fast.intake import Intake
    from rlaif_fast.judge import Judge, Orders
    from rlaif_fast.pairs import Pair
    from rlaif_fast.verdict import Verdict
    from rlaif_fast.writing import Keep

_FILE_WINDOW = 1024  # a file does not keep its reader waiting
_POLITE = 5  # nice level on a machine in use


@click.command()
@click.argument("pairs", type=click.Path(allow_dash=True))
@click.option("-b", "--bundle", help="A bundle's folder or an exported model's id. [default: the embedded default]")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The verdicts' file: .jsonl, .json, .csv, .tsv"
              " or .parquet, maybe .gz or .zst behind it. [default: standard output]")  # fmt: skip
@click.option("--restart", is_flag=True, help="Forget what a stopped run left for this output, and begin again.")
@click.option("--from", "kind", type=click.Choice(["jsonl", "json", "csv", "tsv", "parquet", "arrow"]),
              help="What PAIRS is. [default: seen from its beginning and name]")  # fmt: skip
@click.option("--fields", help="Where a row keeps things, as instruction=prompt,response_0=completions.0,response_1=…"
              " [default: the usual shapes are recognised]")  # fmt: skip
@click.option("--to", type=click.Choice(["rows", "trl"]), default="rows", show_default=True,
              help="Verdict rows, or a preference file for TRL's trainers.")  # fmt: skip
@click.option("--min-margin", type=click.FloatRange(0, 1), default=0.0, help="Drop verdicts with |p1 - p2| below this.")
@click.option("--only-consistent", is_flag=True, help="Drop verdicts whose two orders disagree.")
@click.option("--mark", is_flag=True, help="With the two above: keep such rows, and write kept: false.")
@click.option("--on-error", type=click.Choice(["stop", "skip"]), default="stop", show_default=True,
              help="A row that is no pair: stop before judging, or set it aside in OUTPUT.errors.jsonl.")  # fmt: skip
@click.option("--on-long", type=click.Choice(["error", "truncate"]), default="error", show_default=True,
              help="A prompt over the model's context: an error, or leave the instruction's end away.")  # fmt: skip
@click.option("--orders", type=click.Choice(["both", "forward"]), default="both", show_default=True,
              help="Both orders, averaged; or response_0 first only.")  # fmt: skip
@click.option("--exact", is_flag=True, help="Labels equal to float32's: pairs too close for int8 are judged again by"
              " the fp32 bundle of the same model.")  # fmt: skip
@click.option("--calibration", type=click.Path(dir_okay=False, path_type=Path), help="Apply what `eval --fit` wrote"
              " for this bundle.")  # fmt: skip
@click.option("--limit", type=click.IntRange(min=0), help="Judge the first N pairs only.")
@click.option("--window", type=click.IntRange(min=1), help="Pairs read ahead; with fp32, those on one instruction share"
              " a forward pass. [default: 1024 of a file, 32 of a pipe]")  # fmt: skip
@click.option("--threads", type=click.IntRange(min=0), default=0, help="[default: the usable physical cores]")
@click.option("--nice", type=click.IntRange(0, 19), help="Give way to other processes: 0 not at all, 19 most."
              f" [default: {_POLITE} on a machine in use, else 0]")  # fmt: skip
@click.option("--table", is_flag=True, help="Print a table for people instead of rows.")
@click.option("-v", "--verbose", is_flag=True, help="Say how the runtime was set up.")
@click.pass_context
def judge(
    context: click.Context, pairs: str, bundle: str | None, output: Path | None, restart: bool, kind: str | None,
    fields: str | None, to: Literal["rows", "trl"], min_margin: float, only_consistent: bool, mark: bool, on_error: str,
    on_long: str, orders: Orders, exact: bool, calibration: Path | None, limit: int | None, window: int | None,
    threads: int, nice: int | None, table: bool, verbose: bool,
) -> None:  # fmt: skip
    """Judge PAIRS: JSON Lines, a JSON array, CSV, Parquet, a datasets folder, or - for standard input.

    A row has instruction, response_0 and response_1, maybe id; other fields are carried along. The shapes of TRL,
    UltraFeedback, distilabel and AlpacaEval are recognised. Each pair is judged in both orders by default, because
    small judges prefer a position more than a response. The rows of a file are checked before the first is judged.
    The output appears whole; a stopped run goes on where it was when the same command is given again.
    """
    from rlaif_fast.commands.default import bundle_folder_of
    from rlaif_fast.console import progress_of, stderr
    from rlaif_fast.intake import Rejects, open_pairs
    from rlaif_fast.journal import journal_of
    from rlaif_fast.judge import WINDOW
    from rlaif_fast.writing import Keep, check_target, convert

    if mark and not (min_margin or only_consistent):
        raise click.UsageError("--mark needs --min-margin or --only-consistent")
    if table and (output or to != "rows"):
        raise click.UsageError("--table is printed; it takes neither --output nor --to")
    keep = Keep(min_margin, only_consistent, mark)
    say = stderr().print
    if output is not None:
        check_target(output)
    with open_pairs(pairs, kind, fields, announce=say) as intake:
        # What is no pair is said before a model is loaded or exported.
        total, longest = _look(intake, limit, on_error) if intake.restartable else (limit, 0)
        folder = bundle_folder_of(bundle)
        started = time.perf_counter()
        polite = _give_way(nice)
        loaded = _load(folder, threads, spin=not polite)
        precise = _exact(loaded, folder, threads, spin=not polite) if exact else None
        calibrated = _calibration(calibration, loaded)
        if verbose:
            seconds = time.perf_counter() - started
            say(f"{loaded.manifest.name}, loaded in {seconds:.2f} s\n{loaded.describe()}")
        fit = _fit(loaded, orders, on_long)
        if on_error == "stop" and intake.restartable and 2 * longest > loaded.manifest.maximum_length:
            for _ in islice(intake.pairs(fit=fit), limit):  # a token is a byte or more
                pass
        errors = None if output is None else output.with_name(output.name + ".errors.jsonl")
        rejects = Rejects(errors, say) if on_error == "skip" else None
        source = islice(intake.pairs(fit=fit, rejected=rejects), limit)
        ahead = window or (_FILE_WINDOW if intake.restartable else WINDOW)

        def verdicts(pairs: Iterable[Pair], done: int = 0) -> Iterator[Verdict]:
            found = (precise or loaded).judge_many(pairs, orders, window=ahead, done=done)
            return progress_of(map(calibrated, found) if calibrated else found, total, done)

        if output is None:
            tally = _Tally()
            _print(tally.of(verdicts(source)), table=table, form=_form(to, keep))
        else:
            bound = {
                "bundle": loaded.digest, "exact": precise.exact.digest if precise else None, "orders": orders,
                "calibration": calibrated.digest if calibrated else None,
                "on-long": on_long, "limit": limit, "window": ahead,
            }  # fmt: skip
            with journal_of(output, bound, restart=restart) as journal:
                tally = _Tally(journal.tally, journal.done)
                if journal.done:
                    say(f"{output}: going on behind {journal.done} verdicts")
                if not journal.finished:
                    for verdict in tally.of(verdicts(journal.checked(source), journal.done)):
                        journal.write(verdict, tally.counts)
                    journal.complete()
                    convert(journal.rows, output, to=to, keep=keep)
    say(tally.line(rejects.count if rejects else 0, errors))
    if precise is not None:
        say(precise.line())
    if rejects and rejects.count:
        context.exit(1)


def _look(intake: Intake, limit: int | None, on_error: str) -> tuple[int, int]:
    """(how many pairs, bytes of the longest one's texts); raises PairError at a bad row if that stops the run."""
    total = longest = 0
    for pair in islice(intake.pairs(rejected=None if on_error == "stop" else lambda *_: None), limit):
        total += 1
        longest = max(longest, _bytes(pair))
    return total, longest


def _bytes(pair: Pair) -> int:
    return sum(len(text.encode()) for text in (pair.instruction, pair.response_0, pair.response_1))


def _fit(judge: Judge, orders: Orders, on_long: str) -> Callable[[Pair], Pair]:
    limit = judge.manifest.maximum_length

    def fit(pair: Pair) -> Pair:
        if 2 * _bytes(pair) <= limit:  # the template has the other half
            return pair
        if on_long == "truncate":
            return judge.shortened(pair)
        judge.prompt_tokens(pair, orders)
        return pair

    return fit


def _load(folder: Path, threads: int, spin: bool) -> Judge:
    from rlaif_fast.judge import Judge

    return Judge.load(folder, threads=threads, spin=spin)


def _exact(fast: Judge, folder: Path, threads: int, spin: bool) -> ExactJudge | None:
    """The judge of ``--exact``; None where the bundle is exact by itself."""
    from rlaif_fast.exact import ExactJudge, companion

    if fast.manifest.error_bound is None:
        return None
    return ExactJudge(fast, _load(companion(folder, fast.manifest), threads, spin))


def _calibration(path: Path | None, judge: Judge) -> Calibration | None:
    from rlaif_fast.alignment.calibration import read_calibration

    if path is None:
        return None
    found = read_calibration(path)
    found.require_bundle(judge.digest, path)
    return found


def _give_way(nice: int | None) -> bool:
    """Set the process's priority; whether the machine is in use by others."""
    from rlaif_fast.cpu import busy

    polite = busy()
    level = (_POLITE if polite else 0) if nice is None else nice
    if level and hasattr(os, "nice"):
        os.nice(level)
    return polite


class _Tally:
    """Counts for the closing line, and the time of this process."""

    def __init__(self, counts: Mapping[str, int] | None = None, done: int = 0) -> None:
        self.counts = {"judged": 0, "both": 0, "same": 0, **(counts or {})}
        self._started, self._done = time.perf_counter(), done

    def of(self, verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
        for verdict in verdicts:
            self.counts["judged"] += 1
            if verdict.consistent is not None:
                self.counts["both"] += 1
                self.counts["same"] += not verdict.consistent
            yield verdict

    def line(self, skipped: int, errors: Path | None) -> str:
        seconds = time.perf_counter() - self._started
        judged, both, same = self.counts["judged"], self.counts["both"], self.counts["same"]
        parts = [f"{judged + skipped} pairs, {judged} judged"]
        if skipped:
            parts.append(f"{skipped} skipped ({errors or 'see above'})")
        if both:
            parts.append(f"same position {100 * same / both:.1f} %")
        if judged > self._done:
            parts.append(f"{(judged - self._done) / seconds:.2f} pairs/s")
        return ", ".join([*parts, f"{seconds:.1f} s"])


def _form(to: str, keep: Keep) -> Callable[[Verdict], str | None]:
    """A verdict as the line that standard output gets; None where it gets none."""
    import json

    from rlaif_fast.writing import trl_row

    def form(verdict: Verdict) -> str | None:
        row: dict[str, Any] | None = keep(verdict.row())
        if row is None:
            return None
        return json.dumps(trl_row(row) if to == "trl" else row, ensure_ascii=False, allow_nan=False)

    return form


def _print(verdicts: Iterable[Verdict], *, table: bool, form: Callable[[Verdict], str | None]) -> None:
    if table:
        from rlaif_fast.commands.table import print_table

        print_table(list(verdicts), sys.stdout)
        return
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8", line_buffering=True)
    for verdict in verdicts:
        if (line := form(verdict)) is not None:
            sys.stdout.write(line + "\n")
    sys.stdout.flush()

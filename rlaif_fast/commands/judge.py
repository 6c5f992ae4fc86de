"""``rlaif-fast judge``."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rlaif_fast.exact import ExactJudge
    from rlaif_fast.judge import Judge, Orders
    from rlaif_fast.pairs import Pair
    from rlaif_fast.verdict import Verdict

_FILE_WINDOW = 1024  # a file does not keep its reader waiting


@click.command()
@click.argument("pairs", type=click.Path(allow_dash=True))
@click.option("-b", "--bundle", help="A bundle's folder or an exported model's id. [default: the embedded default]")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The verdicts' file. [default: standard output]")
@click.option("--orders", type=click.Choice(["both", "forward"]), default="both", show_default=True,
              help="Both orders, averaged; or response_0 first only.")  # fmt: skip
@click.option("--threads", type=click.IntRange(min=0), default=0, help="[default: the usable physical cores]")
@click.option("--limit", type=click.IntRange(min=0), help="Judge the first N pairs only.")
@click.option("--window", type=click.IntRange(min=1), help="Pairs read ahead; with fp32, those on one instruction share"
              " a forward pass. [default: 1024 of a file, 32 of a pipe]")  # fmt: skip
@click.option(
    "--exact",
    is_flag=True,
    help="Labels equal to float32's: pairs too close for int8 are judged again by the fp32 bundle of the same model.",
)
@click.option("--table", is_flag=True, help="Print a table for people instead of rows.")
@click.option("-v", "--verbose", is_flag=True, help="Say how the runtime was set up.")
def judge(
    pairs: str, bundle: str | None, output: Path | None, orders: Orders, threads: int, limit: int | None,
    window: int | None, exact: bool, table: bool, verbose: bool,
) -> None:  # fmt: skip
    """Judge PAIRS, a JSON Lines file or - for standard input.

    A row has instruction, response_0 and response_1, maybe id; other fields are carried along. Each pair is
    judged in both orders by default, because small judges prefer a position more than a response. The rows of
    a file are checked before the first is judged, and the output appears whole, or under a name of its own
    (.partial) if the run is stopped.
    """
    from rlaif_fast.commands.default import bundle_folder_of
    from rlaif_fast.console import progress_of, stderr
    from rlaif_fast.judge import WINDOW, Judge
    from rlaif_fast.pairs import open_lines, read_pairs

    source = "stdin" if pairs == "-" else pairs
    with open_lines(pairs) as lines:
        seekable = lines.seekable() and pairs != "-"
        if seekable:  # what is no pair is said before a model is loaded or exported
            for _ in islice(read_pairs(lines, source), limit):
                pass
            lines.seek(0)
        folder = bundle_folder_of(bundle)
        started = time.perf_counter()
        loaded = Judge.load(folder, threads=threads)
        precise = _exact(loaded, folder, threads) if exact else None
        if verbose:
            seconds = time.perf_counter() - started
            stderr().print(f"{loaded.manifest.name}, loaded in {seconds:.2f} s\n{loaded.describe()}")
        total = _check(loaded, islice(read_pairs(lines, source), limit), orders) if seekable else limit
        if seekable:
            lines.seek(0)
        tally = _Tally()
        ahead = window or (_FILE_WINDOW if seekable else WINDOW)
        verdicts = (precise or loaded).judge_many(islice(read_pairs(lines, source), limit), orders, window=ahead)
        with _writer(output, tally) as out:
            shown = []
            for verdict in progress_of(verdicts, total):
                tally.add(verdict)
                if table:
                    shown.append(verdict)
                else:
                    out.write(verdict.to_json() + "\n")
            if table:
                _print_table(shown, out)
    stderr().print(tally.line())
    if precise is not None:
        stderr().print(precise.line())


def _exact(fast: Judge, folder: Path, threads: int) -> ExactJudge | None:
    """The judge of ``--exact``; None where the bundle is exact by itself."""
    from rlaif_fast.exact import ExactJudge, companion
    from rlaif_fast.judge import Judge

    if fast.manifest.error_bound is None:
        return None
    return ExactJudge(fast, Judge.load(companion(folder, fast.manifest), threads=threads))


def _check(judge: Judge, pairs: Iterator[Pair], orders: Orders) -> int:
    """Count the pairs, and refuse a file with a prompt over the context before any is judged."""
    total = 0
    limit = judge.manifest.maximum_length
    for pair in pairs:
        total += 1
        texts = (pair.instruction, pair.response_0, pair.response_1)
        if sum(len(text.encode()) for text in texts) > limit // 2:  # a token is a byte or more, the template the rest
            judge.prompt_tokens(pair, orders)
    return total


class _Tally:
    """Counts for the closing line."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.judged = self.both = self.same_position = 0

    def add(self, verdict: Verdict) -> None:
        self.judged += 1
        consistent = verdict.consistent
        if consistent is not None:
            self.both += 1
            self.same_position += not consistent

    def line(self) -> str:
        seconds = time.perf_counter() - self.started
        same = f", same position {100 * self.same_position / self.both:.1f} %" if self.both else ""
        rate = f", {self.judged / seconds:.2f} pairs/s" if self.judged else ""
        return f"{self.judged} pairs, {self.judged} judged{same}{rate}, {seconds:.1f} s"


@contextmanager
def _writer(output: Path | None, tally: _Tally) -> Iterator[IO[str]]:
    """Standard output, or a file that takes its name only when it is whole."""
    if output is None:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(encoding="utf-8", line_buffering=True)
        yield sys.stdout
        sys.stdout.flush()
        return
    partial = output.with_name(output.name + ".partial")
    try:
        with open(partial, "w", encoding="utf-8", newline="\n") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, output)
    except BaseException:
        if tally.judged:
            click.echo(f"{tally.judged} verdicts so far are kept in {partial}", err=True)
        else:
            partial.unlink(missing_ok=True)
        raise


def _print_table(verdicts: list[Verdict], out: IO[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="verdicts: p1 is the probability that response_0 is preferred", title_justify="left")
    for name in ("id", "p1", "by order", "consistent", "chosen"):
        table.add_column(name, justify="right" if name.startswith("p1") else "left", overflow="fold")
    for verdict in verdicts:
        agrees = {True: "yes", False: "no", None: "-"}[verdict.consistent]
        by_order = "  ".join(f"{p:.3f}" for p in verdict.p1_by_order)
        text = " ".join(verdict.chosen.split())
        which = "response_0" if verdict.label == 1 else "response_1"
        table.add_row(
            str(verdict.pair.id), f"{verdict.p1:.4f}", by_order, agrees,
            f"{which}: {text[:64]}{'…' if len(text) > 64 else ''}",
        )  # fmt: skip
    Console(file=out, highlight=False, markup=False).print(table)

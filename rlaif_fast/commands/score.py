"""``rlaif-fast score``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rlaif_fast.commands.options import give_way, reading, running

if TYPE_CHECKING:
    from rlaif_fast.judging.rating import Rating
    from rlaif_fast.rows.samples import Sample


@click.command()
@click.argument("rows", type=click.Path(allow_dash=True))
@click.option("-b", "--bundle", help="A score bundle's folder. [default: the embedded default's, exported once]")
@click.option("--fields", help="Where a row keeps things, as instruction=question,response=answers.0")
@reading
@running
@click.pass_context
def score(
    context: click.Context, rows: str, bundle: str | None, fields: str | None, kind: str | None, on_error: str,
    on_long: str, limit: int | None, output: Path | None, restart: bool, threads: int, engine: str,
    nice: int | None, verbose: bool, split: str | None, carry: tuple[str, ...], show: int | None,
) -> None:  # fmt: skip
    """Score single responses from 1 to 10 (d-RLAIF), one forward pass each.

    A row of ROWS has instruction and response, maybe id; other fields are carried along. A row out has score (the
    expected score, rescaled to [-1, 1]), rating (1 to 10), distribution (of the ten scores) and mass (how likely
    the model is to answer with a score at all). A bundle for it is made by export --template score-summary,
    score-helpful or score-harmless.
    """
    from rlaif_fast.commands.default import bundle_folder_of
    from rlaif_fast.commands.show import show_samples
    from rlaif_fast.commands.tune import opened
    from rlaif_fast.files.writing import Keep, check_target, convert
    from rlaif_fast.judging.rater import Rater
    from rlaif_fast.judging.run import Work, print_lines
    from rlaif_fast.reports.terminal import say
    from rlaif_fast.rows.reader import open_samples

    if show is not None and output is not None:
        raise click.UsageError("--show is printed and scores nothing; leave --output out")
    if output is not None:
        output = check_target(output, [rows])
    with open_samples(rows, kind, fields, say, split=split, carry=carry) as intake:
        if show is not None:
            if show_samples(intake, bundle, show if limit is None else min(show, limit), on_error == "skip"):
                context.exit(1)
            return
        work = Work(intake.samples, intake.restartable, limit, on_error == "skip", output)
        work.look()
        folder = bundle_folder_of(bundle, "score-summary")
        rater = opened(Rater, folder, engine, threads=threads, spin=not give_way(nice))
        if verbose:
            work.say(f"{rater.manifest.name}\n{rater.describe()}")
        shortened = rater.shortened if on_long == "truncate" else None
        work.fitting(rater.manifest.maximum_length, rater.prompt_tokens, shortened)
        done = 0

        def results(samples: Iterable[Sample], done: int) -> Iterator[Rating]:
            return rater.rate_many(samples, window=work.window, done=done)

        if output is None:
            tally = work.to_screen(results, _Tally, lambda found: print_lines(found, lambda rating: rating.to_json()))
        else:
            bound = {
                "bundle": rater.digest, "on-long": on_long, "limit": limit, "window": work.window,
                "engine": rater.engine,
            }  # fmt: skip
            tally, done = work.to_file(
                results, _Tally, bound, restart, lambda path, to: convert(path, to, to="scores", keep=Keep())
            )
    counts = tally.counts
    mean = [f"mean score {counts['sum'] / counts['scored']:.3f}"] if counts["scored"] else []
    work.say(work.closing("responses", done, mean, counts["scored"], "scored"))
    if work.skipped:
        context.exit(1)


class _Tally:
    def __init__(self, counts: Mapping[str, Any]) -> None:
        self.counts = {"scored": 0, "sum": 0.0, **counts}

    def take(self, rating: Rating) -> None:
        self.counts["scored"] += 1
        self.counts["sum"] += rating.score

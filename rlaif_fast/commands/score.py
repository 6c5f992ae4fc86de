"""``rlaif-fast score``."""

from __future__ import annotations

from functools import partial
from pathlib import Path

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
from rlaif_fast.commands.table import check_table, print_scores, table_option


@click.command(cls=Command)
@click.argument("rows", type=click.Path(allow_dash=True))
@option("Input", "--fields", help="Field mapping, as instruction=question,response=answers.0")
@reading
@bundle_and_template
@running
@option("Output", "--min-mass", type=Range(0, 1), default=0.0, help="Drop scores whose mass is below this.")
@option("Output", "--mark", is_flag=True, help="With --min-mass: keep the rows it would drop, with kept: false.")
@table_option
@click.pass_context
def score(
    context: click.Context, rows: str, bundle: str | None, template: str | None, fields: str | None, kind: str | None,
    on_error: str, on_long: str, limit: int | None, output: Path | None, restart: bool, threads: int, engine: str,
    nice: int | None, verbose: bool, split: str | None, config: str | None, revision: str | None,
    carry: tuple[str, ...], show: int | None, min_mass: float, mark: bool, table: bool,
) -> None:  # fmt: skip
    """Score single responses from 1 to 10 (d-RLAIF), one forward pass each.

    A row of ROWS has instruction and response, maybe id; other fields are carried along. A row out has score (the
    expected score, rescaled to [-1, 1]), rating (1 to 10), distribution (of the ten scores) and mass (how likely
    the model is to answer with a score at all). The prompts for it are score-summary, score-helpful and
    score-harmless; `prompt list` shows which of them a bundle has, `prompt add` adds one. By a reward model score is
    the reward itself, by a safety model how likely it finds the response unsafe, from 0 to 1; there are none of the
    others.
    """
    from rlaif_fast.commands.default import bundle_folder_of
    from rlaif_fast.commands.lines import line_of, print_lines
    from rlaif_fast.commands.show import show_samples
    from rlaif_fast.commands.tune import opened
    from rlaif_fast.files.keeping import Keep, Sieve
    from rlaif_fast.files.writing import check_target, convert
    from rlaif_fast.judging.rater import Rater
    from rlaif_fast.judging.rating_run import RatingRun
    from rlaif_fast.judging.run_input import RunInput
    from rlaif_fast.reports.terminal import say
    from rlaif_fast.rows.reader import open_samples

    check_mark(context.params, "min_mass")
    check_show(context.params, "scores")
    if table:
        check_table(output)
    if output is not None:
        output = check_target(output, [rows])
    part = part_of(split, config, revision, output, restart=restart)
    with open_samples(rows, kind, fields, say, part=part, carry=carry) as intake:
        if show is not None:
            count = show if limit is None else min(show, limit)
            if show_samples(intake, bundle, template, count, on_error == "skip"):
                context.exit(1)
            return
        taken = RunInput(
            intake.samples, intake.restartable, limit=limit, skip=on_error == "skip", output=output,
            origin=intake.origin,
        )  # fmt: skip
        taken.check()
        folder = bundle_folder_of(bundle, template)
        rater = opened(
            Rater, folder, engine, template=template, threads=threads, spin=not give_way(nice), verbose=verbose
        )
        rewards = rater.manifest.by_rewards
        if rewards and min_mass:
            raise click.UsageError(f"--min-mass is for scores from 1 to 10, {rater.manifest.name} has no mass")
        sieve = Sieve(Keep(min_mass=min_mass, mark=mark))
        run = RatingRun(taken, rater, shorten=on_long == "truncate", sieve=sieve)
        if output is not None:
            made = {"min-mass": min_mass, "mark": mark}
            run.to_file(partial(convert, to="rewards" if rewards else "scores", keep=sieve), made, restart=restart)
        elif table:
            run.to_screen(
                lambda found: print_scores(sieve(one.row() for one in found), rated=not rewards, marked=mark)
            )  # fmt: skip
        else:
            run.to_screen(lambda found: print_lines(sieve(rating.row() for rating in found), line_of))
    finish(context, run)

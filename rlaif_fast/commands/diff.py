"""``rlaif-fast diff``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rlaif_fast.commands.numbers import Range

if TYPE_CHECKING:
    from rlaif_fast.evaluation.records import Record

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("a", type=click.Path(allow_dash=True))
@click.argument("b", type=click.Path(allow_dash=True))
@click.option("--examples", type=click.IntRange(min=0), default=5, show_default=True,
              help="Number of pairs to show: flipped labels first, then by difference in log-odds.")  # fmt: skip
@click.option("--max-flips", type=Range(0, 1), help="Fail if a larger share of the labels differs: 0.01 is 1 %.")
@click.option("--json", "json_file", type=_FILE, help="Write all figures, and the data behind them, as JSON.")
@click.option("--html", "html_file", type=_FILE, help="Write a report with plots as one HTML file.")
@click.pass_context
def diff(
    context: click.Context, a: str, b: str, examples: int, max_flips: float | None, json_file: Path | None,
    html_file: Path | None,
) -> None:  # fmt: skip
    """Compare two files of verdicts on the same pairs: two precisions, models, templates or orders.

    Pairs are matched by id, and their texts must be the same. Where the rows carry labels, both files are held against
    them as well; ties are left out.
    """
    from rlaif_fast.commands.reports import INTERVALS, PLOTS, check_reports, command_line, require_eval, write_reports
    from rlaif_fast.evaluation.compare import compare
    from rlaif_fast.reports.tables import print_tables
    from rlaif_fast.reports.terminal import echo, say

    if a == b == "-":
        raise click.UsageError("one of the two can be standard input")
    check_reports({"--json": json_file, "--html": html_file}, [a, b])
    if html_file is not None:
        require_eval("diff --html", PLOTS)
    first, second = _records(a), _records(b)
    if any(one.human_label is not None for one in (*first, *second)):
        require_eval("diff of labelled rows", INTERVALS)
    found = compare(first, second, (a, b), examples=examples, command=command_line(context))

    def page() -> str:
        from rlaif_fast.evaluation.diff_html import to_html

        return to_html(found)

    write_reports(((json_file, found.to_json), (html_file, page)))
    print_tables(found.title, found.tables(), found.missing, found.where)
    for line in found.examples_text():
        echo(line)
    if max_flips is not None and found.flip_share > max_flips:
        share = f"{found.flips} of {found.pairs} labels differ, a share of {found.flip_share:.4f}"
        say(f"error: {share}, over --max-flips {max_flips:g}")
        context.exit(1)


def _records(path: str) -> list[Record]:
    from rlaif_fast.errors import EvalError
    from rlaif_fast.evaluation.records import record_of
    from rlaif_fast.files.opening import open_rows

    with open_rows(path) as source:
        found = [record_of(row) for row in source.rows()]
    if not found:
        raise EvalError(f"{source.name}: no rows; give rows written by `rlaif-fast judge`")
    return found

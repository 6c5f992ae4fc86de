"""``rlaif-fast bench``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rlaif_fast.commands.headings import Command, option
from rlaif_fast.commands.numbers import Range
from rlaif_fast.commands.options import (
    bundle_and_template,
    columns,
    engine_option,
    kind_option,
    limit_option,
    part_of,
    threads_option,
)

if TYPE_CHECKING:
    from rlaif_fast.bench.report import Report

_FILE = click.Path(dir_okay=False, path_type=Path)
_SHARE = Range(0, 1)


@click.command(cls=Command)
@click.argument("pairs", type=click.Path(allow_dash=True))
@kind_option
@option("Input", "--fields", help="Field mapping, as in `judge`.")
@columns
@limit_option
@bundle_and_template
@option(
    "Judging",
    "--reference",
    metavar="MODEL",
    help="Also judge with PyTorch fp32, in turns, and compare. MODEL is as in `export`.",
)
@option(
    "Judging",
    "--repeat",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Times that each pair is judged and timed.",
)
@threads_option
@engine_option
@option("Output", "--json", "json_file", type=_FILE, help="Write all figures, and the data behind them, as JSON.")
@option("Output", "--markdown", "markdown_file", type=_FILE, help="Write the tables as Markdown.")
@option("Output", "--html", "html_file", type=_FILE, help="Write a report with plots as one HTML file.")
@option(
    "Thresholds",
    "--min-speedup",
    type=Range(min=0),
    help="Fail if the bundle is less than this many times as fast as the reference.",
)
@option("Thresholds", "--max-flips", type=_SHARE, help="Fail if a larger share of the labels differs: 0.01 is 1 %.")
@option(
    "Thresholds",
    "--max-worst-delta",
    type=Range(min=0),
    help="Fail if the largest |difference in log-odds| to the reference, of any prompt, is above this.",
)
@option("Thresholds", "--max-delta", "old_name", type=Range(min=0), hidden=True)  # elsewhere it is a mean
@option("Thresholds", "--baseline", type=_FILE, help="Report of an older run, written by --json.")
@option("Thresholds", "--max-regression", type=Range(min=0), help="Fail if speed or memory is worse than"
        " the baseline's by a larger share: 0.15 is 15 %.")  # fmt: skip
@click.pass_context
def bench(
    context: click.Context, pairs: str, bundle: str | None, template: str | None, reference: str | None,
    limit: int | None, threads: int, engine: str, repeat: int, json_file: Path | None, markdown_file: Path | None,
    html_file: Path | None, min_speedup: float | None, max_flips: float | None, max_worst_delta: float | None,
    old_name: float | None, baseline: Path | None, max_regression: float | None, kind: str | None,
    fields: str | None, split: str | None, config: str | None, revision: str | None, carry: tuple[str, ...],
) -> None:  # fmt: skip
    """Measure a bundle on PAIRS: latency, throughput, start, memory.

    With --reference MODEL, also measure agreement with PyTorch fp32, and the speedup over it. Both judge each pair in
    turns, so that drift of the machine cancels. A missed threshold is one line on standard error and exit status 1.
    """
    if max_worst_delta is None:
        max_worst_delta = old_name
    if reference is None and (min_speedup, max_flips, max_worst_delta) != (None, None, None):
        raise click.UsageError("--min-speedup, --max-flips and --max-worst-delta compare: they need --reference MODEL")
    if (baseline is None) != (max_regression is None):
        raise click.UsageError("--baseline and --max-regression need each other")
    from rlaif_fast.bench import gate
    from rlaif_fast.bench.report import Report
    from rlaif_fast.bench.run import Plan, checked_source, read_set, run
    from rlaif_fast.commands.default import bundle_folder_of, require_bundle
    from rlaif_fast.commands.reports import PLOTS, check_reports, command_line, require_eval, write_reports
    from rlaif_fast.commands.tune import prompt_name, settled
    from rlaif_fast.prompts.template import Template
    from rlaif_fast.reports.console import Steps
    from rlaif_fast.reports.tables import print_tables
    from rlaif_fast.reports.terminal import say
    from rlaif_fast.runtime.cpu import busy

    wanted = ((json_file, Report.to_json), (markdown_file, Report.to_markdown), (html_file, _html))
    files = {"--json": json_file, "--markdown": markdown_file, "--html": html_file}
    check_reports(files, [pairs, *([str(baseline)] if baseline else [])])  # said before minutes of measuring
    if html_file is not None:
        require_eval("bench --html", PLOTS)
    limits = gate.Thresholds(
        min_speedup, max_flips, max_worst_delta, max_regression, gate.read_baseline(baseline) if baseline else None
    )
    measured = read_set(pairs, limit, kind, fields, part=part_of(split, config, revision), carry=carry)
    require_bundle(bundle, template, (Template,))
    source = checked_source(measured, reference, threads, limits.baseline)
    folder = bundle_folder_of(bundle, template)
    name = prompt_name(folder, template, (Template,))
    folder, engine = settled(folder, engine, threads, name, spin=not busy())
    plan = Plan(measured, folder, name, reference, source, threads, repeat, command_line(context), engine)
    with Steps().shown() as steps:
        report = run(plan, steps)
    write_reports((path, partial(render, report)) for path, render in wanted)
    print_tables(report.title, report.tables(), report.warnings, report.where)
    missed = gate.failures(report, limits)
    for line in missed:
        say(f"error: {line}")
    if missed:
        context.exit(1)


def _html(report: Report) -> str:
    from rlaif_fast.bench.html import to_html

    return to_html(report)

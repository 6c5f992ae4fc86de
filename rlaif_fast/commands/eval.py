"""``rlaif-fast eval``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rlaif_fast.commands.headings import Command, option
from rlaif_fast.commands.options import columns, kind_option, long_option, part_of, template_option, threads_option

if TYPE_CHECKING:
    from rlaif_fast.bundle.manifest import Manifest
    from rlaif_fast.commands.labelled import Labelled
    from rlaif_fast.evaluation.records import Record, Sample
    from rlaif_fast.evaluation.report import Fit
    from rlaif_fast.judging.judge import Judge
    from rlaif_fast.rows.pairs import Pair

_FILE = click.Path(dir_okay=False, path_type=Path)
_LEAST = 10  # pairs in each half of a fit


@click.command("eval", cls=Command)
@click.argument("labelled", nargs=-1, required=True, metavar="LABELLED...", type=click.Path(allow_dash=True))
@option("Judging", "-b", "--bundle", "bundles", multiple=True, help="The bundle that judges the pairs, or that"
        " judged the verdicts: its folder, the id of an exported model, or the owner/name of a published bundle."
        " Repeatable with --suite. [default: the embedded default model's; for verdicts none]")  # fmt: skip
@template_option
@kind_option
@option("Input", "--fields", help="Field mapping, as in `judge`; also of label, human_label_from_1 and task.")
@columns
@option("Input", "--limit", type=click.IntRange(min=1), help="Use the first N rows only; with --suite, of each file.")
@option("Input", "--suite", metavar="NAME", help="Evaluate several files, or several bundles, in one table, each and"
        " overall. NAME is the table's title.")  # fmt: skip
@long_option
@threads_option
@option("Output", "--fit", "fit_file", type=_FILE, help="Fit a calibration (temperature and position offset) on half"
        " of the instructions, test it on the other half, and write it for `judge --calibration`.")  # fmt: skip
@option("Output", "--json", "json_file", type=_FILE, help="Write all figures, and the data behind them, as JSON.")
@option("Output", "--markdown", "markdown_file", type=_FILE, help="Write the tables as Markdown.")
@option("Output", "--html", "html_file", type=_FILE, help="Write a report with plots as one HTML file.")
@click.pass_context
def evaluate(
    context: click.Context, labelled: tuple[str, ...], bundles: tuple[str, ...], template: str | None,
    kind: str | None, fields: str | None, limit: int | None, suite: str | None, on_long: str, threads: int,
    fit_file: Path | None, json_file: Path | None, markdown_file: Path | None, html_file: Path | None,
    split: str | None, config: str | None, revision: str | None, carry: tuple[str, ...],
) -> None:  # fmt: skip
    """Evaluate a judge on LABELLED: agreement with human labels, position bias and calibration of p1.

    LABELLED is a file of pairs with a human label, which are judged first, or of verdicts that `judge` wrote for such
    pairs. The label is the field label (0 or 1, the index of the preferred response) or human_label_from_1 (1 or 2).
    Ties and empty labels are counted and left out. Judge long files with `judge -o` first: it can be resumed.

    With --suite NAME there may be several LABELLED, all of pairs or all of verdicts, and several -b.
    """
    from rlaif_fast.commands.labelled import judged, loaded, read_labelled, said_of
    from rlaif_fast.commands.reports import INTERVALS, PLOTS, check_reports, command_line, require_eval, write_reports
    from rlaif_fast.commands.suite import report_on_suite, show_suite
    from rlaif_fast.evaluation.records import sample_of
    from rlaif_fast.evaluation.report import evaluate as report_on
    from rlaif_fast.files.targets import write_text
    from rlaif_fast.reports.tables import print_tables

    _check_usage(labelled, bundles, suite, fit_file)
    files = {"--fit": fit_file, "--json": json_file, "--markdown": markdown_file, "--html": html_file}
    check_reports(files, labelled)
    require_eval("eval", INTERVALS)
    if html_file is not None:
        require_eval("eval --html", PLOTS)
    part = part_of(split, config, revision)
    read = [
        read_labelled(path, kind=kind, part=part, fields=fields, carry=carry, limit=limit) for path in labelled
    ]  # fmt: skip
    command = command_line(context)
    if suite is not None:
        of_suite = report_on_suite(suite, labelled, read, bundles, template, on_long, threads, command)
        show_suite(of_suite, json_file, markdown_file, html_file)
        return
    (found,), bundle = read, next(iter(bundles), None)
    fitted, judge = None, None
    if fit_file is not None:
        _require_enough(found)
    if found.verdicts is None:
        judge = loaded(bundle, template, threads)
        records = judged(judge, found.pairs or [], on_long)
    else:
        records = found.verdicts
        if bundle is not None:
            judge = _origin(records, bundle, template, found.name, threads)
        elif fit_file or template:
            what = "--fit" if fit_file else "--template"
            raise click.UsageError(f"{what} on verdicts needs -b BUNDLE, the one that judged them")
    manifest = None if judge is None else judge.manifest
    sample = sample_of(records)
    if fit_file is not None and manifest is not None:
        fitted = _fit(sample, records, manifest, found.title)
    report = report_on(sample, source=found.title, command=command, judge=None if judge is None else said_of(judge),
                       fit=fitted, left_out=found.left_out,
                       in_orders=manifest is None or not manifest.by_rewards)  # fmt: skip

    def page() -> str:
        from rlaif_fast.evaluation.html import to_html

        return to_html(report, sample)

    write_reports(((json_file, report.to_json), (markdown_file, report.to_markdown), (html_file, page)))
    if fit_file is not None and fitted is not None:
        write_text(fit_file, fitted.calibration.to_json())
    print_tables(report.title, report.tables(), report.warnings, report.where)


def _check_usage(files: tuple[str, ...], bundles: tuple[str, ...], suite: str | None, fit_file: Path | None) -> None:
    """Raise UsageError where options do not go together."""
    if suite is None and len(files) > 1:
        raise click.UsageError("several files need --suite NAME, which puts them into one table")
    if suite is None and len(bundles) > 1:
        raise click.UsageError("several bundles need --suite NAME, which puts them into one table")
    if suite is not None and fit_file is not None:
        raise click.UsageError("--fit takes one file and one bundle; leave --suite out")
    if suite is not None and (not suite or Path(suite).exists()):
        what = f"{suite} is a file" if suite else "it is empty"
        raise click.UsageError(f"--suite takes the suite's name, and {what}; give --suite NAME FILE…")
    if files.count("-") > 1:
        raise click.UsageError("one of the files can be standard input")


def _origin(
    records: list[Record], bundle: str, template: str | None, name: str, threads: int
) -> Judge:  # fmt: skip
    """The judge that is said to have given the verdicts: rows do not say, so it is asked."""
    from rlaif_fast.commands.labelled import loaded
    from rlaif_fast.evaluation.origin import check_origin

    judge = loaded(bundle, template, threads)
    check_origin(records, judge, name)
    return judge


def _require_enough(found: Labelled) -> None:
    """Raise EvalError where a file has too few labelled pairs to fit on one half of its instructions."""
    from rlaif_fast.errors import EvalError
    from rlaif_fast.evaluation.records import half

    rows: Sequence[Pair | Record] = found.pairs or found.verdicts or []
    tested = sum(half(one.instruction) for one in rows)
    if min(len(rows) - tested, tested) < _LEAST:
        raise EvalError(
            f"{found.title}: a fit needs {_LEAST} pairs in each half of the instructions, here are"
            f" {len(rows) - tested} and {tested}; give more labelled pairs"
        )


def _fit(sample: Sample, records: list[Record], manifest: Manifest, name: str) -> Fit:
    """Fitted on one half of the instructions, looked at on the other."""
    import numpy as np

    from rlaif_fast.evaluation.calibration import Calibration, fit
    from rlaif_fast.evaluation.figures import figures_of
    from rlaif_fast.evaluation.records import half
    from rlaif_fast.evaluation.report import Fit

    fitted_on = np.array([half(one.instruction) == 0 for one in records])
    train, test = sample.where(fitted_on), sample.where(~fitted_on)
    a, b = fit(train, None if manifest.by_rewards else "both")
    of = Calibration(manifest.digest, a, b, {"source": name, "pairs": len(train), "groups": train.groups})
    return Fit(of, len(train), train.groups, figures_of(test), figures_of(of.on(test)))

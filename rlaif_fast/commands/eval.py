"""``rlaif-fast eval``."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rlaif_fast.commands.headings import Command, option
from rlaif_fast.commands.options import columns, kind_option, long_option, template_option, threads_option

if TYPE_CHECKING:
    from rlaif_fast.bundle.manifest import Manifest
    from rlaif_fast.evaluation.records import Record, Sample
    from rlaif_fast.evaluation.report import Fit
    from rlaif_fast.files.source import Row, Source
    from rlaif_fast.judging.judge import Judge
    from rlaif_fast.schemas.human_labels import LeftOut

_FILE = click.Path(dir_okay=False, path_type=Path)
_LEAST = 10  # pairs in each half of a fit


@click.command("eval", cls=Command)
@click.argument("labelled", type=click.Path(allow_dash=True))
@option("Judging", "-b", "--bundle", help="What judges pairs, or judged the verdicts: a bundle's folder, an exported"
        " model's id, or a published bundle's owner/name. [default: the embedded default]")  # fmt: skip
@template_option
@kind_option
@option("Input", "--fields", help="Field mapping, as in judge.")
@columns
@option("Input", "--limit", type=click.IntRange(min=1), help="Take the first N rows only.")
@long_option
@threads_option
@option("Output", "--fit", "fit_file", type=_FILE, help="Fit temperature and position offset on one half of the"
        " instructions, report them on the other, and write them for `judge --calibration`.")  # fmt: skip
@option("Output", "--json", "json_file", type=_FILE, help="Write every figure, and what they follow from.")
@option("Output", "--html", "html_file", type=_FILE, help="Write a report with plots, one file.")
@click.pass_context
def evaluate(
    context: click.Context, labelled: str, bundle: str | None, template: str | None, kind: str | None,
    fields: str | None, limit: int | None, on_long: str, threads: int, fit_file: Path | None, json_file: Path | None,
    html_file: Path | None, split: str | None, carry: tuple[str, ...],
) -> None:  # fmt: skip
    """How good a judge is on LABELLED: its alignment with people, and how far p1 can be believed.

    LABELLED is a file of pairs with people's choice in a field label (0 or 1, the index of the preferred response),
    judged on the way; or verdicts that `judge` wrote of such pairs. Ties and empty labels are counted and left out.
    For a long set judge first: an interrupted `judge -o` can be resumed.
    """
    from rlaif_fast.commands.reports import INTERVALS, PLOTS, check_reports, command_line, require_eval
    from rlaif_fast.evaluation.records import is_verdict, nothing_labelled, sample_of
    from rlaif_fast.evaluation.report import evaluate as report_on
    from rlaif_fast.files.opening import open_rows
    from rlaif_fast.files.targets import write_text
    from rlaif_fast.reports.tables import print_tables
    from rlaif_fast.schemas.human_labels import LeftOut

    check_reports((fit_file, json_file, html_file), [labelled])
    require_eval("eval", INTERVALS)
    if html_file is not None:
        require_eval("eval --html", PLOTS)
    judge: dict[str, Any] | None = None
    manifest, left_out = None, LeftOut()
    with open_rows(labelled, kind, split) as source:
        rows = source.rows()
        head = list(islice(rows, 1))
        rest = replace(source, restartable=False, read=lambda: chain(head, rows))
        if fields is None and head and is_verdict(head[0].value):
            if bundle is None and (fit_file or template):
                what = "--fit" if fit_file else "--template"
                raise click.UsageError(f"{what} on verdicts needs -b BUNDLE, the one that judged them")
            records = list(_judged(islice(rest.rows(), limit), left_out))
            if bundle is not None:
                manifest = _checked_origin(records, bundle, template, source.name, threads)
        else:
            loaded, records = _judge(rest, bundle, template, fields, carry, limit, on_long, threads, left_out)
            manifest = loaded.manifest
    if manifest is not None:
        judge = {"name": manifest.name, "model": manifest.model.id, "digest": manifest.digest}
    if not records:
        raise nothing_labelled(source.name, left_out)
    sample = sample_of(records)
    name = Path(source.name).name
    fitted = None
    if fit_file is not None and manifest is not None:
        fitted = _fit(sample, records, manifest, name)
    report = report_on(sample, source=name, command=command_line(context), judge=judge, fit=fitted,
                       left_out=left_out,
                       in_orders=manifest is None or not manifest.by_rewards)  # fmt: skip
    # Files first: nothing of what was judged is lost to a failure in showing it.
    if json_file is not None:
        write_text(json_file, report.to_json())
    if html_file is not None:
        from rlaif_fast.evaluation.html import to_html

        write_text(html_file, to_html(report, sample))
    if fit_file is not None and fitted is not None:
        write_text(fit_file, fitted.calibration.to_json())
    print_tables(report.title, report.tables(), report.warnings, report.where)


def _checked_origin(
    records: list[Record], bundle: str, template: str | None, name: str, threads: int
) -> Manifest:  # fmt: skip
    """The manifest of the bundle that is said to have judged given verdicts: rows do not say, so it is asked."""
    from rlaif_fast.evaluation.origin import check_origin
    from rlaif_fast.judging.judge import Judge
    from rlaif_fast.runtime.cpu import busy

    judge = Judge.load(bundle, template=template, threads=threads, spin=not busy())
    check_origin(records, judge, name)
    return judge.manifest


def _judged(rows: Iterator[Row], left_out: LeftOut) -> Iterator[Record]:
    """Verdicts whose label is 0 or 1; the others are counted."""
    from rlaif_fast.errors import EvalError
    from rlaif_fast.evaluation.records import has_label, record_of

    for row in rows:
        found = record_of(row)
        if not has_label(row.value):
            raise EvalError(
                f"{row.where}, id {found.id!r}: the verdict has no human_label; judge pairs with a field label (0 or 1)"
            )
        if not left_out(found.human_label):
            yield found


def _judge(
    source: Source, bundle: str | None, template: str | None, fields: str | None, carry: Collection[str],
    limit: int | None, on_long: str, threads: int, left_out: LeftOut,
) -> tuple[Judge, list[Record]]:  # fmt: skip
    from rlaif_fast.commands.default import bundle_folder_of
    from rlaif_fast.evaluation.labelled import labelled
    from rlaif_fast.evaluation.records import nothing_labelled, record
    from rlaif_fast.judging.judge import Judge
    from rlaif_fast.judging.pair_run import PairRun
    from rlaif_fast.judging.run_input import RunInput
    from rlaif_fast.reports.terminal import say
    from rlaif_fast.rows.reader import row_reader
    from rlaif_fast.runtime.cpu import busy

    intake = row_reader(source, fields, say, carry=carry)
    # Said before a model is loaded.
    pairs = list(labelled(islice(intake.pairs(), limit), left_out))
    if not pairs:
        raise nothing_labelled(source.name, left_out)
    rows = RunInput.of(pairs)
    rows.check()
    judge = Judge.load(bundle_folder_of(bundle), template=template, threads=threads, spin=not busy())
    run = PairRun(rows, judge, shorten=on_long == "truncate", window=len(pairs))
    records = [record(verdict.row()) for verdict in run.results()]
    say(run.closing())
    return judge, records


def _fit(sample: Sample, records: list[Record], manifest: Manifest, name: str) -> Fit:
    """Fitted on one half of the instructions, looked at on the other."""
    import numpy as np

    from rlaif_fast.errors import EvalError
    from rlaif_fast.evaluation.calibration import Calibration, fit
    from rlaif_fast.evaluation.records import half
    from rlaif_fast.evaluation.report import Fit, figures_of

    fitted_on = np.array([half(one.instruction) == 0 for one in records])
    if min(fitted_on.sum(), (~fitted_on).sum()) < _LEAST:
        raise EvalError(
            f"{name}: a fit needs {_LEAST} pairs in each half of the instructions, here are {int(fitted_on.sum())} and"
            f" {int((~fitted_on).sum())}; give more labelled pairs"
        )
    train, test = sample.where(fitted_on), sample.where(~fitted_on)
    a, b = fit(train, None if manifest.by_rewards else "both")
    of = Calibration(manifest.digest, a, b, {"source": name, "pairs": len(train), "groups": train.groups})
    return Fit(of, len(train), train.groups, figures_of(test), figures_of(of.on(test)))

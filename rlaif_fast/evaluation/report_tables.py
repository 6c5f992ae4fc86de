"""The tables of an eval's report: the same on the terminal, in Markdown and in HTML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rlaif_fast.evaluation.coverage import Decided, Point
from rlaif_fast.evaluation.figures import Bin, Figure, Figures
from rlaif_fast.reports.tables import INTERVAL, Table, margin_text, number, percent, span_text, with_span

if TYPE_CHECKING:
    from rlaif_fast.evaluation.report import Fit, Report


def tables_of(report: Report) -> Iterator[Table]:
    yield _main_table(report.figures, report.labels.agreement)
    if len(report.by_task) > 1:
        yield _task_table(report.by_task)
    yield _bin_table("by margin, |p1 - p2|", report.by_margin)
    yield _coverage_table(report.coverage)
    yield _decided_table(report.decided_within)
    if report.fit is not None:
        yield _fit_table(report.fit)


def _main_table(of: Figures, agreement: str) -> Table:
    rows = [
        _row(f"{agreement} (accuracy)", of.accuracy), _row("Cohen's kappa", of.kappa, share=False),
        _row("baseline: pick the longer", of.baselines.longer), _row("baseline: always response_0", of.baselines.first),
        _row("gain over picking the longer", of.over_longer, signed=True),
        _row("same position in both orders", of.same_position_rate), _row("consistent", of.consistency),
        _row("first position picked, single prompts", of.first_position_rate),
        _row("expected calibration error", of.ece, share=False), _row("Brier score", of.brier, share=False),
        _row("log loss", of.log_loss, share=False),
    ]  # fmt: skip
    return Table("agreement", ["value", INTERVAL], rows)


def _task_table(tasks: dict[str, Figures]) -> Table:
    rows = [
        [task, str(of.pairs), *_row("", of.accuracy)[1:], percent(of.baselines.longer.value),
         percent(of.same_position_rate.value), number(of.ece.value)]
        for task, of in tasks.items()
    ]  # fmt: skip
    return Table("by task", ["pairs", "accuracy", INTERVAL, "longer", "same position", "ECE"], rows)


def _bin_table(title: str, bins: Sequence[Bin]) -> Table:
    rows = [
        [margin_text(bin_.low, bin_.high), str(bin_.pairs), percent(bin_.accuracy), span_text(bin_.interval)]
        for bin_ in bins
    ]
    return Table(title, ["pairs", "accuracy", INTERVAL], rows)


def _coverage_table(points: Sequence[Point]) -> Table:
    """Every fourth point, each number of pairs once: the JSON and the plot have all."""
    shown = {at.pairs: at for at in reversed(points[3::4])}
    rows = [
        [percent(at.coverage), str(at.pairs), f"{at.threshold:.4f}", percent(at.accuracy), span_text(at.interval)]
        for at in shown.values()
    ]
    return Table("by coverage", ["pairs", "margin at least", "accuracy", INTERVAL], rows)


def _decided_table(found: Sequence[Decided]) -> Table:
    rows = []
    for one in found:
        behind = f"{one.errors} of {one.tested}, at most {percent(one.upper_bound)}" if one.tested else "-"
        threshold = "-" if one.threshold is None else f"{one.threshold:.4f}"
        rows.append([f"at most {100 * one.disagreement:g} % disagreement", percent(one.value), threshold, behind])
    return Table("coverage at bounded disagreement", ["coverage", "margin at least", "errors, 95 % bound"], rows)


def _fit_table(fit: Fit) -> Table:
    found = fit.calibration
    pairs = (
        ("same position in both orders", "same_position_rate", percent),
        ("expected calibration error", "ece", number), ("Brier score", "brier", number),
        ("log loss", "log_loss", number),
    )  # fmt: skip
    sides = fit.before, fit.after
    rows = [["accuracy", *(with_span(of.accuracy.value, of.accuracy.interval) for of in sides)]]
    rows += [[name, *(form(getattr(of, key).value) for of in sides)] for name, key, form in pairs]
    rows.append([f"fitted on {fit.pairs} pairs, tested on", str(fit.before.pairs), str(fit.after.pairs)])
    title = f"calibration: temperature {1 / found.a:.4g}, position offset {found.b:+.4g}"
    return Table(title, ["before", "after"], rows)


def _row(name: str, of: Figure, *, share: bool = True, signed: bool = False) -> list[str]:
    form = (lambda value: percent(value, signed)) if share else number
    return [name, form(of.value), span_text(of.interval, form)]

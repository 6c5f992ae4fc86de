"""The report of an eval as one page."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rlaif_fast.evaluation.figures import Figure
from rlaif_fast.evaluation.plots import coverage_plot, distribution_plot, orders_plot, reliability_plot
from rlaif_fast.evaluation.records import Sample
from rlaif_fast.evaluation.report import Report
from rlaif_fast.reports.html import Tile, figure, page
from rlaif_fast.reports.tables import number, percent, short_span

_NOT_NAMED = "Verdict rows do not say which model and prompt they are of; -b BUNDLE names them"


def to_html(report: Report, sample: Sample) -> str:
    """See :func:`rlaif_fast.reports.html.page`.

    Args:
        sample: what the report is on.
    """
    where = report.where if report.judge else f"{report.where}. {_NOT_NAMED}"
    return page(
        report.title, made_by="rlaif-fast eval", where=where, warnings=report.warnings, tiles=_tiles(report),
        figures=_figures(report, sample), tables=report.tables(), command=report.command,
    )  # fmt: skip


def _tiles(report: Report) -> Iterator[Tile]:
    of = report.figures
    yield _tile(report.labels.agreement, of.accuracy)
    yield _tile("baseline: pick the longer", of.baselines.longer)
    if of.same_position_rate.value is not None:
        yield _tile("same position in both orders", of.same_position_rate)
    yield _tile("expected calibration error", of.ece, number)
    for one in report.decided_within:
        yield Tile(f"coverage at {100 * one.disagreement:g} % disagreement or less", percent(one.value))


def _tile(what: str, of: Figure, form: Callable[[float | None], str] = percent) -> Tile:
    return Tile(what, form(of.value), short_span(of.interval, form))


def _figures(report: Report, sample: Sample) -> Iterator[str]:
    yield figure(
        "Reliability diagram", reliability_plot(report.reliability),
        "Accuracy by confidence, with 95 % intervals; the numbers above are the pairs in each bin. On the dashed"
        " diagonal p1 can be read as a probability; below it the judge is overconfident.",
    )  # fmt: skip
    yield figure(
        "Distribution of p1 by order", distribution_plot(sample),
        "p1 is the probability that response_0 is preferred. A shift between the two orders is position bias.",
    )  # fmt: skip
    if report.figures.same_position_rate.value is not None:
        yield figure(
            "Forward against swapped order", orders_plot(sample),
            "One point a pair. Upper right and lower left: both orders name the same response. Upper left and lower"
            " right: the judge picked the same position twice. A cross is a pair on which"
            f" {report.labels.whose} differ from the averaged label. On the diagonal there is no position bias.",
        )  # fmt: skip
    longer = report.figures.baselines.longer.value
    yield figure(
        "Accuracy by coverage", coverage_plot(sample, longer, report.coverage, report.decided_within),
        "Accuracy on the pairs with the largest margins |p1 - p2|, by the share of pairs that is kept; with the 95 %"
        " interval of each point by itself.",
    )  # fmt: skip

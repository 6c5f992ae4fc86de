"""The report of an eval as one page."""

from __future__ import annotations

from collections.abc import Iterator

from rlaif_fast.evaluation.plots import coverage_plot, distribution_plot, orders_plot, reliability_plot
from rlaif_fast.evaluation.records import Sample
from rlaif_fast.evaluation.report import Report, number, percent
from rlaif_fast.reports.html import figure, page


def to_html(report: Report, sample: Sample) -> str:
    """See :func:`rlaif_fast.reports.html.page`.

    Args:
        sample: what the report is on.
    """
    return page(
        report.title, made_by="rlaif-fast eval", where=report.where, warnings=report.warnings, tiles=_tiles(report),
        figures=_figures(report, sample), tables=report.tables(), command=report.command,
    )  # fmt: skip


def _tiles(report: Report) -> Iterator[tuple[str, str]]:
    of = report.figures
    yield f"alignment with {report.whose}", percent(of.accuracy.value)
    if of.accuracy.interval is not None:
        yield "its 95 % interval", " to ".join(f"{100 * end:.0f}" for end in of.accuracy.interval) + " %"
    yield "pick the longer", percent(of.baselines.longer.value)
    yield "same position in both orders", percent(of.same_position_rate.value)
    yield "expected calibration error", number(of.ece.value)
    for one in report.decided_within:
        yield f"can be decided within {100 * one.disagreement:g} % of {report.whose}", percent(one.value)


def _figures(report: Report, sample: Sample) -> Iterator[str]:
    yield figure(
        "Reliability", reliability_plot(report.reliability),
        "How often the judge is right (with the exact 95 % interval and the number of pairs) by how sure it is. On the"
        " dashed diagonal p1 can be read as a probability; below it the judge is too sure.",
    )  # fmt: skip
    yield figure(
        "Distribution of p1 by order",
        distribution_plot(sample),
        "p1 is the probability that response_0 is preferred. Where the two lie apart, the judge prefers a position.",
    )
    if report.figures.same_position_rate.value is not None:
        yield figure(
            "First against swapped", orders_plot(sample),
            "One point a pair. Upper right and lower left: both orders name the same response. Upper left and lower"
            " right: the judge picked the same position twice. A cross is a pair on which"
            f" {report.whose} differ from the averaged label. On the diagonal there is no position bias.",
        )  # fmt: skip
    longer = report.figures.baselines.longer.value
    yield figure(
        "Alignment against coverage", coverage_plot(sample, longer, report.decided_within),
        f"Alignment with {report.whose} when pairs with a small margin |p1 - p2| are left out; the band is the exact"
        " 95 % interval at each point by itself.",
    )  # fmt: skip

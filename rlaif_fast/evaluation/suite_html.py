"""The report on a suite as one page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.ticker import PercentFormatter

from rlaif_fast.evaluation.figures import Figure
from rlaif_fast.evaluation.suite import SuiteReport
from rlaif_fast.reports.html import Tile, figure, page
from rlaif_fast.reports.plots import ONE, TWO, Plot, plot
from rlaif_fast.reports.tables import percent, short_span

_LANE = 38  # height of a file
_LONG = 44  # characters of a name that is shown


def suite_page(report: SuiteReport) -> str:
    """See :func:`rlaif_fast.reports.html.page`."""
    drawn = figure(
        "Accuracy by file", accuracy_plot(_rows(report)),
        "How often the judge agrees with the labels, with the 95 % interval; a cross is picking the longer response."
        " The dashed line is chance.",
    )  # fmt: skip
    return page(
        report.title, made_by="rlaif-fast eval --suite", where=report.where, warnings=report.warnings,
        tiles=_tiles(report), figures=[drawn], tables=report.tables(), command=report.command,
    )  # fmt: skip


def _tiles(report: SuiteReport) -> Iterator[Tile]:
    for one in report.overall:
        by = f", {one.judge}" if len(report.overall) > 1 else ""
        for what, of in (("all pairs", one.pairs.accuracy), ("mean of files", one.files["accuracy"])):
            yield Tile(f"accuracy, {what}{by}", percent(of.value), short_span(of.interval, percent))


def _rows(report: SuiteReport) -> list[tuple[str, Figure, float | None]]:
    several = len(report.overall) > 1
    found = [
        (f"{one.file}, {one.judge}" if several else one.file, one.figures.accuracy, one.figures.baselines.longer.value)
        for one in report.entries
    ]
    for one in report.overall:
        name = f"mean of files{f', {one.judge}' if several else ''}"
        found.append((name, one.files["accuracy"], one.files["longer"].value))
    return found


@plot("Accuracy by file", height=100)
def accuracy_plot(figure: Plot, rows: Sequence[tuple[str, Figure, float | None]]) -> None:
    """A dot and its interval a file, one above the other, each under its name."""
    figure.set_figheight((50 + _LANE * len(rows)) / 72)
    axes = figure.subplots()
    places = np.arange(len(rows))[::-1].astype(float)
    axes.set(xlim=(0, 1), ylim=(-0.5, len(rows) - 0.1), yticks=[], xlabel="accuracy")
    axes.xaxis.set_major_formatter(PercentFormatter(1, 0, " %"))
    axes.axvline(0.5, color=TWO, linestyle="--", linewidth=1)
    for place, (name, of, _) in zip(places, rows, strict=True):
        short = name if len(name) <= _LONG else name[: _LONG - 1] + "…"
        axes.annotate(short, (0, place), (0, 7), textcoords="offset points")
        if of.interval is not None:
            low, high = of.interval
            figure.name(axes.hlines(place, low, high, color=ONE, linewidth=1.5), "reach")
    titles = [f"{name}: {percent(of.value)}" for name, of, _ in rows]
    figure.dots(axes, [of.value for _, of, _ in rows], places, titles)
    longer = [(value, place, name) for place, (name, _, value) in zip(places, rows, strict=True) if value is not None]
    figure.crosses(
        axes, [value for value, _, _ in longer], [place for _, place, _ in longer],
        [f"{name}: pick the longer {percent(value)}" for value, _, name in longer],
    )  # fmt: skip

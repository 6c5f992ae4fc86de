"""The report of a selection as one page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter

from rlaif_fast.evaluation.figures import Figure, figures_of
from rlaif_fast.reports.html import Tile, figure, page
from rlaif_fast.reports.plots import MUTED, ONE, Plot, plot
from rlaif_fast.reports.tables import percent, short_span
from rlaif_fast.selection.decision import Tried
from rlaif_fast.selection.report import Selection

_ROW = 38  # height of a prompt in the plot
_NAME = 48  # characters of its name that are shown


def to_html(found: Selection) -> str:
    """See :func:`rlaif_fast.reports.html.page`."""
    return page(
        found.title, made_by="rlaif-fast select", where=found.where, warnings=found.warnings, tiles=_tiles(found),
        figures=_figures(found), tables=found.tables(), command=found.command, conclusion=found.conclusion,
    )  # fmt: skip


def _tiles(found: Selection) -> Iterator[Tile]:
    if found.tested is None or found.best is None:
        return
    tested = found.tested
    yield Tile("best prompt", found.best.prompt)
    yield _tile(f"its {found.labels.agreement}, test set", figures_of(tested.sample).accuracy)
    yield _tile(f"the same of {found.current}", figures_of(tested.current).accuracy)
    yield _tile("difference", Figure(tested.difference, tested.interval), signed=True)


def _tile(what: str, of: Figure, *, signed: bool = False) -> Tile:
    def form(value: float | None) -> str:
        return percent(value, signed)

    return Tile(what, form(of.value), short_span(of.interval, form))


def _figures(found: Selection) -> Iterator[str]:
    shown = [one for one in found.tried if one.orders == "both" and one.found.interval is not None]
    if shown:
        yield figure(
            f"Accuracy compared with {found.current}", _differences_plot(shown),
            f"Differences in accuracy, in both orders, on the selection set, with 95 % intervals that are not"
            f" corrected for {len(found.tried)} comparisons. Prompts that were dropped early read fewer pairs, so their"
            " intervals are wider.",
        )  # fmt: skip


@plot("Differences between prompts", height=120)
def _differences_plot(drawing: Plot, tried: Sequence[Tried]) -> None:
    """A dot and an interval a prompt, the most accurate at the top; its name above it."""
    drawing.set_figheight((70 + _ROW * len(tried)) / 72)
    axes = drawing.subplots()
    places = np.arange(len(tried))[::-1].astype(float)
    values = np.array([one.found.difference for one in tried])
    spans = np.array([one.found.interval for one in tried])
    axes.vlines(np.zeros(len(tried)), places - 0.13, places + 0.13, color=MUTED, linewidth=1)  # not through the names
    axes.xaxis.set_major_locator(MaxNLocator(5))
    drawing.name(axes.hlines(places, *spans.T, color=ONE, linewidth=1.5), "reach")
    titles = [f"{one.prompt}: {percent(one.found.difference, True)} of {one.found.pairs} pairs" for one in tried]
    drawing.dots(axes, values, places, titles)
    for place, one in zip(places, tried, strict=True):
        name = axes.annotate(_short(one.prompt), (0, place), (2, 6), xycoords=("axes fraction", "data"),
                             textcoords="offset points")  # fmt: skip
        name.set_in_layout(False)  # as long as the plot is wide, whatever the axis begins with
    axes.set(ylim=(-0.6, len(tried) - 0.2), yticks=[], xlabel="difference in accuracy")
    axes.xaxis.set_major_formatter(PercentFormatter(1, 0, " %"))


def _short(name: str) -> str:
    return name if len(name) <= _NAME else name[: _NAME - 1] + "…"

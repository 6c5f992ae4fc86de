"""The report of a selection as one page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.ticker import PercentFormatter

from rlaif_fast.evaluation.report import percent
from rlaif_fast.reports.html import figure, page
from rlaif_fast.reports.plots import MUTED, ONE, Plot, plot
from rlaif_fast.selection.decision import Tried
from rlaif_fast.selection.report import Selection

_ROW = 34  # height of a prompt in the plot


def to_html(found: Selection) -> str:
    """See :func:`rlaif_fast.reports.html.page`."""
    return page(
        found.title, made_by="rlaif-fast select", where=f"{found.conclusion}. {found.where}", warnings=found.warnings,
        tiles=_tiles(found), figures=_figures(found), tables=found.tables(), command=found.command,
    )  # fmt: skip


def _tiles(found: Selection) -> Iterator[tuple[str, str]]:
    if found.tested is None or found.best is None:
        return
    tested = found.tested
    yield "the best prompt", found.best.prompt
    yield f"its alignment with {found.whose}, tested", percent(float(tested.sample.right.mean()))
    yield f"{found.current}'s", percent(float(tested.current.right.mean()))
    yield "difference", percent(tested.difference, True)


def _figures(found: Selection) -> Iterator[str]:
    shown = [one for one in found.tried if one.orders == "both" and one.found.interval is not None]
    if shown:
        yield figure(
            f"Alignment above {found.current}", _differences_plot(shown),
            f"In both orders, on the pairs chosen on, with 95 % intervals that are not corrected for having tried"
            f" {len(found.tried)}. Prompts that were dropped early read fewer pairs, so their intervals are wider.",
        )  # fmt: skip


@plot("Differences of prompts", height=120)
def _differences_plot(drawing: Plot, tried: Sequence[Tried]) -> None:
    """A dot and an interval a prompt, the most accurate at the top; its name above it."""
    drawing.set_figheight((70 + _ROW * len(tried)) / 72)
    axes = drawing.subplots()
    places = np.arange(len(tried))[::-1].astype(float)
    values = np.array([one.found.difference for one in tried])
    spans = np.array([one.found.interval for one in tried])
    axes.axvline(0, color=MUTED, linestyle="--", linewidth=1)
    drawing.name(axes.hlines(places, *spans.T, color=ONE, linewidth=1.5), "reach")
    titles = [f"{one.prompt}: {percent(one.found.difference, True)} of {one.found.pairs} pairs" for one in tried]
    drawing.dots(axes, values, places, titles)
    left = float(min(spans.min(), 0.0))
    for place, one in zip(places, tried, strict=True):
        axes.annotate(one.prompt, (left, place), (0, 5), textcoords="offset points")
    axes.set(ylim=(-0.6, len(tried) - 0.2), yticks=[], xlabel="share of right labels, difference")
    axes.xaxis.set_major_formatter(PercentFormatter(1, 0, " %"))

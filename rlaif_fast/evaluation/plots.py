"""The plots of an eval."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import PercentFormatter

from rlaif_fast.evaluation.coverage import Decided, Point
from rlaif_fast.evaluation.figures import Bin
from rlaif_fast.evaluation.records import Sample
from rlaif_fast.evaluation.share import interval_of
from rlaif_fast.reports.plots import EDGE, MUTED, ONE, TWO, Plot, distributions, plot, scatter, square
from rlaif_fast.reports.tables import percent
from rlaif_fast.wording import counted

_BARS = 40
_POINTS = 200  # of a curve
_FEW = 12  # points that are drawn one by one
_DOTS = 2000  # of a scatter


@plot("Reliability diagram", height=350)
def reliability_plot(figure: Plot, bins: Sequence[Bin]) -> None:
    """Accuracy over confidence, a dot a bin; on the diagonal the judge knows how often it is right."""
    filled = [bin_ for bin_ in bins if bin_.confidence is not None]
    x = np.array([bin_.confidence for bin_ in filled])
    y = np.array([bin_.accuracy for bin_ in filled])
    spans = np.array([bin_.interval for bin_ in filled])
    low = min(0.4, math.floor(10 * float(spans.min())) / 10)
    axes = square(figure, low, 1)
    axes.set(xlabel="confidence, max(p1, p2)", ylabel="accuracy")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, 0, " %"))
    axes.axhline(0.5, color=TWO, linestyle="--", linewidth=1)
    axes.annotate("chance", (low, 0.5), (2, 4), textcoords="offset points", color=TWO)
    figure.name(axes.vlines(x, *spans.T, color=ONE, linewidth=1.5), "reach")
    titles = [f"{one.low:.2f} to {one.high:.2f}: right {percent(one.accuracy)} of {one.pairs}" for one in filled]
    figure.dots(axes, x, y, titles)
    axes.annotate("pairs", (low, 1), (0, 9), textcoords="offset points")
    top = axes.secondary_xaxis("top")
    top.set_xticks([(one.low + one.high) / 2 for one in filled], [f"{one.pairs:,}" for one in filled])
    for label in top.get_xticklabels():
        label.set(rotation=90, rotation_mode="anchor", ha="left", va="center")
    top.spines["top"].set_visible(False)


@plot("Distribution of p1 by order", height=330)
def distribution_plot(figure: Plot, sample: Sample) -> None:
    """Histograms of p1 by the place response_0 was shown at; apart, they show position bias."""
    first, second = (column[~np.isnan(column)] for column in sample.by_order.T)
    series = [("response_0 shown first", ONE, first), ("response_0 shown second", TWO, second)]
    lanes = distributions(figure, [one for one in series if len(one[2])], np.linspace(0, 1, _BARS + 1), counted="pairs")
    lanes[-1].set(xlim=(0, 1), xlabel="p1")


@plot("Forward against swapped order", height=330)
def orders_plot(figure: Plot, sample: Sample) -> None:
    """Log-odds of response_0 shown second over shown first; a cross where people prefer the other response."""
    both = np.flatnonzero(~np.isnan(sample.by_order).any(1))[:_DOTS]
    first, second = sample.log_odds[both].T
    titles = [f"{sample.id[k]}: {a:.3f}, {b:.3f}" for k, a, b in zip(both, first, second, strict=True)]
    scatter(
        figure, first, second, ~sample.right[both], titles,
        ("response_0 shown first, log-odds", "shown second, log-odds"),
    )  # fmt: skip
    (axes,) = figure.axes
    axes.axhline(0, color=EDGE, zorder=0.5)
    axes.axvline(0, color=EDGE, zorder=0.5)


@plot("Accuracy by coverage", height=330)
def coverage_plot(
    figure: Plot, sample: Sample, longer: float | None, points: Sequence[Point], decided: Sequence[Decided]
) -> None:
    """Accuracy on the pairs of the largest margins, with intervals: a band through ``points``, or lines for a few."""
    order = np.argsort(-sample.margin, kind="stable")
    right = np.cumsum(sample.right[order])
    margin = sample.margin[order]
    last = np.flatnonzero(np.append(margin[1:] != margin[:-1], True)) + 1  # of each margin
    counts = np.unique(last[np.linspace(0, len(last) - 1, min(len(last), _POINTS)).round().astype(int)])
    axes = figure.subplots()
    x, y = counts / len(sample), right[counts - 1] / counts
    if len(counts) <= _FEW:
        spans = np.array([interval_of(sample.right[order[:k]], sample.group[order[:k]]) for k in counts])
        figure.name(axes.vlines(x, *spans.T, color=ONE, linewidth=1.5), "reach")
        titles = [f"{counted(int(k), 'pair')}: right {percent(share)}" for k, share in zip(counts, y, strict=True)]
        figure.dots(axes, x, y, titles)
    else:
        spans = np.array([one.interval for one in points])
        reached = [one.coverage for one in points]
        figure.name(axes.fill_between(reached, *spans.T, color=ONE, alpha=0.15, linewidth=0), "band")
        (curve,) = axes.plot(x, y, color=ONE, linewidth=2)
        figure.name(curve, "curve")
    if longer is not None:
        axes.axhline(longer, color=TWO, linestyle="--", linewidth=1)
        axes.annotate("pick the longer", (1, longer), (-2, 4), textcoords="offset points", color=TWO, ha="right")
    for level, one in enumerate(decided):
        if one.value:
            axes.axvline(one.value, color=MUTED, linestyle="--", linewidth=1)
            axes.annotate(f"{100 * one.disagreement:g} % disagreement", (one.value, 0), (-3, 4 + 15 * level),
                          textcoords="offset points", ha="right" if one.value > 0.3 else "left")  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="coverage: share of pairs kept", ylabel="accuracy")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, 0, " %"))

"""The plots of an eval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rlaif_fast.evaluation.coverage import Decided
from rlaif_fast.evaluation.records import Sample
from rlaif_fast.evaluation.report import Bin, percent
from rlaif_fast.judging.binomial import interval
from rlaif_fast.reports.svg import (
    TOP,
    across,
    bar,
    count_ticks,
    cross,
    dot,
    even_ticks,
    line,
    svg,
    text,
    up,
    x_axis,
    y_axis,
)

_BARS = 40
_POINTS = 200  # of a curve
_DOTS = 2000  # of a scatter
_PERCENT = [(k / 5, f"{20 * k} %") for k in range(6)]


def reliability_plot(bins: Sequence[Bin]) -> str:
    """Accuracy over confidence, a dot a bin; on the diagonal the judge knows how often it is right."""
    filled = [bin_ for bin_ in bins if bin_.confidence is not None]
    end = max(0.6, filled[-1].high)

    def place(confidence: float) -> float:
        return (confidence - 0.5) / (end - 0.5)

    ticks = [(across(place(t)), f"{100 * t:g} %") for t in even_ticks(0.5, end)]
    parts = [
        y_axis(_PERCENT, 1, "accuracy"), x_axis(ticks, "confidence, max(p1, p2)"),
        line(0, 0.5, 1, end, "diagonal"), _level(0.5, "chance"),
    ]  # fmt: skip
    for bin_ in filled:
        assert bin_.confidence is not None and bin_.accuracy is not None and bin_.interval is not None
        x, (low, high) = place(bin_.confidence), bin_.interval
        parts.append(line(x, low, x, high, "reach"))
        title = f"{bin_.low:.2f} to {bin_.high:.2f}: right {percent(bin_.accuracy)} of {bin_.pairs}"
        parts.append(dot(across(x), up(bin_.accuracy), title))
        aside, anchor = (-7, "end") if x > 0.9 else (7, "start")
        parts.append(text(across(x) + aside, up(bin_.accuracy) - 6, str(bin_.pairs), anchor))
    return svg("Reliability", parts)


def distribution_plot(sample: Sample) -> str:
    """Histograms of p1 by the place response_0 was shown at; apart, they show position bias."""
    edges = np.linspace(0, 1, _BARS + 1)
    shown = [("response_0 shown first", "one"), ("response_0 shown second", "two")]
    counts = [np.histogram(column[~np.isnan(column)], edges)[0] for column in sample.by_order.T]
    top = max(int(count.max()) for count in counts)
    parts = [y_axis(count_ticks(top), top, "pairs"), x_axis([(across(t), f"{t:g}") for t, _ in _PERCENT], "p1")]
    for level, ((name, css), count) in enumerate(zip(shown, counts, strict=True)):
        for low, high, height in zip(edges, edges[1:], count, strict=False):
            if height:
                title = f"{name}: {height} from {low:.3f} to {high:.3f}"
                parts.append(bar(across(low), across(high), height / top, css, title))
        parts.append(text(across(0.02 if level == 0 else 0.98), TOP - 12, name, "start" if level == 0 else "end", css))
    return svg("Distribution of p1 by order", parts)


def orders_plot(sample: Sample) -> str:
    """Log-odds of response_0 shown second over shown first; a cross where people prefer the other response."""
    both = np.flatnonzero(~np.isnan(sample.by_order).any(1))[:_DOTS]
    odds, right = sample.log_odds[both], sample.right[both]
    limit = 1.08 * max(float(np.abs(odds).max(initial=0)), 1e-6)

    def place(value: float) -> float:
        return (value + limit) / (2 * limit)

    ticks = even_ticks(-limit, limit)
    parts = [
        y_axis([(place(t), f"{t:g}") for t in ticks], 1, "shown second, log-odds"),
        x_axis([(across(place(t)), f"{t:g}") for t in ticks], "response_0 shown first, log-odds"),
        line(0, 0, 1, 1, "diagonal"), line(0.5, 0, 0.5, 1, "zero"), line(0, 0.5, 1, 0.5, "zero"),
    ]  # fmt: skip
    for k, (first, second) in enumerate(odds.tolist()):
        mark = dot if right[k] else cross
        parts.append(mark(across(place(first)), up(place(second)), f"{sample.id[both[k]]}: {first:.3f}, {second:.3f}"))
    return svg("First against swapped", parts)


def coverage_plot(sample: Sample, longer: float | None, decided: Sequence[Decided]) -> str:
    """Alignment of the most decided pairs, with its exact binomial interval as a band."""
    order = np.argsort(-sample.margin, kind="stable")
    right = np.cumsum(sample.right[order])
    margin = sample.margin[order]
    last = np.flatnonzero(np.append(margin[1:] != margin[:-1], True)) + 1  # of each margin
    counts = np.unique(last[np.linspace(0, len(last) - 1, min(len(last), _POINTS)).round().astype(int)])
    spans = [interval(int(right[k - 1]), int(k)) or [0.0, 1.0] for k in counts]
    xs = [across(k / len(sample)) for k in counts]
    parts = [
        y_axis(_PERCENT, 1, "accuracy"),
        x_axis([(across(t), name) for t, name in _PERCENT], "pairs kept, the most decided first"),
    ]
    outline = [*zip(xs, (up(high) for _, high in spans), strict=True)]
    outline += reversed([*zip(xs, (up(low) for low, _ in spans), strict=True)])
    parts.append(f'<path class="band" d="{_path(outline)}z"/>')
    curve = [(x, up(right[k - 1] / k)) for x, k in zip(xs, counts, strict=True)]
    parts.append(f'<path class="curve" d="{_path(curve)}"/>')
    if longer is not None:
        parts.append(_level(longer, "pick the longer"))
    for one in decided:
        if one.value:
            parts.append(line(one.value, 0, one.value, 1, "diagonal"))
            parts.append(text(across(one.value) - 4, TOP - 8, f"within {100 * one.disagreement:g} %", "end"))
    return svg("Alignment against coverage", parts)


def _level(share: float, name: str) -> str:
    return line(0, share, 1, share, "level") + text(across(1) - 4, up(share) - 5, name, "end", "two")


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)

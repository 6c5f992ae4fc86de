"""The bench's plots."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rlaif_fast.bundle.agreement import MarginBin
from rlaif_fast.reports.svg import (
    TOP,
    WIDTH,
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
from rlaif_fast.reports.tables import margin_text

_BINS = 40

Floats = npt.NDArray[np.float64]


def latency_plot(series: Sequence[tuple[str, str, Floats]]) -> str:
    """Histograms of milliseconds on a logarithmic axis, where equal ratios are equal distances.

    Args:
        series: (name, CSS class, times) of each judge.
    """
    every = np.concatenate([times for *_, times in series])
    low, high = math.log10(every.min()), math.log10(every.max())
    margin = max(0.05 * (high - low), 0.02)
    low, high = low - margin, high + margin
    edges = np.linspace(low, high, _BINS + 1)
    counts = [np.histogram(np.log10(times), edges)[0] for *_, times in series]
    top = max(int(c.max()) for c in counts)

    def x(value: float) -> float:
        return across((math.log10(value) - low) / (high - low))

    ticks = [(x(tick), f"{tick:g}") for tick in _ratio_ticks(low, high)]
    parts = [
        y_axis(count_ticks(top), top, "pairs timed"),
        x_axis(ticks, "milliseconds a pair (logarithmic)"),
    ]
    for (name, css, _), count in zip(series, counts, strict=True):
        for start, end, height in zip(edges, edges[1:], count, strict=False):
            if height:
                title = f"{name}: {height} of {10**start:.1f} to {10**end:.1f} ms"
                parts.append(bar(x(10**start), x(10**end), height / top, css, title))
    for level, (name, css, times) in enumerate(series):
        median = float(np.median(times))
        at = x(median)
        side = "end" if at > WIDTH * 0.7 else "start"
        y = TOP - 28 + 14 * level
        parts.append(f'<line class="median {css}" x1="{at:.1f}" x2="{at:.1f}" y1="{y - 6}" y2="{up(0):.1f}"/>')
        parts.append(text(at + (-5 if side == "end" else 5), y + 3, f"{name}: median {median:,.1f} ms", side, css))
    return svg("How long a pair takes", parts)


def scatter_plot(ids: Sequence[object], reference: Floats, bundle: Floats, flips: npt.NDArray[np.bool_]) -> str:
    """Order-averaged log-odds of each pair, the bundle's over the reference's; flips stand out by shape."""
    limit = 1.08 * max(float(np.abs(reference).max()), float(np.abs(bundle).max()), 1e-6)

    def place(value: float) -> float:
        return (value + limit) / (2 * limit)

    ticks = even_ticks(-limit, limit)
    parts = [
        y_axis([(place(t), f"{t:g}") for t in ticks], 1, "bundle, log-odds"),
        x_axis([(across(place(t)), f"{t:g}") for t in ticks], "PyTorch fp32, log-odds of response_0"),
        line(0, 0, 1, 1, "diagonal"),
        line(0.5, 0, 0.5, 1, "zero"),
        line(0, 0.5, 1, 0.5, "zero"),
    ]
    for which in np.argsort(flips, kind="stable"):  # the flips last, on top
        a, b = float(reference[which]), float(bundle[which])
        cx, cy = across(place(a)), up(place(b))
        mark = cross if flips[which] else dot
        parts.append(mark(cx, cy, f"{ids[which]}: PyTorch {a:.4f}, bundle {b:.4f}"))
    return svg("Log-odds against the reference", parts)


def margin_plot(bins: Sequence[MarginBin]) -> str:
    """Pairs by the reference's margin, the flipped ones at the foot of each bar."""
    top = max(1, *(bin_.pairs for bin_ in bins))
    slot = 1 / len(bins)
    parts = [y_axis(count_ticks(top), top, "pairs")]
    ticks = []
    for number, bin_ in enumerate(bins):
        left, right = across((number + 0.15) * slot), across((number + 0.85) * slot)
        name = margin_text(bin_.low, bin_.high)
        ticks.append(((left + right) / 2, name))
        parts.append(bar(left, right, bin_.pairs / top, "one", f"{name}: {bin_.pairs} pairs"))
        parts.append(bar(left, right, bin_.flips / top, "mark", f"{name}: {bin_.flips} flips"))
        label = f"{bin_.flips} of {bin_.pairs}"
        parts.append(text((left + right) / 2, up(bin_.pairs / top) - 5, label, "middle"))
    parts.append(x_axis(ticks, "margin: |log-odds| of PyTorch fp32"))
    return svg("Flips by margin", parts)


def _ratio_ticks(low: float, high: float) -> list[float]:
    """Round numbers between powers of ten ``low`` and ``high``, about as many as are read easily."""
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        powers = range(math.floor(low), math.ceil(high) + 1)
        ticks = [d * 10.0**p for p in powers for d in digits if low <= math.log10(d * 10.0**p) <= high]
        if len(ticks) >= 4:
            return ticks
    return [float(f"{10**value:.3g}") for value in np.linspace(low, high, 5)[1:-1]]

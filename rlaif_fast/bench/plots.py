"""The report's plots as inline SVG. Colours are the page's (see html.py), so they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np
import numpy.typing as npt

from rlaif_fast.agreement import MarginBin
from rlaif_fast.bench.report import margin_text

WIDTH, HEIGHT = 640, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 40, 48
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
        return _across((math.log10(value) - low) / (high - low))

    ticks = [(x(tick), f"{tick:g}") for tick in _ratio_ticks(low, high)]
    parts = [
        _y_axis(_count_ticks(top), top, "pairs timed"),
        _x_axis(ticks, "milliseconds a pair (logarithmic)"),
    ]
    for (name, css, _), count in zip(series, counts, strict=True):
        for start, end, height in zip(edges, edges[1:], count, strict=False):
            if height:
                title = f"{name}: {height} of {10**start:.1f} to {10**end:.1f} ms"
                parts.append(_bar(x(10**start), x(10**end), height / top, css, title))
    for level, (name, css, times) in enumerate(series):
        median = float(np.median(times))
        at = x(median)
        side = "end" if at > WIDTH * 0.7 else "start"
        y = _TOP - 28 + 14 * level
        parts.append(f'<line class="median {css}" x1="{at:.1f}" x2="{at:.1f}" y1="{y - 6}" y2="{_up(0):.1f}"/>')
        parts.append(_text(at + (-5 if side == "end" else 5), y + 3, f"{name}: median {median:,.1f} ms", side, css))
    return _svg("How long a pair takes", parts)


def scatter_plot(ids: Sequence[object], reference: Floats, bundle: Floats, flips: npt.NDArray[np.bool_]) -> str:
    """Order-averaged log-odds of each pair, the bundle's over the reference's; flips stand out by shape."""
    limit = 1.08 * max(float(np.abs(reference).max()), float(np.abs(bundle).max()), 1e-6)

    def place(value: float) -> float:
        return (value + limit) / (2 * limit)

    ticks = _even_ticks(-limit, limit)
    parts = [
        _y_axis([(place(t), f"{t:g}") for t in ticks], 1, "bundle, log-odds"),
        _x_axis([(_across(place(t)), f"{t:g}") for t in ticks], "PyTorch fp32, log-odds of response_0"),
        _line(0, 0, 1, 1, "diagonal"),
        _line(0.5, 0, 0.5, 1, "zero"),
        _line(0, 0.5, 1, 0.5, "zero"),
    ]
    for which in np.argsort(flips, kind="stable"):  # the flips last, on top
        a, b = float(reference[which]), float(bundle[which])
        cx, cy = _across(place(a)), _up(place(b))
        title = f"<title>{_safe(ids[which])}: PyTorch {a:.4f}, bundle {b:.4f}</title>"
        if flips[which]:
            cross = f"M{cx - 4:.1f} {cy - 4:.1f}l8 8m0 -8l-8 8"
            parts.append(f'<path class="flip" d="{cross}">{title}</path>')
        else:
            parts.append(f'<circle class="dot" cx="{cx:.1f}" cy="{cy:.1f}" r="3">{title}</circle>')
    return _svg("Log-odds against the reference", parts)


def margin_plot(bins: Sequence[MarginBin]) -> str:
    """Pairs by the reference's margin, the flipped ones at the foot of each bar."""
    top = max(1, *(bin_.pairs for bin_ in bins))
    slot = 1 / len(bins)
    parts = [_y_axis(_count_ticks(top), top, "pairs")]
    ticks = []
    for number, bin_ in enumerate(bins):
        left, right = _across((number + 0.15) * slot), _across((number + 0.85) * slot)
        name = margin_text(bin_.low, bin_.high)
        ticks.append(((left + right) / 2, name))
        parts.append(_bar(left, right, bin_.pairs / top, "bundle", f"{name}: {bin_.pairs} pairs"))
        parts.append(_bar(left, right, bin_.flips / top, "flipped", f"{name}: {bin_.flips} flips"))
        label = f"{bin_.flips} of {bin_.pairs}"
        parts.append(_text((left + right) / 2, _up(bin_.pairs / top) - 5, label, "middle"))
    parts.append(_x_axis(ticks, "margin: |log-odds| of PyTorch fp32"))
    return _svg("Flips by margin", parts)


def _svg(title: str, parts: Sequence[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}"'
        f' xmlns="http://www.w3.org/2000/svg">\n{body}\n</svg>'
    )


def _across(share: float) -> float:
    """x of a share of the plot's width."""
    return _LEFT + share * (WIDTH - _LEFT - _RIGHT)


def _up(share: float) -> float:
    """y of a share of the plot's height, from below."""
    return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)


def _bar(left: float, right: float, share: float, css: str, title: str) -> str:
    y = _up(share)
    size = f'x="{left:.1f}" y="{y:.1f}" width="{right - left:.1f}" height="{_up(0) - y:.1f}"'
    return f'<rect class="bar {css}" {size}><title>{_safe(title)}</title></rect>'


def _line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    ends = f'x1="{_across(x1):.1f}" y1="{_up(y1):.1f}" x2="{_across(x2):.1f}" y2="{_up(y2):.1f}"'
    return f'<line class="{css}" {ends}/>'


def _text(x: float, y: float, text: str, anchor: str, css: str = "") -> str:
    return f'<text class="{css}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{_safe(text)}</text>'


def _y_axis(ticks: Sequence[tuple[float, str]], top: float, name: str) -> str:
    lines = []
    for value, label in ticks:
        lines.append(_line(0, value / top, 1, value / top, "grid"))
        lines.append(_text(_LEFT - 6, _up(value / top) + 4, label, "end"))
    middle = _up(0.5)
    turned = f'<text class="axis" transform="rotate(-90 14 {middle:.1f})" x="14" y="{middle:.1f}"'
    return "\n".join([*lines, f'{turned} text-anchor="middle">{escape(name)}</text>'])


def _x_axis(ticks: Sequence[tuple[float, str]], name: str) -> str:
    lines = [_line(0, 0, 1, 0, "base")]
    lines += [_text(x, HEIGHT - _BOTTOM + 16, label, "middle") for x, label in ticks]
    return "\n".join([*lines, _text(_across(0.5), HEIGHT - 8, name, "middle", "axis")])


def _count_ticks(top: int) -> list[tuple[float, str]]:
    return [(t, f"{t:g}") for t in _even_ticks(0, top) if t == int(t)]


def _even_ticks(low: float, high: float) -> list[float]:
    """Four to nine round numbers between two."""
    rough = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    return [round(k * step, 10) for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _ratio_ticks(low: float, high: float) -> list[float]:
    """Round numbers between powers of ten ``low`` and ``high``, about as many as are read easily."""
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        powers = range(math.floor(low), math.ceil(high) + 1)
        ticks = [d * 10.0**p for p in powers for d in digits if low <= math.log10(d * 10.0**p) <= high]
        if len(ticks) >= 4:
            return ticks
    return [float(f"{10**value:.3g}") for value in np.linspace(low, high, 5)[1:-1]]


def _safe(text: object) -> str:
    """Text of anyone's as XML takes it: no control characters, no lone surrogates."""
    return escape("".join(c if c.isprintable() else " " for c in str(text)))

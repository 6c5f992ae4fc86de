"""Plots as inline SVG: one frame, its axes and marks. Colours are the page's, so they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from rlaif_fast.reports.tables import printable

WIDTH, HEIGHT = 640, 320
_LEFT, _RIGHT, TOP, _BOTTOM = 56, 16, 40, 48


def svg(title: str, parts: Sequence[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}"'
        f' xmlns="http://www.w3.org/2000/svg">\n{body}\n</svg>'
    )


def across(share: float) -> float:
    """x of a share of the plot's width."""
    return _LEFT + share * (WIDTH - _LEFT - _RIGHT)


def up(share: float) -> float:
    """y of a share of the plot's height, from below."""
    return HEIGHT - _BOTTOM - share * (HEIGHT - TOP - _BOTTOM)


def bar(left: float, right: float, share: float, css: str, title: str) -> str:
    y = up(share)
    size = f'x="{left:.1f}" y="{y:.1f}" width="{right - left:.1f}" height="{up(0) - y:.1f}"'
    return f'<rect class="bar {css}" {size}><title>{safe(title)}</title></rect>'


def dot(x: float, y: float, title: str) -> str:
    return f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{safe(title)}</title></circle>'


def cross(x: float, y: float, title: str) -> str:
    """Told from a dot by its shape as well as by its colour."""
    return f'<path class="cross" d="M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8"><title>{safe(title)}</title></path>'


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    ends = f'x1="{across(x1):.1f}" y1="{up(y1):.1f}" x2="{across(x2):.1f}" y2="{up(y2):.1f}"'
    return f'<line class="{css}" {ends}/>'


def text(x: float, y: float, words: str, anchor: str, css: str = "") -> str:
    return f'<text class="{css}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{safe(words)}</text>'


def y_axis(ticks: Sequence[tuple[float, str]], top: float, name: str) -> str:
    lines = []
    for value, label in ticks:
        lines.append(line(0, value / top, 1, value / top, "grid"))
        lines.append(text(_LEFT - 6, up(value / top) + 4, label, "end"))
    middle = up(0.5)
    turned = f'<text class="axis" transform="rotate(-90 14 {middle:.1f})" x="14" y="{middle:.1f}"'
    return "\n".join([*lines, f'{turned} text-anchor="middle">{escape(name)}</text>'])


def x_axis(ticks: Sequence[tuple[float, str]], name: str) -> str:
    lines = [line(0, 0, 1, 0, "base")]
    lines += [text(x, HEIGHT - _BOTTOM + 16, label, "middle") for x, label in ticks]
    return "\n".join([*lines, text(across(0.5), HEIGHT - 8, name, "middle", "axis")])


def count_ticks(top: int) -> list[tuple[float, str]]:
    return [(t, f"{t:g}") for t in even_ticks(0, top) if t == int(t)]


def even_ticks(low: float, high: float) -> list[float]:
    """Two to six round numbers between two."""
    rough = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    return [round(k * step, 10) for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def safe(value: object) -> str:
    """Text of anyone's as XML takes it."""
    return escape(printable(value))

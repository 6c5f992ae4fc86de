"""Plots: drawn by matplotlib, shown inline in a page whose CSS gives them their colours, light or dark.

matplotlib knows no CSS variables, so plots are drawn in placeholders, which :meth:`Plot.svg` replaces.
"""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec

import matplotlib.style
import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from rlaif_fast.reports.tables import printable

P = ParamSpec("P")
Floats = npt.NDArray[np.float64]

# Variables of the page (reports/html.py), and what stands for them while matplotlib draws.
PAGE, INK, MUTED, EDGE, ONE, TWO, MARK = (f"#0000{number:02x}" for number in range(1, 8))
_VARIABLES = dict(zip((PAGE, INK, MUTED, EDGE, ONE, TWO, MARK), ("page", "ink", "muted", "edge", "one", "two", "mark"),
                      strict=True))  # fmt: skip
_WIDTH = 350  # of the drawing, a phone's column: letters of 12 units are then 12 pixels there
_TEXT = 12
_FEW = 8  # values in a bin that are drawn as dots, one above the other
_SINGLE = 12  # pairs of a margin that are drawn one by one
_MANY = 200  # marks that are drawn smaller
_LANE = 125  # height of a distribution
_STYLE = {
    "svg.fonttype": "none", "text.parse_math": False, "axes.unicode_minus": False, "font.size": _TEXT,
    "axes.labelsize": _TEXT, "axes.titlesize": _TEXT, "xtick.labelsize": _TEXT, "ytick.labelsize": _TEXT,
    "figure.facecolor": "none", "axes.facecolor": "none", "axes.labelcolor": INK, "axes.edgecolor": MUTED,
    "xtick.labelcolor": MUTED, "ytick.labelcolor": MUTED, "xtick.major.size": 0, "ytick.major.size": 0,
    "text.color": MUTED, "axes.grid": True, "axes.axisbelow": True, "grid.color": EDGE,
    "axes.spines.left": False, "axes.spines.top": False, "axes.spines.right": False,
    "xtick.major.pad": 9, "ytick.major.pad": 6, "lines.markeredgewidth": 0,
}  # fmt: skip
_SPACE = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_LONG = re.compile(r"-?\d+\.\d{3,}")
_CIRCLE = re.compile(r"M 0 (\d[\d.]*)\s*C")  # how the marker "o" begins; no other one has curves
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")


class Plot(Figure):
    """A figure whose artists can be named: as a CSS class, with a text for each of their marks."""

    def __init__(self, height: float) -> None:
        super().__init__(figsize=(_WIDTH / 72, height / 72), layout="constrained")
        self._names: dict[str, tuple[str, list[str]]] = {}

    def name(self, artist: Artist, css: str, titles: Sequence[object] = ()) -> None:
        """Name what an artist draws; ``titles`` are shown where a mark is pointed at, in the order drawn."""
        key = f"named-{len(self._names)}"
        artist.set_gid(key)
        self._names[key] = (css, [printable(title) for title in titles])

    def dots(self, axes: Axes, x: Any, y: Any, titles: Sequence[object], color: str = ONE) -> None:
        """A dot a value."""
        (drawn,) = axes.plot(x, y, "o", color=color, markersize=7 if len(x) < _MANY else 5)
        self.name(drawn, "dot", titles)

    def crosses(self, axes: Axes, x: Any, y: Any, titles: Sequence[object]) -> None:
        """Told from dots by their shape as well as by their colour."""
        (drawn,) = axes.plot(x, y, "x", color=MARK, markersize=7 if len(x) < _MANY else 5, markeredgewidth=1.5)
        self.name(drawn, "cross", titles)

    def bars(self, drawn: BarContainer, titles: Sequence[object]) -> None:
        """Name bars, a title each."""
        for bar, title in zip(drawn, titles, strict=True):
            self.name(bar, "bar", [title])

    def svg(self, title: str) -> str:
        """The drawing as an element of a page: no ids, nothing that refers to anything, colours by variables."""
        file = io.BytesIO()
        self.savefig(file, format="svg", metadata={"Date": None})
        root = ET.fromstring(file.getvalue())
        _inline(root)
        for group in root.iter(f"{_SPACE}g"):
            css, titles = self._names.get(group.get("id", ""), ("", []))
            if css:
                group.set("class", css)
            marks = [mark for mark in group.iter() if mark.tag in (f"{_SPACE}path", f"{_SPACE}circle")]
            for mark, words in zip(marks, titles, strict=False):
                ET.SubElement(mark, "title").text = words
        for element in root.iter():
            element.tag = element.tag.removeprefix(_SPACE)
            for name in ("id", "clip-path"):
                element.attrib.pop(name, None)
            for name, value in element.items():
                element.set(name, _LONG.sub(lambda number: f"{float(number[0]):.2f}", value))
            if "style" in element.attrib:
                element.set("style", _styled(element.attrib["style"]))
        box = root.attrib["viewBox"]
        root.attrib.clear()
        root.attrib.update({"viewBox": box, "role": "img", "aria-label": title, "xmlns": _SPACE.strip("{}")})
        return ET.tostring(root, encoding="unicode")


def plot(title: str, *, height: float) -> Callable[[Callable[Concatenate[Plot, P], None]], Callable[P, str]]:
    """Make a function that draws on a :class:`Plot` one that returns the drawing.

    matplotlib's own defaults hold while it runs, whatever a user's matplotlibrc says.
    """

    def decorate(draw: Callable[Concatenate[Plot, P], None]) -> Callable[P, str]:
        @wraps(draw)
        def drawn(*args: P.args, **kwargs: P.kwargs) -> str:
            with matplotlib.style.context(["default", _STYLE]):
                figure = Plot(height)
                draw(figure, *args, **kwargs)
                return figure.svg(title)

        return drawn

    return decorate


def square(figure: Plot, low: float, high: float) -> Axes:
    """Axes on which a unit is as long across as up, with the diagonal."""
    axes = figure.subplots()
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.plot([low, high], [low, high], "--", color=MUTED, linewidth=1)
    return axes


def scatter(
    figure: Plot, x: Floats, y: Floats, other: npt.NDArray[np.bool_], titles: Sequence[object], names: tuple[str, str]
) -> None:
    """Log-odds over log-odds; a cross where ``other`` is true, on top."""
    limit = 1.08 * max(float(np.abs([x, y]).max(initial=0)), 1e-6)
    axes = square(figure, -limit, limit)
    axes.set(xlabel=names[0], ylabel=names[1])
    for draw, chosen in ((figure.dots, np.flatnonzero(~other)), (figure.crosses, np.flatnonzero(other))):
        draw(axes, x[chosen], y[chosen], [titles[k] for k in chosen.tolist()])


def distributions(
    figure: Plot, series: Sequence[tuple[str, str, Floats]], edges: Floats, *, counted: str, unit: str = ""
) -> list[Axes]:
    """A histogram of each (name, colour, values), one above the other; a dot a value where they are few.

    Args:
        edges: of the bins.
        counted: what the values are of.
        unit: of the values, in titles.
    """
    counts = [np.histogram(values, edges)[0] for *_, values in series]
    top = max(int(count.max()) for count in counts)
    lane = _LANE if top > _FEW else 45 + 12 * top
    figure.set_figheight((80 + lane * len(series)) / 72)
    lanes: list[Axes] = list(figure.subplots(len(series), sharex=True, squeeze=False)[:, 0])
    for axes, (name, color, values), count in zip(lanes, series, counts, strict=True):
        axes.set_title(name, loc="left", color=color)
        if top <= _FEW:
            axes.set(ylim=(0, top + 1), yticks=[])
            height = np.concatenate([np.arange(n) for n in count]) + 1
            figure.dots(axes, np.sort(values), height, [f"{value:.4g}{unit}" for value in np.sort(values)], color)
        else:
            axes.set_ylim(0, 1.05 * top)
            axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
            axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            shown = np.flatnonzero(count)
            drawn = axes.bar(edges[shown], count[shown], np.diff(edges)[shown], align="edge", color=color, alpha=0.75)
            figure.bars(drawn, [f"{count[k]} from {edges[k]:.4g} to {edges[k + 1]:.4g}{unit}" for k in shown])
    if top > _FEW:
        figure.supylabel(counted, fontsize="medium", color=INK, rotation_mode="anchor", ha="center", va="top")
    return lanes


def flips_by_margin(figure: Plot, bins: Sequence[tuple[str, int, int]], margin: str) -> None:
    """(margins in words, pairs, how many of these flipped), a row each; a mark a pair where they are few."""
    axes = figure.subplots()
    top = max(1, *(pairs for _, pairs, _ in bins))
    for row, (name, pairs, flips) in enumerate(bins):
        if top <= _SINGLE:
            marks = np.arange(pairs) + 1.0
            figure.crosses(axes, marks[:flips], np.full(flips, row), [name] * flips)
            figure.dots(axes, marks[flips:], np.full(pairs - flips, row), [name] * (pairs - flips))
        else:
            figure.bars(axes.barh(row, pairs, color=ONE, alpha=0.75), [f"{name}: {pairs} pairs"])
            figure.bars(axes.barh(row, flips, color=MARK), [f"{name}: {flips} flips"])
        axes.annotate(f"{flips} of {pairs}", (pairs, row), (7, 0), textcoords="offset points", va="center")
    axes.set(xlim=(0, max(4, 1.35 * top)), ylim=(len(bins) - 0.4, -0.6), xlabel="pairs", ylabel=margin)
    axes.set_yticks(range(len(bins)), [name for name, *_ in bins])
    axes.grid(False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _inline(root: ET.Element) -> None:
    """Put marks where they are referred to, and drop what matplotlib adds for pages of one drawing."""
    shapes = {path.get("id", ""): path.get("d", "") for path in root.iter(f"{_SPACE}path")}
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{_SPACE}metadata", f"{_SPACE}defs"):
                parent.remove(child)
            elif child.tag == f"{_SPACE}use":
                x, y = child.attrib.pop("x"), child.attrib.pop("y")
                shape = shapes[child.attrib.pop(_LINK).removeprefix("#")]
                parent.set("style", child.attrib.pop("style"))  # all marks of a group have the same
                if circle := _CIRCLE.match(shape):
                    child.tag = f"{_SPACE}circle"
                    child.attrib.update({"cx": x, "cy": y, "r": circle[1]})
                else:
                    child.tag = f"{_SPACE}path"
                    child.attrib.update({"d": shape, "transform": f"translate({x} {y})"})


def _styled(style: str) -> str:
    """Declarations with the page's colours and without its font."""
    kept = [part for part in style.split("; ") if not part.startswith("font-family")]
    return _COLOUR.sub(lambda color: f"var(--{_VARIABLES[color[0]]})", "; ".join(kept))

"""Plots as they stand in a page: nothing refers to anything, colours are the page's, text can be read on a phone."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rlaif_fast.bench.plots import latency_plot, margin_plot, scatter_plot
from rlaif_fast.bundle.agreement import MarginBin
from rlaif_fast.evaluation.plots import coverage_plot, distribution_plot, orders_plot, reliability_plot
from rlaif_fast.evaluation.report import evaluate
from tests.conftest import ROOT
from tests.verdicts import random_rows, sample, verdict_row

PHONE = 358  # pixels of a column on a phone that is 390 wide
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def of_eval(count: int) -> list[str]:
    of = sample(random_rows(1, count))
    found = evaluate(of, source="rows", command="")
    longer = found.figures.baselines.longer.value
    return [
        reliability_plot(found.reliability), distribution_plot(of), orders_plot(of),
        coverage_plot(of, longer, found.coverage, found.decided_within),
    ]  # fmt: skip


def of_bench(count: int) -> list[str]:
    rng = np.random.default_rng(1)
    ours, theirs = rng.normal(0, 1, count), rng.normal(0, 1, count)
    bins = [MarginBin(0.0, 0.02, count, count // 3), MarginBin(0.02, None, 0, 0)]
    return [
        latency_plot(rng.lognormal(6, 0.3, count), rng.lognormal(7, 0.3, count)),
        latency_plot(rng.lognormal(6, 0.3, count), None),
        scatter_plot([*range(count)], theirs, ours, ours * theirs < 0),
        margin_plot(bins),
    ]  # fmt: skip


@pytest.fixture(scope="module", params=[1, 3, 60, 1500])
def plots(request: pytest.FixtureRequest) -> list[str]:
    return [*of_eval(request.param), *of_bench(request.param)]


def marks(plot: ET.Element, css: str) -> Iterator[ET.Element]:
    for group in plot.iter("g"):
        if group.get("class") == css:
            yield from (mark for mark in group.iter() if mark.find("title") is not None)


def parsed(plot: str) -> ET.Element:
    return ET.fromstring(plot.replace(' xmlns="http://www.w3.org/2000/svg"', ""))


def test_a_plot_refers_to_nothing(plots: list[str]) -> None:
    for plot in plots:
        root = parsed(plot)
        assert {element.tag for element in root.iter()} <= {"svg", "g", "path", "circle", "text", "title"}
        assert not {"id", "href", "clip-path"} & {name for element in root.iter() for name in element.attrib}
        assert "url(" not in plot and "nan" not in plot
        assert not re.search(r"#[0-9a-f]{3}|font-family", plot)


def test_a_plot_lies_within_its_frame(plots: list[str]) -> None:
    for plot in plots:
        root = parsed(plot)
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        for mark in root.iter():
            places = []
            if mark.tag == "path" and "transform" not in mark.attrib:
                numbers = [float(number) for number in NUMBER.findall(mark.attrib["d"])]
                places = list(zip(numbers[::2], numbers[1::2], strict=True))
            for tag, names in (("circle", ("cx", "cy")), ("text", ("x", "y"))):
                if mark.tag == tag:
                    places = [(float(mark.attrib[names[0]]), float(mark.attrib[names[1]]))]
            for x, y in places:
                assert -0.5 <= x <= width + 0.5 and -0.5 <= y <= height + 0.5, (root.get("aria-label"), mark.attrib)


def test_letters_are_eleven_pixels_on_a_phone(plots: list[str]) -> None:
    for plot in plots:
        root = parsed(plot)
        scale = PHONE / float(root.attrib["viewBox"].split()[2])
        sizes = [float(size) for size in re.findall(r"font-size: ([\d.]+)px", plot)]
        assert len(sizes) == len([*root.iter("text")]) > 3
        assert min(sizes) * scale >= 11


def test_three_values_are_dots_and_many_are_bars() -> None:
    few, many = parsed(of_bench(3)[0]), parsed(of_bench(1500)[0])
    assert len([*marks(few, "dot")]) == 6 and not [*marks(few, "bar")]
    assert not [*marks(many, "dot")] and len([*marks(many, "bar")]) > 20
    few, many = parsed(of_bench(3)[3]), parsed(of_bench(1500)[3])
    assert (len([*marks(few, "dot")]), len([*marks(few, "cross")])) == (2, 1)
    assert [mark.findtext("title") for mark in marks(many, "bar")][:2] == [
        "0 to 0.02: 1500 pairs", "0 to 0.02: 500 flips",
    ]  # fmt: skip


def test_dots_stand_at_their_values() -> None:
    """Log-odds 0 and 1 of three pairs: places across are as far apart as places up, and the titles are theirs."""
    x, y = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])
    dots = [*marks(parsed(scatter_plot(["a", "b", "c"], x, y, np.zeros(3, bool))), "dot")]
    assert [dot.findtext("title") for dot in dots] == [
        f"{name}: PyTorch {a:.4f}, bundle {b:.4f}" for name, a, b in zip("abc", x, y, strict=True)
    ]
    (ax, ay), (bx, by), (cx, cy) = ((float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in dots)
    assert by == pytest.approx(ay, abs=0.02) and cx == pytest.approx(ax, abs=0.02)
    assert bx - ax == pytest.approx(ay - cy, abs=0.03) and bx - ax > 50


def test_reliability_has_equal_axes() -> None:
    """Confidence 0.75 right in 3 of 4 and confidence 1 right in all lie on a line of 45 degrees."""
    rows = [verdict_row(k, [0.75, 0.75], int(k == 3)) for k in range(4)]
    rows += [verdict_row(k, [1.0, 1.0], 0) for k in range(4, 8)]
    plot = reliability_plot(evaluate(sample(rows), source="", command="").reliability)
    (ax, ay), (bx, by) = ((float(d.attrib["cx"]), float(d.attrib["cy"])) for d in marks(parsed(plot), "dot"))
    assert bx - ax == pytest.approx(ay - by, abs=0.03) and bx - ax > 40


def test_texts_of_anyones_are_texts() -> None:
    plot = scatter_plot(["<b>$x_1$\x00&", '"]]>'], np.ones(2), np.ones(2), np.array([False, True]))
    titles = [mark.findtext("title", "") for css in ("dot", "cross") for mark in marks(parsed(plot), css)]
    assert [title.partition(":")[0] for title in titles] == ["<b>$x_1$ &", '"]]>']


def test_a_plot_is_the_same_each_time_whatever_a_users_settings_are(tmp_path: Path) -> None:
    code = (
        "from tests.test_plots import of_eval, of_bench; print(*of_eval(30), *of_bench(30));"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 9\nfont.size: 30\naxes.grid: False\nsvg.fonttype: path\n")
    for folder in (ROOT, tmp_path):
        done = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"],
            cwd=folder, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout == " ".join([*of_eval(30), *of_bench(30)]) + "\n"


def test_drawing_leaves_matplotlib_as_it_was() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    of_bench(3)
    assert dict(matplotlib.rcParams) == before

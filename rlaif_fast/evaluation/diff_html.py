"""The comparison of two files of verdicts as one page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from rlaif_fast.bundle.agreement import MarginBin
from rlaif_fast.evaluation.comparison import TEXTS, Comparison, PairArrays
from rlaif_fast.reports.html import Tile, example, figure, page
from rlaif_fast.reports.plots import Plot, flips_by_margin, plot, scatter
from rlaif_fast.reports.tables import margin_text, percent


def to_html(found: Comparison) -> str:
    """See :func:`rlaif_fast.reports.html.page`."""
    examples = (
        example(f"{one.id}: {found.said(one)}", [(name, getattr(one, name)) for name in TEXTS])
        for one in found.examples
    )
    return page(
        found.title, made_by="rlaif-fast diff", where=found.where, warnings=found.missing, tiles=_tiles(found),
        figures=_figures(found), tables=found.tables(), command=found.command, examples=examples,
    )  # fmt: skip


def _tiles(found: Comparison) -> Iterator[Tile]:
    yield Tile("labels flipped", f"{found.flips} of {found.pairs}", percent(found.flip_share))
    yield Tile("mean difference in log-odds", f"{found.mean:.3g}", f"max {found.max:.3g}")
    if found.human is not None:
        yield Tile(f"{found.labels.agreement}, A", percent(found.a.accuracy))
        yield Tile(f"{found.labels.agreement}, B", percent(found.b.accuracy), f"McNemar's p {found.human.p_value:.2g}")
    for name, side in (("A", found.a), ("B", found.b)):
        if side.same_position_rate is not None:
            yield Tile(f"same position in both orders, {name}", percent(side.same_position_rate))


def _figures(found: Comparison) -> Iterator[str]:
    yield figure(
        "Log-odds of B against A", scatter_plot(found.arrays),
        "Log-odds of response_0, averaged over the orders that a file has, one point a pair. On the diagonal A and B"
        f" agree; a cross is a label that differs ({found.flips} of {found.pairs}).",
    )  # fmt: skip
    yield figure(
        "Flips by margin", margin_plot(found.by_margin),
        "Pairs by A's margin, and how many of their labels differ in B. Flips at small margins are near ties.",
    )  # fmt: skip


@plot("Log-odds of B against A", height=330)
def scatter_plot(drawing: Plot, arrays: PairArrays) -> None:
    """A point a pair; flips stand out by shape."""
    a, b = np.array(arrays.log_odds).T
    titles = [f"{key}: A {x:.4f}, B {y:.4f}" for key, x, y in zip(arrays.id, a, b, strict=True)]
    scatter(drawing, a, b, np.array(arrays.flip), titles, ("A, log-odds of response_0", "B, log-odds"))


@plot("Flips by margin", height=250)
def margin_plot(drawing: Plot, bins: Sequence[MarginBin]) -> None:
    """Pairs by A's margin, the flipped ones first."""
    rows = [(margin_text(bin_.low, bin_.high), bin_.pairs, bin_.flips) for bin_ in bins]
    flips_by_margin(drawing, rows, "|log-odds| of A")

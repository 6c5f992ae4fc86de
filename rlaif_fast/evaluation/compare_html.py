"""The comparison of two files of verdicts as one page."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rlaif_fast.evaluation.compare import Comparison
from rlaif_fast.evaluation.report import number, percent
from rlaif_fast.reports.html import figure, page
from rlaif_fast.reports.plots import Plot, plot, scatter
from rlaif_fast.reports.tables import Table


def to_html(found: Comparison) -> str:
    """See :func:`rlaif_fast.reports.html.page`."""
    return page(
        found.title, made_by="rlaif-fast diff", where=found.where, warnings=found.missing, tiles=_tiles(found),
        figures=[_figure(found)], tables=[*found.tables(), *_examples(found)], command=found.command,
    )  # fmt: skip


def _tiles(found: Comparison) -> Iterator[tuple[str, str]]:
    yield "labels flipped", f"{found.flips} of {found.pairs} ({percent(found.flip_share)})"
    yield "largest difference in log-odds", f"{found.max:.2g}"
    yield "mean difference in log-odds", f"{found.mean:.2g}"
    yield "correlation of log-odds", number(found.r)
    if found.human is not None:
        for name, side in (("A", found.a), ("B", found.b)):
            yield f"alignment of {name} with {found.whose}", percent(side.accuracy)


def _figure(found: Comparison) -> str:
    return figure(
        "Log-odds of B against A", _plot(found),
        "Order-averaged log-odds of response_0, one point a pair. On the diagonal both files say the same; a cross is a"
        f" label that differs ({found.flips} of {found.pairs}).",
    )  # fmt: skip


@plot("Log-odds of B against A", height=330)
def _plot(drawing: Plot, found: Comparison) -> None:
    of = found.arrays
    titles = [f"{name}: {a:.3f}, {b:.3f}" for name, a, b in zip(of.id, of.a, of.b, strict=True)]
    scatter(drawing, np.array(of.a), np.array(of.b), np.array(of.flip), titles, ("A, log-odds", "B, log-odds"))


def _examples(found: Comparison) -> Iterator[Table]:
    rows = [
        [str(one.id), f"{one.p1[0]:.4f}", f"{one.p1[1]:.4f}", f"{one.difference:+.3f}", "yes" if one.flip else "no"]
        for one in found.examples
    ]
    if rows:
        yield Table("examples", ["p1 in A", "p1 in B", "difference in log-odds", "flip"], rows)

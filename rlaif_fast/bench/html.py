"""The bench's report as one page."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rlaif_fast.bench.plots import latency_plot, margin_plot, scatter_plot
from rlaif_fast.bench.report import Report
from rlaif_fast.bundle.agreement import flipped
from rlaif_fast.reports.html import figure, page


def to_html(report: Report) -> str:
    """See :func:`rlaif_fast.reports.html.page`."""
    return page(
        report.title, made_by="rlaif-fast bench", where=report.where, warnings=report.warnings, tiles=_tiles(report),
        figures=_figures(report), tables=report.tables(), command=report.command,
    )  # fmt: skip


def _tiles(report: Report) -> Iterator[tuple[str, str]]:
    """(what, figure) of what is looked for first."""
    if report.speedup is not None:
        yield "times as fast as PyTorch fp32", f"{report.speedup.of_medians:.2f}"
    yield "median latency a pair", f"{report.latency.median_ms:,.0f} ms"
    if report.agreement is not None:
        yield "labels flipped", f"{report.agreement.flips} of {report.set['pairs']}"
        yield "largest difference in log-odds", f"{report.agreement.max:.2g}"
    if report.work.share_of_rate is not None:
        yield "of the machine's matrix rate", f"{100 * report.work.share_of_rate:.0f} %"
    yield "cold start", f"{report.fresh.start_s:.2f} s"
    if report.fresh.peak_mb is not None:
        yield "peak memory", f"{report.fresh.peak_mb:,.0f} MB"


def _figures(report: Report) -> Iterator[str]:
    arrays = report.pairs
    beside = None if arrays.reference_ms is None else np.array(arrays.reference_ms).ravel()
    yield figure(
        "Latency",
        latency_plot(np.array(arrays.bundle_ms).ravel(), beside),
        "Each pair alone, both orders, text in, verdict out; the judges take turns. A dashed line is a median.",
    )
    if arrays.reference_log_odds is None or report.agreement is None:
        return
    ours, theirs = np.array(arrays.bundle_log_odds), np.array(arrays.reference_log_odds)
    flips = flipped(ours, theirs)
    yield figure(
        "Log-odds against the reference", scatter_plot(arrays.id, theirs.mean(1), ours.mean(1), flips),
        "Order-averaged log-odds of response_0, one point a pair. On the diagonal both judges say the same;"
        f" a cross is a label that differs ({int(flips.sum())} of {len(flips)}).",
    )  # fmt: skip
    yield figure(
        "Flips by margin", margin_plot(report.agreement.by_margin),
        "How sure the reference was of the pairs, and how many of their labels differ. A flip on the left is a"
        " coin that fell the other way; one on the right is an error.",
    )  # fmt: skip

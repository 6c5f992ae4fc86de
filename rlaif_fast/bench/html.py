"""The bench's report as one page."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rlaif_fast.bench.plots import latency_plot, margin_plot, scatter_plot
from rlaif_fast.bench.report import Report
from rlaif_fast.bundle.agreement import flipped
from rlaif_fast.reports.html import Tile, figure, page


def to_html(report: Report) -> str:
    """See :func:`rlaif_fast.reports.html.page`."""
    return page(
        report.title, made_by="rlaif-fast bench", where=report.where, warnings=report.warnings, tiles=_tiles(report),
        figures=_figures(report), tables=report.tables(), command=report.command,
    )  # fmt: skip


def _tiles(report: Report) -> Iterator[Tile]:
    """What is looked for first."""
    latency = report.latency
    if report.speedup is not None:
        spread = f"p10 {report.speedup.pair_p10:.2f}, p90 {report.speedup.pair_p90:.2f}"
        yield Tile("speedup over PyTorch fp32", f"{report.speedup.of_medians:.2f}", spread)
    yield Tile("median latency a pair", f"{latency.median_ms:,.0f} ms", f"p90 {latency.p90_ms:,.0f} ms")
    if report.agreement is not None:
        yield Tile("labels flipped", f"{report.agreement.flips} of {report.set['pairs']}")
        mean = f"mean {report.agreement.mean:.2g}"
        yield Tile("largest difference in log-odds", f"{report.agreement.max:.2g}", mean)
    if report.work.share_of_rate is not None:
        yield Tile("of the machine's matrix-product rate", f"{100 * report.work.share_of_rate:.0f} %")
    yield Tile("cold start, one pair", f"{report.fresh.start_s:.2f} s")
    if report.fresh.peak_mb is not None:
        yield Tile("peak memory", f"{report.fresh.peak_mb:,.0f} MB")


def _figures(report: Report) -> Iterator[str]:
    arrays = report.pairs
    beside = None if arrays.reference_ms is None else np.array(arrays.reference_ms).ravel()
    yield figure(
        "Latency", latency_plot(np.array(arrays.bundle_ms).ravel(), beside),
        "Each pair judged alone in both orders, text in, verdict out; bundle and reference take turns. The dashed line"
        " is the median.",
    )  # fmt: skip
    if arrays.reference_log_odds is None or report.agreement is None:
        return
    ours, theirs = np.array(arrays.bundle_log_odds), np.array(arrays.reference_log_odds)
    flips = flipped(ours, theirs)
    yield figure(
        "Log-odds against the reference", scatter_plot(arrays.id, theirs.mean(1), ours.mean(1), flips),
        "Order-averaged log-odds of response_0, one point a pair. On the diagonal bundle and reference agree; a cross"
        f" is a label that differs ({int(flips.sum())} of {len(flips)}).",
    )  # fmt: skip
    yield figure(
        "Flips by margin", margin_plot(report.agreement.by_margin),
        "Pairs by the reference's margin, and how many of their labels differ. Flips at small margins are near ties; a"
        " flip at a large margin is an error.",
    )  # fmt: skip

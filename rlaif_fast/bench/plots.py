"""The bench's plots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.ticker import LogLocator, MaxNLocator, StrMethodFormatter

from rlaif_fast.bundle.agreement import MarginBin
from rlaif_fast.reports.plots import ONE, TWO, Floats, Plot, distributions, flips_by_margin, plot, scatter
from rlaif_fast.reports.tables import margin_text

_BINS = 40


@plot("Latency", height=330)
def latency_plot(figure: Plot, bundle: Floats, reference: Floats | None) -> None:
    """Histograms of milliseconds on a logarithmic axis, where equal ratios are equal distances."""
    sides = [("bundle", ONE, bundle)]
    if reference is not None:
        sides.append(("PyTorch fp32", TWO, reference))
    every = np.concatenate([times for *_, times in sides])
    low, high = np.log10(every.min()), np.log10(every.max())
    margin = max(0.05 * (high - low), 0.02)
    series = [(f"{name}: median {np.median(times):,.1f} ms", color, times) for name, color, times in sides]
    edges = np.logspace(low - margin, high + margin, _BINS + 1)
    lanes = distributions(figure, series, edges, counted="pairs timed", unit=" ms")
    for lane, (_, color, times) in zip(lanes, sides, strict=True):
        lane.axvline(float(np.median(times)), color=color, linestyle="--", linewidth=1.5)
    (*_, last) = lanes
    last.set(xscale="log", xlim=(edges[0], edges[-1]), xlabel="milliseconds a pair (logarithmic)")
    apart = high - low  # in powers of ten
    round_ = MaxNLocator(4) if apart < 0.5 else LogLocator(subs=(1, 2, 5) if apart < 1.7 else (1,))
    last.xaxis.set_major_locator(round_)
    last.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    last.minorticks_off()


@plot("Log-odds against the reference", height=330)
def scatter_plot(
    figure: Plot, ids: Sequence[object], reference: Floats, bundle: Floats, flips: npt.NDArray[np.bool_]
) -> None:
    """Order-averaged log-odds of each pair, the bundle's over the reference's; flips stand out by shape."""
    titles = [f"{id_}: PyTorch {a:.4f}, bundle {b:.4f}" for id_, a, b in zip(ids, reference, bundle, strict=True)]
    scatter(figure, reference, bundle, flips, titles, ("PyTorch fp32, log-odds of response_0", "bundle, log-odds"))


@plot("Flips by margin", height=250)
def margin_plot(figure: Plot, bins: Sequence[MarginBin]) -> None:
    """Pairs by the reference's margin, the flipped ones first."""
    rows = [(margin_text(bin_.low, bin_.high), bin_.pairs, bin_.flips) for bin_ in bins]
    flips_by_margin(figure, rows, "|log-odds| of PyTorch fp32")

"""How far a bundle's verdicts are from the reference's. Log-odds in, figures out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Lower edges of the margins' bins, in log-odds. Most flips of a small judge lie below 0.1: a coin it
# barely holds. A flip above 0.5 is an error nobody calls rounding.
EDGES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True)
class MarginBin:
    """Pairs whose margin, the reference's |order-averaged log-odds|, lies in [low, high)."""

    low: float
    high: float | None  # None: no end
    pairs: int
    flips: int


@dataclass(frozen=True)
class Agreement:
    """Differences are of log-odds of response_0, |bundle - reference|, over single prompts (two a pair)."""

    mean: float
    p99: float
    max: float
    position_shift: float  # how much more the bundle leans to the first position; the orders' average cancels it
    flips: int  # pairs whose label, averaged over the orders, differs
    flip_share: float
    single_flip_share: float  # of single prompts
    r: float | None  # Pearson, order-averaged log-odds; None where it is not defined
    by_margin: tuple[MarginBin, ...]


def agreement(bundle: npt.NDArray[np.float64], reference: npt.NDArray[np.float64]) -> Agreement:
    """Compare log-odds of response_0, [pairs, 2] each: shown first, then second."""
    error = np.abs(bundle - reference)
    flips = flipped(bundle, reference)
    margin = np.abs(reference.mean(1))
    bins = []
    for low, high in zip(EDGES, (*EDGES[1:], math.inf), strict=True):
        inside = (margin >= low) & (margin < high)
        end = high if math.isfinite(high) else None
        bins.append(MarginBin(low, end, int(inside.sum()), int((inside & flips).sum())))
    return Agreement(
        mean=float(error.mean()),
        p99=float(np.quantile(error, 0.99)),
        max=float(error.max()),
        position_shift=float((bundle - reference).dot([0.5, -0.5]).mean()),
        flips=int(flips.sum()),
        flip_share=float(flips.mean()),
        single_flip_share=float(((bundle > 0) != (reference > 0)).mean()),
        r=correlation(bundle.mean(1), reference.mean(1)),
        by_margin=tuple(bins),
    )


def flipped(bundle: npt.NDArray[np.float64], reference: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """[pairs] whether the labels differ; a label is 1 where p1, averaged over the orders, is above a half."""
    flips: npt.NDArray[np.bool_] = (_p1(bundle) > 0.5) != (_p1(reference) > 0.5)
    return flips


def _p1(log_odds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    p1: npt.NDArray[np.float64] = (0.5 * (1 + np.tanh(log_odds / 2))).mean(1)  # the sigmoid, without overflow
    return p1


def correlation(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float | None:
    """Pearson's; None for fewer than three, or where one does not vary."""
    if len(a) < 3 or not a.std() or not b.std():
        return None
    return float(np.corrcoef(a, b)[0, 1])

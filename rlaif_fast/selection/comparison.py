"""Several judges against one, pair by pair, corrected for having tried several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rlaif_fast.evaluation import bootstrap
from rlaif_fast.evaluation.records import Bools, Floats

LEVEL = 0.05  # of the whole family of comparisons


@dataclass(frozen=True)
class Compared:
    """A judge against another on the pairs that it read.

    Attributes:
        difference: share of right labels, more than the other's on the same pairs.
        interval: 95 % of the difference, by itself: not corrected; None where it is not defined.
        p: of "it is right no more often than the other", one-sided, corrected for all that were tried.
    """

    pairs: int
    accuracy: float
    difference: float
    interval: list[float] | None
    p: float


def against(right: Sequence[Floats], current: Bools, group: npt.NDArray[np.int64]) -> list[Compared]:
    """Compare several judges with one.

    Differences are paired: of each pair, whether one is right and the other is not. Instructions are resampled with
    all their pairs (the cluster bootstrap of :mod:`rlaif_fast.evaluation.bootstrap`). A judge's statistic is its mean
    difference in standard errors; p is the share of resamples in which the largest of all judges' centred statistics
    reaches it: Westfall and Young's single-step maxT (1993, section 2.3), which keeps the error of the whole family at
    LEVEL whatever the judges have in common. Those that read some of the pairs only belong to the family as well.

    Args:
        right: of each judge [n] from 0.0 to 1.0, nan where it did not read the pair.
        current: [n] whether the other one is right.
        group: [n] numbers of instructions 0, 1, … without a gap; two at least.
    """
    if not right:
        return []
    table = np.column_stack(right)
    read = ~np.isnan(table)
    difference = np.where(read, table - current[:, None], 0.0)
    count = table.shape[1]

    def means(sums: Floats) -> Floats:
        """[judges, ...] of sums [..., 2 * judges]."""
        with np.errstate(divide="ignore", invalid="ignore"):
            found: Floats = np.moveaxis(sums[..., :count] / sums[..., count:], -1, 0)
        return found

    terms = np.column_stack([difference, read]).astype(np.float64)
    observed, drawn = means(terms.sum(0)), bootstrap.resampled(terms, group, means)
    error = np.nanstd(drawn, axis=1)
    scale = np.where(error > 0, error, np.inf)  # one that never differs is not better
    centred = np.nan_to_num((drawn - observed[:, None]) / scale[:, None], nan=-np.inf)
    largest = centred.max(0)
    p = [(1 + int((largest >= statistic).sum())) / (1 + len(largest)) for statistic in observed / scale]
    return [
        Compared(
            int(read[:, k].sum()), float(np.nanmean(table[:, k])), float(observed[k]),
            bootstrap.percentiles(drawn[k]), p[k],
        )
        for k in range(count)
    ]  # fmt: skip


def difference(right: Bools, current: Bools, group: npt.NDArray[np.int64]) -> tuple[float, list[float] | None]:
    """(mean paired difference of right labels, its 95 % interval) of one judge against another on the same pairs."""
    terms = np.column_stack([right.astype(np.float64) - current, np.ones(len(right))])
    found = bootstrap.intervals(terms, group, lambda sums: {"difference": sums[..., 0] / sums[..., 1]})
    return float(terms[:, 0].mean()), found["difference"]

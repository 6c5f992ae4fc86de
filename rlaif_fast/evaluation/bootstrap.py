"""Confidence intervals that know that pairs on one instruction are not independent.

The cluster bootstrap (Davison and Hinkley 1997, section 3.8): instructions are drawn with replacement, each with all
its pairs; the interval lies between percentiles of the figures of such draws.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from rlaif_fast.evaluation.records import Floats

RESAMPLES = 2000
SEED = 0
LEVEL = 0.95
_DRAWS = 1 << 21  # at a time


def intervals(
    terms: Floats, group: npt.NDArray[np.int64], figures: Callable[[Floats], dict[str, Floats]]
) -> dict[str, list[float] | None]:
    """[low, high] of each figure; None where there is one group, or too few draws in which it is defined.

    Args:
        terms: [n, k] what each pair adds to the sums.
        group: [n] numbers 0, 1, … without a gap.
        figures: from sums [..., k].
    """
    names = list(figures(terms.sum(0)))
    if not group.any():
        return dict.fromkeys(names)
    drawn = resampled(terms, group, lambda sums: np.stack(list(figures(sums).values())))
    return {name: percentiles(values) for name, values in zip(names, drawn, strict=True)}


def resampled(terms: Floats, group: npt.NDArray[np.int64], figures: Callable[[Floats], Floats]) -> Floats:
    """[figures, RESAMPLES] figures of resamples; two groups at least.

    Args:
        figures: [figures, ...] from sums [..., k].
    """
    from scipy.stats import DegenerateDataWarning, bootstrap

    count = int(group.max()) + 1
    by_group = np.zeros((count, terms.shape[1]))
    np.add.at(by_group, group, terms)

    def statistic(drawn: Floats, axis: int) -> Floats:  # noqa: ARG001
        """[figures, draws] of numbers of groups [draws, count]."""
        return figures(_times(drawn, count) @ by_group)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)  # of figures that some draws do not define
        # RandomState, because numpy promises that its numbers never change.
        found = bootstrap(
            (np.arange(count),), statistic, n_resamples=RESAMPLES, batch=max(1, _DRAWS // count), vectorized=True,
            confidence_level=LEVEL, method="percentile", random_state=np.random.RandomState(SEED),
        )  # fmt: skip
    distribution: Floats = found.bootstrap_distribution
    return distribution


def _times(drawn: Floats, count: int) -> Floats:
    """[draws, count] how often each group was drawn."""
    rows = len(drawn)
    places = drawn.astype(np.int64) + count * np.arange(rows)[:, None]
    return np.bincount(places.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)


def percentiles(values: Floats) -> list[float] | None:
    """Of the draws in which a figure is defined; scipy's own interval would not be, where one draw is not."""
    defined = values[~np.isnan(values)]
    if len(defined) < RESAMPLES / 2:
        return None
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(defined, [tail, 100 - tail])
    return [float(low), float(high)]

"""Confidence intervals that know that pairs on one instruction are not independent.

The cluster bootstrap (Davison and Hinkley 1997, section 3.8): instructions are drawn with replacement, each with all
its pairs; the interval lies between percentiles of the figures of such draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

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
    count = int(group.max()) + 1
    by_group = np.zeros((count, terms.shape[1]))
    np.add.at(by_group, group, terms)
    drawn = figures(np.concatenate([weights @ by_group for weights in _weights(count)]))
    return {name: _percentiles(values) if count > 1 else None for name, values in drawn.items()}


def _weights(count: int) -> Iterator[Floats]:
    """Parts of [RESAMPLES, count]: how often each group was drawn.

    RandomState, because numpy promises that its numbers never change.
    """
    state, left = np.random.RandomState(SEED), RESAMPLES
    while left:
        rows = min(left, max(1, _DRAWS // count))
        draws = state.randint(0, count, (rows, count), dtype=np.int64)
        places = (draws + count * np.arange(rows)[:, None]).ravel()
        yield np.bincount(places, minlength=rows * count).reshape(rows, count).astype(np.float64)
        left -= rows


def _percentiles(values: Floats) -> list[float] | None:
    defined = values[~np.isnan(values)]
    if len(defined) < RESAMPLES / 2:
        return None
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(defined, [tail, 100 - tail])
    return [float(low), float(high)]

"""Near ties left out: how agreement with labels grows, and how much can be decided within a stated disagreement.

The second is a selection among thresholds by the same labels that judge them, so each threshold is tested with a p
value that holds for all of them together: Learn then Test (Angelopoulos et al. 2021, arXiv 2110.01052), exact binomial
p values, fixed sequences with several starts (its algorithm 1) over a grid that no label has a part in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rlaif_fast.evaluation.binomial import p_value, upper_bound
from rlaif_fast.evaluation.records import Bools, Floats, Sample
from rlaif_fast.evaluation.share import interval_of

LEVELS = 20  # 5 %, 10 %, …, 100 % of the pairs
STARTS = (2, 5, 10, 15)  # of these, where a sequence of tests begins
DISAGREEMENTS = (0.05, 0.1)
ERROR = 0.05  # probability that what is said to be decidable is not


@dataclass(frozen=True)
class Point:
    """Verdicts with a margin of ``threshold`` or more."""

    threshold: float  # of |p1 - p2|
    pairs: int
    coverage: float
    accuracy: float
    interval: list[float] | None  # of the accuracy


@dataclass(frozen=True)
class Decided:
    """The most that can be decided within a disagreement with people."""

    disagreement: float
    value: float  # share of all pairs; 0 where nothing can be promised
    threshold: float | None  # for `judge --min-margin`
    tested: int  # pairs behind the promise: one an instruction
    errors: int  # of these
    upper_bound: float | None  # of the disagreement, holding for all thresholds of the grid together


def coverage(sample: Sample) -> list[Point]:
    """A point a level of the grid, the most decided pairs first."""
    margin, right = sample.margin, sample.right
    points = []
    for threshold in thresholds(margin):
        kept = margin >= threshold
        pairs, span = int(kept.sum()), interval_of(right[kept], sample.group[kept])
        points.append(Point(float(threshold), pairs, pairs / len(margin), float(right[kept].mean()), span))
    return points


def thresholds(margin: Floats) -> Floats:
    """[LEVELS] the margins of the ceil(n/20), ceil(2n/20), …, n most decided pairs' last."""
    falling = np.sort(margin)[::-1]
    places = [-(-len(margin) * level // LEVELS) - 1 for level in range(1, LEVELS + 1)]
    return falling[places]


def decided(sample: Sample, disagreement: float) -> Decided:
    """The largest share of the grid whose disagreement is, with confidence 1 - ERROR, not above ``disagreement``.

    Tested on the first pair of every instruction, which are independent where instructions are. From each start the
    threshold is lowered as long as the p value of "the disagreement is larger" is at most ERROR / len(STARTS).
    """
    first = _firsts(sample)
    margin, right = sample.margin[first], sample.right[first]
    grid = thresholds(margin)
    tested = [int((margin >= threshold).sum()) for threshold in grid]
    errors = [int((~right[margin >= threshold]).sum()) for threshold in grid]
    error = ERROR / len(STARTS)
    best = 0
    for level in STARTS:
        while level <= LEVELS and p_value(errors[level - 1], tested[level - 1], disagreement) <= error:
            best = max(best, level)
            level += 1
    if not best:
        return Decided(disagreement, 0.0, None, 0, 0, None)
    threshold, k, e = float(grid[best - 1]), tested[best - 1], errors[best - 1]
    return Decided(disagreement, float((sample.margin >= threshold).mean()), threshold, k, e, upper_bound(e, k, error))


def _firsts(sample: Sample) -> Bools:
    """[n] whether the pair is the first on its instruction."""
    first = np.zeros(len(sample), bool)
    first[np.unique(sample.group, return_index=True)[1]] = True
    return first

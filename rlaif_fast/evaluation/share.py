"""The 95 % interval of a share of pairs, or of another figure: one rule, for every place that shows one.

Bootstrap percentiles of few instructions are too narrow, and reach 0 or 100 % where few are of the other kind. Such a
share has Clopper and Pearson's exact interval, with as many trials as there are instructions: pairs on one instruction
may all be decided alike. That is never too narrow where instructions have about as many pairs each.

Other figures (kappa, Brier score, …) have no exact interval. Of very few instructions they have none.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rlaif_fast.evaluation import binomial, bootstrap
from rlaif_fast.evaluation.records import Bools, by_appearance

FEW = 50  # instructions; of fewer the percentiles cover less than 95 %
VERY_FEW = 10  # instructions; of fewer, percentiles of what is no share say nothing
RARE = 10  # instructions' worth of pairs of either kind, right or wrong
SAID = (
    f"95 % intervals by {bootstrap.RESAMPLES:,} resamples of instructions, or Clopper and Pearson's for shares of"
    f" fewer than {FEW} instructions or near 0 or 100 %"
)
METHOD = {
    "interval": "cluster bootstrap by instruction, percentiles", "level": bootstrap.LEVEL,
    "resamples": bootstrap.RESAMPLES, "seed": bootstrap.SEED,
    "shares": f"Clopper-Pearson, instructions as trials, if fewer than {FEW}, or than {RARE} of a kind",
    "other figures": f"none if fewer than {VERY_FEW} instructions",
}  # of a report, in its JSON  # fmt: skip


def interval(share: float, instructions: float, resampled: list[float] | None) -> list[float] | None:
    """The interval of a share, [low, high]; None of no instructions.

    Args:
        instructions: that it is of. A mean of shares may be as certain as one of a number that is not whole.
        resampled: the bootstrap's interval; None where it has none.
    """
    if resampled is None or _few(share, instructions) or resampled[0] == resampled[1]:
        return binomial.interval(share * instructions, instructions)
    return resampled


def interval_of_other(instructions: int, resampled: list[float] | None) -> list[float] | None:
    """The interval of a figure that is no share; None of very few instructions, and where resamples make a point."""
    if resampled is None or instructions < VERY_FEW or resampled[0] == resampled[1]:
        return None
    return resampled


def is_positive(value: float | None, interval: list[float] | None, instructions: int) -> bool | None:
    """Whether a figure that is no share is shown to be above 0; None of one that is not defined.

    Without an interval it is where every resample gave the same, but never of very few instructions.
    """
    if value is None:
        return None
    return interval[0] > 0 if interval is not None else value > 0 and instructions >= VERY_FEW


def interval_of(right: Bools, group: npt.NDArray[np.int64]) -> list[float] | None:
    """The interval of the share of pairs that are right, by themselves; None of no pairs.

    Args:
        right: [n]
        group: [n] numbers of their instructions.
    """
    if not len(right):
        return None
    numbers = by_appearance(group.tolist())
    share, instructions, resampled = float(right.mean()), int(numbers.max()) + 1, None
    if not _few(share, instructions):
        terms = np.column_stack([right, np.ones(len(right))]).astype(np.float64)
        resampled = bootstrap.intervals(terms, numbers, lambda sums: {"share": sums[..., 0] / sums[..., 1]})["share"]
    return interval(share, instructions, resampled)


def _few(share: float, instructions: float) -> bool:
    return instructions < FEW or instructions * min(share, 1 - share) < RARE

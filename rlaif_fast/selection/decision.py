"""Which prompt, in which orders, is better than the current one: decided on one part, said by the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rlaif_fast.evaluation.records import Floats, Sample
from rlaif_fast.judging.judge import Orders
from rlaif_fast.selection.comparison import LEVEL, Compared, against, difference
from rlaif_fast.selection.ways import WAYS, right


@dataclass(frozen=True)
class Tried:
    """A prompt read in both orders or in one, against the current prompt in both."""

    prompt: str
    orders: Orders
    found: Compared

    @property
    def better(self) -> bool:
        """Whether it is right more often than the current one, as far as the part chosen on shows."""
        return self.found.p <= LEVEL


@dataclass(frozen=True)
class Tested:
    """The best one on the part it was not chosen on, once.

    Attributes:
        pairs: there.
        sample: its verdicts; for one order two on each pair, as it stands and behind them exchanged.
        current: those of the current prompt, likewise.
        difference: share of right labels, more than the current's.
        interval: 95 %; None where it is not defined.
    """

    pairs: int
    sample: Sample
    current: Sample
    difference: float
    interval: list[float] | None

    @property
    def better(self) -> bool:
        """Whether it is right more often than the current one there as well."""
        return self.interval is not None and self.interval[0] > 0


def compare(sample: Sample, odds: Mapping[str, Floats], current: str) -> list[Tried]:
    """Every prompt in both orders and in one but the current one in both orders, the most accurate first.

    Args:
        sample: the pairs to choose on; its verdicts are not looked at.
        odds: of each prompt log-odds [n, 2] of response_0 by order, nan where a pair was not read.
    """
    tried = [(prompt, orders) for prompt in odds for orders in WAYS if (prompt, orders) != (current, "both")]
    shares = [_right(sample, odds[prompt], orders) for prompt, orders in tried]
    results = against(shares, _right(sample, odds[current], "both") > 0, sample.group)
    found = [Tried(*names, result) for names, result in zip(tried, results, strict=True)]
    return sorted(found, key=lambda one: (-one.found.pairs, -one.found.accuracy))


def best_of(tried: Sequence[Tried], sample: Sample, odds: Mapping[str, Floats]) -> Tried | None:
    """The most accurate of those that read every pair; of those that are better, where there is one.

    Of it both orders are taken, unless one order is shown to be better: that one is not symmetric, and which of
    two that are nearly alike is more accurate is chance.
    """
    whole = [one for one in tried if one.found.pairs == tried[0].found.pairs]
    first = next((one for one in whole if one.better), next(iter(whole), None))
    if first is None or first.orders == "both":
        return first
    both = next((one for one in whole if (one.prompt, one.orders) == (first.prompt, "both")), None)
    if both is None or (first.better and not both.better):
        return first
    answers = odds[first.prompt]
    (other,) = against([_right(sample, answers, first.orders)], _right(sample, answers, "both") > 0, sample.group)
    return first if other.p <= LEVEL else both


def _right(sample: Sample, odds: Floats, orders: Orders) -> Floats:
    """[n] as :func:`ways.right` has it, nan where a pair was not read."""
    read = ~np.isnan(odds).any(1)
    found = np.full(len(sample), np.nan)
    found[read] = right(odds[read], sample.human_0[read], orders)
    return found


def tested(pairs: int, sample: Sample, current: Sample) -> Tested:
    """Verdicts of the best and of the current prompt on the same pairs."""
    return Tested(pairs, sample, current, *difference(sample.right, current.right, sample.group))

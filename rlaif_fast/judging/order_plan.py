"""What one order tells about both: the label prior, and where the second order can be left away. Arrays only.

Log-odds are of response_0. Seen from it, a judge that leans to the position shown first by ``b`` says c + b in the
forward order and c - b in the swapped one. PriDe (Zheng et al. 2023, arXiv 2309.03882) finds b as the mean over the
permutations in log space; with it, c follows from one order. How often the label that c gives is not that of
both orders is counted on pairs that b was not fitted to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rlaif_fast.judging.binomial import cdf, upper_bound

CONFIDENCE = 0.95
_FITTED = {"prior": 2, "auto": 4}  # every second, every fourth pair of a sample is fitted to

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """How a pair is read, and what is known about it from the pairs held out.

    Attributes:
        prior: b, log-odds that the position shown first has before anything is read.
        threshold: least |c| at which one order is enough; 0: always, inf: never.
        held_out: pairs that were not fitted to.
        differ: how many of them get another label than from both orders.
        twice: share of them whose second order is read.
    """

    prior: float
    threshold: float
    held_out: int
    differ: int
    twice: float

    @property
    def bound(self) -> float:
        """Upper bound of the share of pairs that get another label: Clopper and Pearson's, at 95 %."""
        return upper_bound(self.differ, self.held_out, 1 - CONFIDENCE)

    def one_order(self, forward: float) -> float | None:
        """Log-odds of p1 as both orders would give it, from the forward order's; None where it takes the second.

        p1 is averaged over c + b and c - b, so it lies on the scale of pairs read in both orders.
        """
        if abs(forward - self.prior) < self.threshold:
            return None
        u, v = forward, forward - 2 * self.prior
        odds = np.logaddexp(*_log_sigmoid(u, v)) - np.logaddexp(*_log_sigmoid(-u, -v))
        return float(odds)


def label_prior(both: Floats) -> float:
    """b from log-odds [n, 2] of response_0, shown first and second."""
    return float((both @ [0.5, -0.5]).mean())


def held_out(n: int, mode: str) -> npt.NDArray[np.bool_]:
    """[n] which pairs of a sample are not fitted to; scattered, in case it has an order."""
    found: npt.NDArray[np.bool_] = np.arange(n) % _FITTED[mode] > 0
    return found


def plan_prior(both: Floats, forward: Floats) -> Plan:
    """One order for every pair.

    Args:
        both: [n, 2] log-odds of a sample, both orders of a pair read together. n >= 2.
        forward: [m] log-odds of the pairs :func:`held_out`, the forward order read as it will be.
    """
    tested = held_out(len(both), "prior")
    return _measured(label_prior(both[~tested]), 0.0, both[tested], forward)


def plan_auto(both: Floats, forward: Floats, disagreement: float) -> Plan:
    """One order where the label of both is all but sure; arguments are those of :func:`plan_prior`.

    Thresholds are tried from the largest down, all taken from the pairs fitted to. The last one is kept before the
    first at which "more labels than ``disagreement`` differ" cannot be rejected at 95 % on the pairs held out. As the
    order of the tests is fixed beforehand, that confidence holds for all of them together (fixed sequence testing,
    in Learn then Test, Angelopoulos et al. 2021, arXiv 2110.01052).
    """
    tested = held_out(len(both), "auto")
    prior = label_prior(both[~tested])
    chosen = _measured(prior, math.inf, both[tested], forward)
    for threshold in [*sorted(np.abs(both[~tested, 0] - prior).tolist(), reverse=True), 0.0]:
        tried = _measured(prior, threshold, both[tested], forward)
        if cdf(tried.differ, tried.held_out, disagreement) > 1 - CONFIDENCE:
            break
        chosen = tried
    return chosen


def least_sample(disagreement: float) -> int:
    """Pairs in a sample with which :func:`plan_auto` can promise anything: if none of those held out differs."""
    needed = math.ceil(math.log(1 - CONFIDENCE) / math.log1p(-disagreement))
    return next(n for n in range(needed, 2 * needed + 2) if held_out(n, "auto").sum() >= needed)


def _measured(prior: float, threshold: float, both: Floats, forward: Floats) -> Plan:
    corrected = forward - prior
    once = np.abs(corrected) >= threshold
    differ = int((once & ((corrected > 0) != (both.sum(1) > 0))).sum())
    return Plan(prior, threshold, len(both), differ, float(1 - once.mean()))


def _log_sigmoid(*x: float) -> Floats:
    logs: Floats = -np.logaddexp(0.0, -np.array(x))
    return logs

"""The exact binomial tail, and the bound that follows from it.

By hand, because ``judge --orders auto`` needs them and the lean runtime has no scipy; a test holds them against it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

_STEPS = 60  # bisections of [0, 1]: 1e-18


def cdf(successes: int, trials: int, share: float) -> float:
    """P(X <= successes) for X binomial of ``trials`` with ``share``."""
    if successes < 0:
        return 0.0
    if successes >= trials or share <= 0:
        return 1.0
    if share >= 1:
        return 0.0
    logs = _log_factorials(trials)
    k = np.arange(successes + 1)
    terms = logs[trials] - logs[k] - logs[trials - k] + k * np.log(share) + (trials - k) * np.log1p(-share)
    top = terms.max()
    return float(min(1.0, np.exp(top) * np.exp(terms - top).sum()))


def upper_bound(successes: int, trials: int, error: float) -> float:
    """Clopper and Pearson's one-sided bound: the share at which so few successes have probability ``error``."""
    if successes >= trials:
        return 1.0
    return _root(lambda share: cdf(successes, trials, share) - error)


def _root(falling: Callable[[float], float]) -> float:
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2


@lru_cache(maxsize=64)
def _log_factorials(n: int) -> npt.NDArray[np.float64]:
    logs: npt.NDArray[np.float64] = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    return logs

"""Exact binomial tails, and the bounds and tests that follow from them; no scipy."""

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


def lower_bound(successes: int, trials: int, error: float) -> float:
    """The mirror image of :func:`upper_bound`."""
    return 1.0 - upper_bound(trials - successes, trials, error)


def interval(successes: int, trials: int, level: float = 0.95) -> list[float] | None:
    """Clopper and Pearson's two-sided interval of a share; None of no trials."""
    if not trials:
        return None
    error = (1 - level) / 2
    return [lower_bound(successes, trials, error), upper_bound(successes, trials, error)]


def mcnemar(lost: int, won: int) -> float:
    """The exact two-sided p value of discordant pairs (McNemar 1947, as a sign test)."""
    return min(1.0, 2 * cdf(min(lost, won), lost + won, 0.5))


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

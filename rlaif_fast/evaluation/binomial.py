"""Exact binomial tests, and the bounds and intervals that follow from them."""

from __future__ import annotations


def p_value(successes: int, trials: int, share: float) -> float:
    """P(X <= successes), X binomial of ``trials`` and ``share``: of the test of "the share is larger"."""
    from scipy.special import bdtr

    return float(bdtr(successes, trials, share))


def upper_bound(successes: float, trials: float, error: float) -> float:
    """Clopper and Pearson's one-sided bound: the share at which so few successes have probability ``error``.

    It is a quantile of a beta distribution.
    """
    from scipy.special import betaincinv

    return 1.0 if successes >= trials else float(betaincinv(successes + 1, trials - successes, 1 - error))


def interval(successes: float, trials: float, level: float = 0.95) -> list[float] | None:
    """Clopper and Pearson's two-sided interval of a share; None of no trials. Half a success counts for half."""
    if not trials:
        return None
    error = (1 - level) / 2
    return [1 - upper_bound(trials - successes, trials, error), upper_bound(successes, trials, error)]


def mcnemar(lost: int, won: int) -> float:
    """The exact two-sided p value of discordant pairs (McNemar 1947, as a sign test)."""
    from scipy.stats import binomtest

    return float(binomtest(lost, lost + won).pvalue) if lost + won else 1.0

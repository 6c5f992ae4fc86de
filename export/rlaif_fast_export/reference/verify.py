"""Hold an exported bundle against the reference, on prompts that really occur."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rlaif_fast.bundle.agreement import agreement
from rlaif_fast.bundle.prompt import Fidelity
from rlaif_fast.errors import FidelityError
from rlaif_fast.prompts.kinds import AnyTemplate
from rlaif_fast.prompts.reward_template import RewardTemplate
from rlaif_fast.runtime.selftest import steady_limit

TOLERANCE = 1e-3  # log-odds, any single prompt, fp32


def odds_of(template: AnyTemplate, answers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Log-odds of response_0 [pairs, 2] or more from a prompt's answers: of a reward model the difference, twice.

    A reward model has one number a pair, where others have one an order.
    """
    if isinstance(template, RewardTemplate):
        return np.repeat(answers @ [[1.0], [-1.0]], 2, axis=1)
    return answers


def in_orders(template: AnyTemplate) -> str:
    """How the pairs of a card were read."""
    return "" if isinstance(template, RewardTemplate) else " in both orders"


def fidelity(got: npt.NDArray[np.float64], reference: npt.NDArray[np.float64], prompts: str) -> Fidelity:
    """The manifest's card: log-odds of response_0, the first two of each row, on ``prompts``."""
    found = agreement(got[:, :2], reference[:, :2])
    return Fidelity(prompts, len(got), found.mean, found.p99, found.max, found.flip_share, found.r, found.by_margin)


_CONTENT, _CONFIDENCE = 3.891, -1.645  # normal quantiles: 99.99 % of pairs, with 95 % confidence


def error_bound(got: npt.NDArray[np.float64], reference: npt.NDArray[np.float64]) -> float:
    """What |p1 - reference p1| stays below, order-averaged: log-odds, the first two of each row.

    A two-sided normal tolerance interval around zero (Howe 1969): it holds 99.99 % of such errors with
    95 % confidence, if they are normal. The chi-square quantile is Wilson and Hilferty's.
    """
    errors = _p1(got) - _p1(reference)
    n = len(errors)
    least = n * (1 - 2 / (9 * n) + _CONFIDENCE * math.sqrt(2 / (9 * n))) ** 3
    return float(_CONTENT * math.sqrt((errors**2).sum() / least))


def _p1(answers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    p1: npt.NDArray[np.float64] = (1 / (1 + np.exp(-answers[:, :2]))).mean(1)
    return p1


def require_exact(found: Fidelity, model: str, unit: str = "log-odds") -> None:
    """Raise FidelityError where a float32 bundle deviates from PyTorch."""
    if not found.max <= TOLERANCE:  # a NaN deviates as well
        raise FidelityError(
            f"{model}: the exported graph deviates from PyTorch by up to {found.max:.2g} in {unit} on"
            f" {found.prompts} (limit {TOLERANCE:g}); nothing was kept",
            "please report the model",
        )


def require_ties(
    got: npt.NDArray[np.float64], reference: npt.NDArray[np.float64], limit: float, model: str, *, exact: bool = False
) -> None:
    """Raise FidelityError where p_tie, behind the log-odds in each row, is too far from PyTorch's.

    Log-odds of p1 and p2 hardly tell: where both are equally likely, they are the same whatever p_tie is.

    Args:
        limit: |difference| that log-odds may have, of which a probability's is a quarter, near a half.
        exact: any single one may have, else on average.
    """
    errors = np.abs(got[:, 2:] - reference[:, 2:])
    if not errors.size:
        return
    off, how, advice = float(errors.mean()), "on average", "allow more with --max-delta or use --precision fp32"
    if exact:
        off, how, advice = float(errors.max()), "at most", "please report the model"
    if not off <= limit / 4:  # a NaN deviates as well
        raise FidelityError(
            f"{model}: the probability of a tie deviates from PyTorch fp32 by {off:.2g} {how} (limit {limit / 4:.2g});"
            " nothing was kept",
            advice,
        )


def require_steady(moved: float, found: Fidelity, model: str) -> None:
    """Raise FidelityError where another processor would answer so differently that its self-test refused the bundle.

    Args:
        moved: mean |difference| in log-odds that the last bits of float32 make.
        found: the bundle's fidelity.
    """
    limit = steady_limit(found.mean)
    if not moved <= limit:
        raise FidelityError(
            f"{model}: int8 answers would differ by {moved:.2g} in log-odds on average between processors (limit"
            f" {limit:.2g}); nothing was kept",
            "use --precision fp32",
        )


def require_faithful(found: Fidelity, limit: float, worst: Sequence[str], model: str, unit: str = "log-odds") -> None:
    """Raise FidelityError where an int8 bundle is farther from PyTorch than ``limit``, on average."""
    if not found.mean <= limit:  # a NaN deviates as well
        most = f", most in {', '.join(worst[:4])}" if worst else ""  # without it, nothing was fitted
        raise FidelityError(
            f"{model}: int8 deviates from PyTorch fp32 by {found.mean:.3g} in {unit} on average on {found.prompts}"
            f" (limit {limit:.3g}){most}; nothing was kept",
            f"{'allow' if worst else 'use --quality best, allow'} more with --max-delta or use --precision fp32",
        )

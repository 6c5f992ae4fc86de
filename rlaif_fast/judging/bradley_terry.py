"""Bradley-Terry strengths from shares of wins (Bradley and Terry 1952; Hunter 2004, Annals of Statistics 32:384).

By hand, because ``rank`` needs them and the lean runtime has no scipy, which choix is made of; a test holds them
against choix.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# Every two candidates also played a hundredth of a game, a draw. With it no share of wins is 0 or 1, so the likelihood
# has one maximum, at finite strengths (Hunter's assumption 1), whatever the games were.
DRAW = 0.01
_CLOSE = 1e-10  # of a step; what is left behind it is about its square
_DIGITS = 9  # of strengths: equal candidates come out equal


def strengths(wins: Sequence[Sequence[float]]) -> list[float]:
    """Natural logarithms of the strengths [N], which sum to zero: sigmoid(a - b) is how likely a beats b.

    Newton's method on the concave log-likelihood, damped so that it converges from anywhere (Sun and Tran-Dinh 2019,
    Mathematical Programming 178:145).

    Args:
        wins: [N, N] in [0, 1], the share of the game of i and j that i won, ``wins[j][i] = 1 - wins[i][j]``; the
            diagonal is not read.
    """
    games: npt.NDArray[np.float64] = np.array(wins, np.float64) + DRAW / 2  # [N, N]
    np.fill_diagonal(games, 0)
    played, won = games + games.T, games.sum(1)
    found = np.zeros(len(games))
    step = np.full(len(games), np.inf)
    while np.abs(step).max() > _CLOSE:
        p = 0.5 * (1 + np.tanh((found[:, None] - found[None]) / 2))  # [N, N] that i beats j
        curvature = played * p * p.T
        # The likelihood is flat along (1, ..., 1); a constant in that direction keeps the sum at zero.
        hessian = np.diag(curvature.sum(1)) - curvature + 1 / len(found)
        step = np.linalg.solve(hessian, won - (played * p).sum(1))
        distance = math.sqrt(2) * float(np.linalg.norm(step))
        found = found + step * (math.log1p(distance) / distance if distance else 1.0)
    return [round(float(value), _DIGITS) + 0.0 for value in found - found.mean()]

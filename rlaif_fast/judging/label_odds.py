"""From label logits to a verdict: what they say of the response shown first, and of a tie.

Of three labels the third says that neither response is better. Soft labels are shares of a softmax over the labels,
and each response has half of the tie's: ``p1 = p_first + p_tie / 2``, so p1 and p2 add up to 1 with it and without.

Exchanging the two responses mirrors a verdict of both orders exactly. The exact mirror are the log-odds: negated, and
the orders exchanged. A difference of two floats is one that IEEE arithmetic negates exactly, and the logits are the
same ones (:func:`rlaif_fast.runtime.packing.canonical`).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from rlaif_fast.judging.verdict import Verdict
from rlaif_fast.rows.pairs import Pair

Floats = npt.NDArray[np.float64]


def first_odds(logits: Floats) -> Floats:
    """[n] log-odds that the response shown first is preferred, from label logits [n, 2] or [n, 3].

    From a reward model's [n, 1] the rewards, of which log-odds are differences.
    """
    if logits.shape[1] == 1:
        return logits[:, 0]
    odds: Floats = logits[:, 0] - logits[:, 1]  # of a softmax over two, without its rounding
    if logits.shape[1] == 3:
        over_half = logits[:, :2] - (logits[:, 2:] - math.log(2))
        first, second = np.logaddexp(0, over_half).T
        odds = first - second
    return odds


def tie_shares(logits: Floats) -> Floats:
    """[n] probability of a tie, from label logits [n, 3]."""
    others = np.logaddexp(logits[:, 0], logits[:, 1]) - logits[:, 2]
    shares: Floats = np.exp(-np.logaddexp(0, others))
    return shares


def verdict_of(pair: Pair, logits: Floats) -> Verdict:
    """From label logits [n, L]: of the forward order, then of the swapped one where it was judged."""
    swapped = np.concatenate((logits[1:, 1::-1], logits[1:, 2:]), 1)  # response_0's label is the second there
    odds = first_odds(np.concatenate((logits[:1], swapped)))
    ties = tuple(tie_shares(logits).tolist()) if logits.shape[1] == 3 else None
    return Verdict(pair, tuple(odds.tolist()), ties)

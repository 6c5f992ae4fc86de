"""The ranking by rewards: each response is read once, and all verdicts follow from the rewards."""

from __future__ import annotations

import math

from rlaif_fast.judging.judge import Judge
from rlaif_fast.judging.pair_questions import verdict_by_rewards
from rlaif_fast.judging.ranking import Ranking, ranking_with
from rlaif_fast.judging.rater import Rater
from rlaif_fast.judging.verdict import Calibration
from rlaif_fast.rows.candidates import Candidates
from rlaif_fast.rows.samples import Sample


class RewardRankings:
    """Ranks by rewards. Strengths are the rewards less their mean, which is what Bradley and Terry's model makes them.

    ::

        rankings = RewardRankings(Judge.load("bundles/mine"))
    """

    def __init__(self, judge: Judge, calibration: Calibration | None = None) -> None:
        """
        Args:
            judge: one that reads each response by itself.
            calibration: applied to each verdict.
        """
        self._rater, self._calibration = Rater.beside(judge, judge.manifest.prompt.name), calibration

    def rank(self, row: Candidates) -> Ranking:
        """The ranking, in one pass. Raises PairError, JudgeError."""
        first = row.first_places
        places = sorted(set(first))
        if len(places) == 1:  # a tie, which nothing has to be read for
            return ranking_with(row, {}, [0.0] * len(first))
        samples = [
            Sample(row.instruction, row.responses[n], row.id, {}, f"{row}, response {n}", row.shown) for n in places
        ]
        rewards = dict(zip(places, (one.reward for one in self._rater.rate_together(samples)), strict=True))
        verdicts = {(i, j): verdict_by_rewards(pair, rewards[i], rewards[j]) for (i, j), pair in row.pairs()}
        if self._calibration is not None:
            verdicts = {at: self._calibration(verdict) for at, verdict in verdicts.items()}

        def above(i: int, j: int) -> float:
            if i == j:
                return 0.0
            return verdicts[i, j].log_odds_by_order[0] if i < j else -verdicts[j, i].log_odds_by_order[0]

        strengths = [math.fsum(above(i, j) for j in first) / len(first) for i in first]
        return ranking_with(row, verdicts, strengths)

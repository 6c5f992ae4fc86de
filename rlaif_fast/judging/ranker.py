"""The ranker: candidates in, rankings out, by a judge that sees every pair of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from rlaif_fast.judging.judge import Judge, Orders
from rlaif_fast.judging.ranking import Ranking, ranking_of
from rlaif_fast.judging.verdict import Calibration
from rlaif_fast.rows.candidates import Candidates

_WINDOW = 256  # pairs planned together; bounds memory, and is all pairs of 23 candidates


class Ranker:
    """Ranks responses to one instruction. Not safe for use from several threads at once.

    ::

        ranker = Ranker.load("bundles/mine-fp32")
        ranking = ranker.rank("Explain gravity.", ["Mass attracts mass.", "It is a fruit.", "It pulls."])
        ranking.best, ranking.ranking, ranking.strengths, ranking.wins
    """

    def __init__(self, judge: Judge, calibration: Calibration | None = None) -> None:
        """
        Args:
            calibration: applied to each verdict, before wins and strengths are made of them.
        """
        self.judge, self.calibration = judge, calibration

    @classmethod
    def load(
        cls, path_or_id: str | Path, *, template: str | None = None, threads: int = 0, spin: bool = True
    ) -> Ranker:
        """Open a judge's bundle; arguments and errors are those of :meth:`Judge.load`."""
        return cls(Judge.load(path_or_id, template=template, threads=threads, spin=spin))

    def rank(self, instruction: str, responses: Sequence[str], orders: Orders = "both") -> Ranking:
        """The ranking of N responses, at least two. Raises PairError, JudgeError."""
        return next(self.rank_many([Candidates(instruction, tuple(responses))], orders))

    def rank_many(self, many: Iterable[Candidates], orders: Orders = "both", *, done: int = 0) -> Iterator[Ranking]:
        """Rankings in the order of ``many``, which may be endless: one is read at a time.

        Every pair of distinct responses gets the verdict that the judge gives it alone, up to rounding (1e-4 in
        log-odds): with a float32 bundle pairs share passes. Then it is calibrated.

        Args:
            orders: ``both`` averages over the two orders of each pair; ``forward`` shows the earlier response first.
            done: how many at the beginning have their rankings already.

        Raises:
            PairError: a prompt is longer than the model's context.
            JudgeError: the runtime failed.
        """
        for candidates in islice(many, done, None):
            pairs = dict(candidates.pairs())
            verdicts = self.judge.judge_many(pairs.values(), orders, window=_WINDOW)
            if self.calibration is not None:
                verdicts = map(self.calibration, verdicts)
            yield ranking_of(candidates, dict(zip(pairs, verdicts, strict=True)))

    def check(self, candidates: Candidates, orders: Orders = "both") -> None:
        """Raises PairError where a prompt is longer than the model's context."""
        for _, pair in candidates.pairs():
            self.judge.prompt_tokens(pair, orders)

    def shortened(self, candidates: Candidates) -> Candidates:
        """The candidates as they fit the model: themselves, or with the end of their instruction not ``shown``.

        Every pair is shown the same part of the instruction. Raises PairError where two responses alone are too long.
        """
        while True:
            shown = candidates.shown
            for _, pair in candidates.pairs():
                shown = self.judge.shortened(replace(pair, shown=shown)).shown
            if shown == candidates.shown:
                return candidates
            candidates = replace(candidates, shown=shown)

"""The ranker: candidates in, rankings out, by a judge that sees every pair of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from rlaif_fast import arguments
from rlaif_fast.errors import ArgumentError
from rlaif_fast.judging.exact import ExactJudge
from rlaif_fast.judging.exact_ranking import ExactRankings
from rlaif_fast.judging.judge import Judge, Orders
from rlaif_fast.judging.ranking import Ranking, ranking_by
from rlaif_fast.judging.reward_ranking import RewardRankings
from rlaif_fast.judging.session import OPEN
from rlaif_fast.judging.verdict import Calibration
from rlaif_fast.rows.candidates import HOW, Candidates
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.runtime.engine_choice import AUTO

_READ = 'read one: from rlaif_fast.evaluation.calibration import read_calibration; read_calibration("calibration.json")'


class Ranker:
    """Ranks responses to one instruction. Not safe for use from several threads at once.

    ::

        ranker = Ranker.load("bundles/mine-fp32")
        ranking = ranker.rank("Explain gravity.", ["Mass attracts mass.", "It is a fruit.", "It pulls."])
        ranking.best, ranking.ranking, ranking.strengths, ranking.wins
    """

    def __init__(self, judge: Judge | ExactJudge, calibration: Calibration | None = None) -> None:
        """
        Args:
            judge: an exact one gives the labels of all pairs, and the order of the responses, that its float32 bundle
                would give (:mod:`rlaif_fast.judging.exact_ranking`).
            calibration: applied to each verdict, before wins and strengths are made of them.

        Raises:
            ArgumentError: no judge, no calibration, or a calibration for an exact judge.
            EvalError: a calibration of another bundle, or of another prompt of it.
        """
        arguments.instance("judge", judge, (Judge, ExactJudge), OPEN)
        if calibration is not None and not hasattr(calibration, "require_bundle"):
            raise ArgumentError(f"calibration: {calibration!r} is not a calibration; {_READ}")
        self.exact: ExactRankings | None = None
        if isinstance(judge, ExactJudge):
            if calibration is not None:
                raise ArgumentError("calibration: not for an ExactJudge, whose error bound is not for a calibrated p1")
            self.exact, judge = ExactRankings(judge), judge.fast
        if calibration is not None:
            calibration.require_bundle(judge.digest, "calibration")
        self.judge, self.calibration = judge, calibration
        self._by_rewards = RewardRankings(judge, calibration) if judge.manifest.by_rewards else None

    @classmethod
    def load(
        cls, path_or_id: str | Path, *, template: str | None = None, threads: int = 0, spin: bool = True,
        engine: str = AUTO,
    ) -> Ranker:  # fmt: skip
        """Open a judge's bundle; arguments and errors are those of :meth:`Judge.load`."""
        return cls(Judge.load(path_or_id, template=template, threads=threads, spin=spin, engine=engine))

    def rank(self, instruction: str, responses: Sequence[str], orders: Orders = "both") -> Ranking:
        """The ranking of N responses, at least two. Raises ArgumentError, PairError, JudgeError."""
        return next(self.rank_many([Candidates(instruction, arguments.texts("responses", responses))], orders))

    def rank_many(self, many: Iterable[Candidates], orders: Orders = "both", *, done: int = 0) -> Iterator[Ranking]:
        """Rankings in the order of ``many``, which may be endless: one is read at a time, or a few by an exact judge.

        Every pair of distinct responses gets the verdict that the judge gives it alone, up to rounding (1e-4 in
        log-odds): with a float32 bundle pairs share passes. Then it is calibrated.

        Args:
            orders: ``both`` averages over the two orders of each pair; ``forward`` shows the earlier response first. A
                reward model, which reads each response once and no pairs, takes ``both`` only.
            done: how many at the beginning have their rankings already.

        Raises:
            ArgumentError: ``many``, ``orders`` or ``done`` is none, or one order with an exact judge.
            PairError: a prompt is longer than the model's context.
            JudgeError: the runtime failed.
        """
        self.judge.require_orders(orders)
        many, done = arguments.items("many", many, Candidates, HOW), arguments.whole("done", done, 0)
        if self._by_rewards is not None and self.exact is None:
            return map(self._by_rewards.rank, islice(many, done, None))
        if self.exact is None:
            return (ranking_by(self.judge, row, orders, self.calibration) for row in islice(many, done, None))
        if orders != "both":
            raise ArgumentError(
                f"orders: {orders!r} is not for an ExactJudge, whose error bound holds for both orders' mean"
            )
        return self.exact.rank_many(many, done=done)

    def check(self, candidates: Candidates, orders: Orders = "both") -> None:
        """Raises PairError where a prompt is longer than the model's context."""
        for pair in self._with_all_prompts(candidates):
            self.judge.prompt_tokens(pair, orders)

    def shortened(self, candidates: Candidates) -> Candidates:
        """The candidates as they fit the model: themselves, or with the end of their instruction not ``shown``.

        Every pair is shown the same part of the instruction. Raises PairError where two responses alone are too long.
        """
        while True:
            shown = candidates.shown
            for pair in self._with_all_prompts(candidates):
                shown = self.judge.shortened(replace(pair, shown=shown)).shown
            if shown == candidates.shown:
                return candidates
            candidates = replace(candidates, shown=shown)

    def _with_all_prompts(self, candidates: Candidates) -> Iterator[Pair]:
        """Pairs that have every prompt of the candidates: of a reward model, one for each response at the most."""
        seen: set[int] = set()
        for places, pair in candidates.pairs():
            if self._by_rewards is None or not seen.issuperset(places):
                seen.update(places)
                yield pair

"""A run over rows of several responses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rlaif_fast.judging.judge import Orders
from rlaif_fast.judging.preferences import Preferences
from rlaif_fast.judging.ranker import Ranker
from rlaif_fast.judging.ranking import Ranking
from rlaif_fast.judging.run import Run
from rlaif_fast.judging.run_input import RunInput
from rlaif_fast.rows.candidates import Candidates
from rlaif_fast.wording import counted


class RankingRun(Run[Candidates, Ranking]):
    """Candidates in, rankings out."""

    unit, verb, written = "row", "ranked", "preference pair"

    def __init__(
        self, rows: RunInput[Candidates], ranker: Ranker, orders: Orders = "both", *, shorten: bool = False,
        preferences: Preferences | None = None,
    ) -> None:  # fmt: skip
        """
        Args:
            shorten: leave away the end of an instruction that is too long.
            preferences: what is written of the rankings, for the closing line.

        Raises:
            PairError: a prompt is longer than the model's context.
        """
        super().__init__(rows, {"pairs": 0, "both": 0, "same": 0}, preferences.sieve if preferences else None)
        ranker.judge.require_orders(orders)
        self.ranker, self.orders, self._shorten, self._preferences = ranker, orders, shorten, preferences
        rows.fit(
            ranker.judge.taken_unread, lambda candidates: ranker.check(candidates, orders),
            ranker.shortened if shorten else None,
        )  # fmt: skip

    @property
    def bound(self) -> Mapping[str, Any]:
        exact = self.ranker.exact
        return {
            "template": self.ranker.judge.manifest.prompt.name, "bundle": self.ranker.judge.digest,
            "exact": exact.judge.exact.digest if exact else None,
            "orders": self.orders,
            "calibration": self.ranker.calibration.digest if self.ranker.calibration else None,
            "on-long": "truncate" if self._shorten else "error", "limit": self.rows.limit,
            "engine": self.ranker.judge.engine,
        }  # fmt: skip

    def judged(self, items: Iterable[Candidates], done: int) -> Iterator[Ranking]:
        return self.ranker.rank_many(items, self.orders, done=done)

    def count(self, result: Ranking) -> None:
        self.counts["ranked"] += 1
        for verdict in result.verdicts.values():
            self.counts["pairs"] += 1
            self.counts["both"] += verdict.consistent is not None
            self.counts["same"] += verdict.consistent is False

    def figures(self) -> list[str]:
        found = [counted(self.counts["pairs"], "pair")]
        if self.counts["both"]:
            found.append(f"same position {100 * self.counts['same'] / self.counts['both']:.1f} %")
        return found

    def kept(self) -> list[str]:
        return self._preferences.figures(self.counts["ranked"]) if self._preferences else []

    def notes(self) -> list[str]:
        return [self.ranker.exact.line()] if self.ranker.exact else []

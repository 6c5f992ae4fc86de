"""A run over single responses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rlaif_fast.files.keeping import Sieve
from rlaif_fast.judging.rater import Rater
from rlaif_fast.judging.rating import Rating
from rlaif_fast.judging.reward import Reward
from rlaif_fast.judging.run import Run
from rlaif_fast.judging.run_input import RunInput
from rlaif_fast.rows.samples import Sample


class RatingRun(Run[Sample, Rating | Reward]):
    """Samples in, ratings out."""

    unit, verb, written = "response", "scored", "score"

    def __init__(
        self, rows: RunInput[Sample], rater: Rater, *, shorten: bool = False, sieve: Sieve | None = None
    ) -> None:
        """
        Args:
            shorten: leave away the end of an instruction that is too long.
            sieve: what the ratings' rows go through when they are written.

        Raises:
            PairError: a prompt is longer than the model's context.
        """
        super().__init__(rows, {"sum": 0.0}, sieve)
        self.rater, self._shorten = rater, shorten
        rows.fit(rater.taken_unread, rater.prompt_tokens, rater.shortened if shorten else None)

    @property
    def bound(self) -> Mapping[str, Any]:
        return {
            "template": self.rater.manifest.prompt.name, "bundle": self.rater.digest,
            "on-long": "truncate" if self._shorten else "error",
            "limit": self.rows.limit, "window": self.rows.window, "engine": self.rater.engine,
        }  # fmt: skip

    def judged(self, items: Iterable[Sample], done: int) -> Iterator[Rating | Reward]:
        return self.rater.rate_many(items, window=self.rows.window, done=done)

    def count(self, result: Rating | Reward) -> None:
        self.counts["scored"] += 1
        self.counts["sum"] += result.score

    def figures(self) -> list[str]:
        scored = self.counts["scored"]
        return [f"mean score {self.counts['sum'] / scored:.3f}"] if scored else []

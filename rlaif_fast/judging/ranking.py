"""From verdicts on pairs to a ranking of candidates, and from a ranking to a row."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from rlaif_fast.judging.bradley_terry import strengths
from rlaif_fast.judging.verdict import Calibration, Verdict, sigmoid
from rlaif_fast.rows.candidates import Candidates
from rlaif_fast.rows.fields import json_line, with_carried

if TYPE_CHECKING:
    from rlaif_fast.judging.judge import Judge, Orders

Which = Literal["best-worst", "all"]
T = TypeVar("T")
_WINDOW = 256  # pairs planned together; bounds memory, and is all pairs of 23 candidates
_OWN = (
    "id", "instruction", "responses", "ranking", "strengths", "wins", "wins_first", "consistent_share", "truncated",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ranking:
    """N candidates in order.

    Attributes:
        candidates: what was ranked.
        verdicts: by (i, j), i < j, on each two distinct responses, at the first places that have their texts.
        wins: [N, N] probability that i is preferred to j, averaged over the orders judged; 0.5 where i and j are
            equal, also on the diagonal.
        strengths: [N] Bradley-Terry, natural logarithm, sum zero.
        ranking: [N] places of the responses, the strongest first; equally strong ones in their own order.
    """

    candidates: Candidates
    verdicts: Mapping[tuple[int, int], Verdict]
    wins: list[list[float]]
    strengths: list[float]
    ranking: list[int]

    @property
    def item(self) -> Candidates:
        """What was ranked."""
        return self.candidates

    @property
    def best(self) -> str:
        """The strongest response."""
        return self.candidates.responses[self.ranking[0]]

    @property
    def wins_first(self) -> list[list[float | None]]:
        """[N, N] probability that i is preferred to j where i is shown first; None where that was not judged."""

        def first(verdict: Verdict) -> float | None:
            return verdict.p1_by_order[0] if verdict.rewards is None else None  # a reward model shows none first

        def second(verdict: Verdict) -> float | None:
            return sigmoid(-verdict.log_odds_by_order[1]) if len(verdict.log_odds_by_order) > 1 else None

        return _matrix(self.candidates, self.verdicts, first, second, None)

    @property
    def consistent_share(self) -> float | None:
        """Of the pairs judged in both orders, those whose orders name the same response; None where there is none."""
        both = [verdict.consistent for verdict in self.verdicts.values() if verdict.consistent is not None]
        return sum(both) / len(both) if both else None

    def row(self) -> dict[str, Any]:
        """The ranking as a row, with what the input carried behind it, named as in a verdict's row."""
        of = self.candidates
        values = (
            of.id, of.instruction, list(of.responses), self.ranking, self.strengths, self.wins, self.wins_first,
            self.consistent_share, of.shown is not None,
        )  # fmt: skip
        return with_carried(dict(zip(_OWN, values, strict=True)), of.carried)

    def to_json(self) -> str:
        """One line; floats read back to the same float64. Raises PairError where JSON cannot hold what is carried."""
        return json_line(self.row(), self.item)


def ranking_by(
    judge: Judge, candidates: Candidates, orders: Orders = "both", calibration: Calibration | None = None
) -> Ranking:
    """The ranking that a judge's verdicts on all pairs make, each calibrated; with a float32 bundle pairs share passes.

    Raises PairError, JudgeError.
    """
    pairs = dict(candidates.pairs())
    verdicts = judge.judge_many(pairs.values(), orders, window=_WINDOW)
    if calibration is not None:
        verdicts = map(calibration, verdicts)
    return ranking_of(candidates, dict(zip(pairs, verdicts, strict=True)))


def ranking_of(candidates: Candidates, verdicts: Mapping[tuple[int, int], Verdict]) -> Ranking:
    """The ranking that verdicts on all pairs of distinct responses make."""
    return ranking_with(candidates, verdicts, strengths(_wins(candidates, verdicts)))


def ranking_with(candidates: Candidates, verdicts: Mapping[tuple[int, int], Verdict], strong: list[float]) -> Ranking:
    """The ranking by strengths [N] that are known."""
    order = sorted(range(len(strong)), key=lambda place: -strong[place])
    return Ranking(candidates, verdicts, _wins(candidates, verdicts), strong, order)


def _wins(candidates: Candidates, verdicts: Mapping[tuple[int, int], Verdict]) -> list[list[float]]:
    return _matrix(candidates, verdicts, lambda verdict: verdict.p1, lambda verdict: verdict.p2, 0.5)


def _matrix(
    candidates: Candidates, verdicts: Mapping[tuple[int, int], Verdict], above: Callable[[Verdict], T],
    below: Callable[[Verdict], T], equal: T,
) -> list[list[T]]:  # fmt: skip
    def value(i: int, j: int) -> T:
        return equal if i == j else above(verdicts[i, j]) if i < j else below(verdicts[j, i])

    first = candidates.first_places
    return [[value(i, j) for j in first] for i in first]


def pairs_of(row: Mapping[str, Any], which: Which) -> Iterator[dict[str, Any]]:
    """A ranking's row as verdict rows on pairs of its responses; their id is ``<id>/<chosen>-<rejected>``.

    Args:
        which: ``all`` gives each two distinct responses, as judged; ``best-worst`` the ranking's two ends, or nothing
            where their own verdict does not prefer the best.
    """
    responses, wins, first = row["responses"], row["wins"], row["wins_first"]
    if which == "all":
        distinct = [place for place, text in enumerate(responses) if responses.index(text) == place]
        ends = [(i, j) for i in distinct for j in distinct if i < j]
        ends = [(i, j) if wins[i][j] > wins[j][i] else (j, i) for i, j in ends]
    else:
        best, worst = row["ranking"][0], row["ranking"][-1]
        ends = [(best, worst)] if wins[best][worst] > wins[worst][best] else []
    name = row["id"] if isinstance(row["id"], str) else json.dumps(row["id"])
    for chosen, rejected in ends:
        both = first[chosen][rejected], first[rejected][chosen]
        yield {
            "id": f"{name}/{chosen}-{rejected}", "instruction": row["instruction"],
            "chosen": responses[chosen], "rejected": responses[rejected],
            "p1": wins[chosen][rejected], "p2": wins[rejected][chosen],
            "consistent": None if None in both else (both[0] > 0.5) == (both[1] < 0.5),
        }  # fmt: skip

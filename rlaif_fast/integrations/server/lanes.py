"""What can be asked: each lane is one kind of question, through one prompt; its items may share passes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any, Generic, Protocol, TypeVar, get_args

from rlaif_fast import arguments
from rlaif_fast.errors import ArgumentError
from rlaif_fast.judging.judge import Judge, Orders
from rlaif_fast.judging.ranker import Ranker
from rlaif_fast.judging.rater import Rater
from rlaif_fast.judging.run_input import fitting
from rlaif_fast.rows.candidates import NAMES as CANDIDATES_NAMES
from rlaif_fast.rows.candidates import Candidates
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.rows.reader import RowReader
from rlaif_fast.rows.samples import NAMES as SAMPLE_NAMES
from rlaif_fast.rows.samples import Sample
from rlaif_fast.schemas.schema import NAMES as PAIR_NAMES

KINDS = ("judge", "score", "rank")
I = TypeVar("I", Pair, Sample, Candidates)  # noqa: E741


class Answer(Protocol):
    """A verdict, a rating or a ranking."""

    def row(self) -> dict[str, Any]: ...

    def to_json(self) -> str: ...


@dataclass(frozen=True, eq=False)
class Lane(Generic[I]):
    """One kind of question.

    Attributes:
        kind: one of KINDS.
        template: name of the prompt.
        names: an item's fields, for a request's own field mapping.
        items: the items of rows; raises PairError at the first row that is none.
        check: the item, or PairError where it is too long for the model.
        shorten: the item as it fits the model; PairError where it cannot.
        answers: in the order of the items. Of one thread alone.
        passes: how many pairs or responses an item stands for.
    """

    kind: str
    template: str
    names: Sequence[str]
    items: Callable[[RowReader], Iterator[I]]
    check: Callable[[I], I]
    shorten: Callable[[I], I]
    answers: Callable[[Sequence[I]], Iterable[Answer]]
    passes: Callable[[I], int]


class Lanes:
    """The lanes of a bundle, by what a request asks for.

    Attributes:
        judges, raters: the sessions by the name of their prompt; the first of each is asked where none is named.
    """

    def __init__(self, judges: Sequence[Judge], raters: Sequence[Rater]) -> None:
        """Args: sessions over one bundle, at least one."""
        self.judges = {judge.manifest.prompt.name: judge for judge in judges}
        self.raters = {rater.manifest.prompt.name: rater for rater in raters}
        self._lanes: dict[tuple[str, str, str], Lane[Any]] = {}
        for name, rater in self.raters.items():
            self._lanes["score", name, "both"] = _score(rater)
        for name, judge in self.judges.items():
            for orders in get_args(Orders):
                self._lanes["judge", name, orders] = _judge(judge, orders)
                self._lanes["rank", name, orders] = _rank(Ranker(judge), orders)

    @property
    def sessions(self) -> list[Judge | Rater]:
        """All, those for pairs first."""
        return [*self.judges.values(), *self.raters.values()]

    @property
    def kinds(self) -> list[str]:
        """What can be asked at all."""
        return [kind for kind in KINDS if self._sessions(kind)]

    def find(self, kind: str, template: str | None = None, orders: str = "both") -> Lane[Any]:
        """Raises ArgumentError where there is no such prompt, or no such order."""
        sessions = self._sessions(kind)
        if not sessions:
            what = "scores" if kind == "score" else "pairs"
            raise ArgumentError(f"{kind}: no prompt for {what} is served; start with --template NAME of one")
        arguments.one_of("orders", orders, get_args(Orders) if kind != "score" else ("both",))
        name = next(iter(sessions)) if template is None else template
        arguments.one_of("template", name, tuple(sessions))
        return self._lanes[kind, name, orders]

    def _sessions(self, kind: str) -> dict[str, Judge] | dict[str, Rater]:
        return self.raters if kind == "score" else self.judges


def _judge(judge: Judge, orders: Orders) -> Lane[Pair]:
    unread = judge.taken_unread
    return Lane(
        "judge", judge.manifest.prompt.name, PAIR_NAMES, RowReader.pairs,
        fitting(unread, lambda pair: judge.prompt_tokens(pair, orders), None),
        fitting(unread, lambda _: None, judge.shortened),
        lambda pairs: judge.judge_many(pairs, orders, window=len(pairs)), lambda _: 1,
    )  # fmt: skip


def _score(rater: Rater) -> Lane[Sample]:
    unread = rater.taken_unread
    return Lane(
        "score", rater.manifest.prompt.name, SAMPLE_NAMES, RowReader.samples,
        fitting(unread, rater.prompt_tokens, None), fitting(unread, lambda _: None, rater.shortened),
        lambda samples: rater.rate_many(samples, window=len(samples)), lambda _: 1,
    )  # fmt: skip


def _rank(ranker: Ranker, orders: Orders) -> Lane[Candidates]:
    unread = ranker.judge.taken_unread
    return Lane(
        "rank", ranker.judge.manifest.prompt.name, CANDIDATES_NAMES, RowReader.candidates,
        fitting(unread, lambda row: ranker.check(row, orders), None),
        fitting(unread, lambda _: None, ranker.shortened),
        lambda rows: ranker.rank_many(rows, orders), lambda row: comb(len(row.responses), 2),
    )  # fmt: skip

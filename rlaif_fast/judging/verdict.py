"""From label logits to a verdict, and from a verdict to a row."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rlaif_fast.rows.fields import free_names
from rlaif_fast.rows.pairs import Pair

COLUMNS = (
    "id", "instruction", "chosen", "rejected", "label", "p1", "p2", "p1_by_order", "consistent", "truncated",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdict:
    """A soft preference label.

    Attributes:
        pair: what was judged.
        log_odds_by_order: log(p1/p2) in the forward order, then swapped; one entry where only one was judged.
    """

    pair: Pair
    log_odds_by_order: tuple[float, ...]

    @property
    def item(self) -> Pair:
        """What was judged."""
        return self.pair

    @property
    def truncated(self) -> bool:
        """Whether the judge was shown a part of the instruction only."""
        return self.pair.shown is not None

    @property
    def p1_by_order(self) -> tuple[float, ...]:
        """Probability that response_0 is preferred, in each order judged."""
        return tuple(sigmoid(d) for d in self.log_odds_by_order)

    @property
    def p1(self) -> float:
        """Probability that response_0 is preferred, averaged over the orders."""
        return math.fsum(self.p1_by_order) / len(self.p1_by_order)

    @property
    def p2(self) -> float:
        """1 - p1."""
        return 1.0 - self.p1

    @property
    def label(self) -> int:
        """1 where response_0 is preferred, else 2 (a tie is 2: the notebook's rule)."""
        return 1 if self.p1 > self.p2 else 2

    @property
    def chosen(self) -> str:
        return self.pair.response_0 if self.label == 1 else self.pair.response_1

    @property
    def rejected(self) -> str:
        return self.pair.response_1 if self.label == 1 else self.pair.response_0

    @property
    def consistent(self) -> bool | None:
        """Whether both orders name the same response; None where one was judged."""
        if len(self.log_odds_by_order) < 2:
            return None
        first, second = self.log_odds_by_order
        return (first > 0) == (second > 0)

    def row(self) -> dict[str, Any]:
        """The verdict as a row of the contract, with what the input carried behind it.

        An input field ``label`` is carried as ``human_label``, or as ``file_label`` where the row says that no person
        chose; another field whose name is taken is carried as ``input_<name>``, so nothing is lost.
        """
        p1 = self.p1
        row = dict(
            zip(
                COLUMNS,
                (
                    self.pair.id, self.pair.instruction, self.chosen, self.rejected, self.label, p1, 1.0 - p1,
                    list(self.p1_by_order), self.consistent, self.truncated,
                ),
                strict=True,
            )
        )  # fmt: skip
        names = free_names(self.pair.carried, COLUMNS)
        row.update((names[name], value) for name, value in self.pair.carried.items())
        return row

    def to_json(self) -> str:
        """One line; floats read back to the same float64."""
        return json.dumps(self.row(), ensure_ascii=False, allow_nan=False)


class Calibration(Protocol):
    """A fitted calibration, as :mod:`rlaif_fast.evaluation.calibration` makes one."""

    @property
    def digest(self) -> str: ...

    def __call__(self, verdict: Verdict) -> Verdict: ...


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), exact to the last digits for any float."""
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))


def log_odds(logits: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """log(p1/p2) of response_0 in each order, from label logits [(1, 2) forward, (1, 2) swapped]."""
    return tuple(
        float(second) - float(first) if swapped else float(first) - float(second)
        for swapped, (first, second) in enumerate(logits)
    )

"""A verdict, and from a verdict to a row."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rlaif_fast.rows.fields import json_line, with_carried
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.schemas.labels_from_1 import FROM_1, beside

COLUMNS = (
    "id", "instruction", "chosen", "rejected", "label", "p1", "p2", "p1_by_order", "consistent", "truncated",
)  # fmt: skip
TIE = "p_tie"  # behind them where the prompt has a label for ties; no other field of a row has this name


@dataclass(frozen=True, slots=True)
class Verdict:
    """A soft preference label.

    Attributes:
        pair: what was judged.
        log_odds_by_order: log(p1/p2) in the forward order, then swapped; one entry where only one was judged.
        p_tie_by_order: probability that neither is better, half of which p1 and p2 have each; None where the prompt has
            no label for it.
        rewards: of response_0 and of response_1, by a reward model. It reads them in no order: ``log_odds_by_order``
            has one entry, their difference. None for another judge.
    """

    pair: Pair
    log_odds_by_order: tuple[float, ...]
    p_tie_by_order: tuple[float, ...] | None = None
    rewards: tuple[float, float] | None = None

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
        return _complete(math.fsum(self.p1_by_order) / len(self.p1_by_order))

    @property
    def p2(self) -> float:
        """1 - p1."""
        return 1.0 - self.p1

    @property
    def p_tie(self) -> float | None:
        """Probability that neither is better, averaged over the orders; None as ``p_tie_by_order``."""
        ties = self.p_tie_by_order
        return None if ties is None else math.fsum(ties) / len(ties)

    @property
    def label(self) -> int:
        """1 where response_0 is preferred, else 2 (equal p1 and p2 are 2: the notebook's rule).

        Where a tie is likelier than either it is as well the response with the larger half.
        """
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
        chose: 0 or 1, the index of the preferred response. The verdict's own ``label`` is 1 or 2, and so is
        ``human_label_from_1`` behind ``human_label``, which says the same. Another field whose name is taken is carried
        as ``input_<name>``, so nothing is lost.
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
        if self.p_tie_by_order is not None:
            row[TIE] = self.p_tie
        return beside(with_carried(row, self.pair.carried, (TIE, *FROM_1.values())))

    def to_json(self) -> str:
        """One line; floats read back to the same float64. Raises PairError where JSON cannot hold what is carried."""
        return json_line(self.row(), self.item)


class Calibration(Protocol):
    """A fitted calibration, as :mod:`rlaif_fast.evaluation.calibration` makes one."""

    @property
    def digest(self) -> str: ...

    def __call__(self, verdict: Verdict) -> Verdict: ...

    def require_bundle(self, digest: str, path: Path | str) -> None: ...


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)). ``sigmoid(x) + sigmoid(-x)`` is 1.0 for any float.

    Up to |x| of 36 each of the two is 1.0 minus the other, to the last bit, so it is off by 2**-53 at most. Beyond,
    1.0 minus the larger is nothing, and the smaller is exact to its own last digits.
    """
    small = math.exp(-abs(x)) / (1.0 + math.exp(-abs(x)))
    return 1.0 - small if x >= 0 else _complete(small)


def _complete(p: float) -> float:
    """The probability nearest to ``p`` that is 1.0 minus another one; ``p`` itself where that is 0."""
    return 1.0 - (1.0 - p) or p

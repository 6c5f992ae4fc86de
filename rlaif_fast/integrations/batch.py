"""A batch of pairs judged as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rlaif_fast.judging.judge import Judge, Orders
from rlaif_fast.judging.verdict import Verdict
from rlaif_fast.rows.pairs import Pair

OnLong = Literal["error", "truncate"]


def judged(judge: Judge, pairs: Sequence[Pair], orders: Orders, on_long: OnLong) -> list[Verdict]:
    """A verdict a pair, in their order; pairs on the same instruction are judged together.

    Args:
        on_long: ``truncate`` leaves away the end of an instruction that is too long for the model.

    Raises:
        PairError: a prompt is longer than the model's context.
        JudgeError: the runtime failed.
    """
    if on_long == "truncate":
        pairs = [judge.shortened(pair) for pair in pairs]
    return list(judge.judge_many(pairs, orders, window=max(1, len(pairs))))

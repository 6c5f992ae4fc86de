"""Whether verdicts are a bundle's: their rows do not say who judged, so the bundle judges a few of them again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rlaif_fast.errors import EvalError
from rlaif_fast.evaluation.records import Record, log_odds_of
from rlaif_fast.judging.judge import Judge
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.runtime.selftest import deviation

_PAIRS = 8  # the shortest ones
_LIMIT = 20.0  # of log-odds: beyond it p1's own rounding is more than what is asked for


def check_origin(records: Sequence[Record], judge: Judge, name: str) -> None:
    """Raise EvalError where ``judge`` answers otherwise than the records, by more than two machines may differ.

    Args:
        name: of the file, for the message.
    """
    shortest = sorted(records, key=lambda one: len(one.instruction) + len(one.response_0) + len(one.response_1))
    differences: list[float] = []
    for one in shortest[:_PAIRS]:
        pair = judge.shortened(Pair(one.instruction, one.response_0, one.response_1, one.id))
        again = judge.judge(pair).p1_by_order[: len(one.p1_by_order)]
        differences += np.abs(_odds(again) - _odds(one.p1_by_order)).tolist()
    if not differences:
        return
    found, limit = deviation(judge.manifest, differences)
    if found > limit:
        raise EvalError(
            f"{name}: these are not the verdicts of {judge.manifest.name}, whose answers differ by {found:.2g} in"
            f" log-odds (limit {limit:.2g}); give the bundle that judged them, without --exact and --calibration"
        )


def _odds(p1: Sequence[float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.clip(log_odds_of(np.array(p1)), -_LIMIT, _LIMIT)

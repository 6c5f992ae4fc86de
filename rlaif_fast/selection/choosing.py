"""From labelled pairs and a bundle's prompts to the best of them: race, decide, test."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rlaif_fast.errors import EvalError, PairError
from rlaif_fast.evaluation.calibration import Calibration
from rlaif_fast.evaluation.labelled import label_of
from rlaif_fast.evaluation.records import Record, Sample, sample_of, task_of
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.schemas.human_labels import said_maker
from rlaif_fast.selection.decision import Tested, Tried, best_of, compare, tested
from rlaif_fast.selection.parts import Parts
from rlaif_fast.selection.race import race
from rlaif_fast.selection.readings import Readings
from rlaif_fast.selection.ways import WAYS, both_ways, calibration_of, right, with_odds

LEAST = 10  # instructions in each part


@dataclass(frozen=True)
class Chosen:
    """The best of what was tried, tested.

    Attributes:
        calibration: of the best one, fitted to the part chosen on; None where there is none to apply.
    """

    tried: list[Tried]
    best: Tried | None
    tested: Tested | None
    calibration: Calibration | None


def choose(
    pairs: Sequence[Pair], parts: Parts, readings: Readings, current: str, prompts: Sequence[str],
    enter: Callable[[str], Sequence[str]], left_out: Callable[[str], None], source: str,
) -> Chosen:  # fmt: skip
    """Read, compare and test.

    Args:
        current: the prompt that is to be beaten, in both orders.
        prompts: the others, which the bundle has.
        enter: makes prompts with examples after the one that is named.
        left_out: is told of a prompt that a pair is too long for.
    """
    sample = sample_of_pairs(pairs)
    chosen_on = parts.chosen_on
    human_0 = sample.human_0[chosen_on]
    places = parts.tested_on.tolist()

    def fits(prompt: str) -> bool:
        """Whether it can read all pairs, those it would be tested on as well."""
        try:
            readings.check(prompt, [*chosen_on.tolist(), *places])
        except PairError as error:
            if prompt == current:
                raise
            left_out(f"left out: {prompt}; {error}")
            return False
        return True

    def read(prompt: str, size: int) -> float:
        odds = readings.read(prompt, chosen_on[:size].tolist())
        return max(float(right(odds, human_0[:size], orders).mean()) for orders in WAYS)

    fits(current)
    read(current, len(chosen_on))
    race(list(filter(fits, prompts)), len(chosen_on), read, lambda best: list(filter(fits, enter(best))))
    odds = {prompt: readings.odds(prompt)[chosen_on] for prompt in readings.prompts}
    on = sample.take(chosen_on)
    tried = compare(on, odds, current)
    best = best_of(tried, on, odds)
    if best is None:
        return Chosen(tried, None, None, None)
    calibration = calibration_of(with_odds(on, odds[best.prompt]), best.orders, readings.digest(best.prompt), source)
    test = sample.take(parts.tested_on)
    found = with_odds(test, readings.read(best.prompt, places))
    found = calibration.on(found) if calibration else found
    before = with_odds(test, readings.read(current, places))
    if best.orders == "forward":
        found, before = both_ways(found, "forward"), both_ways(before, "both")
    return Chosen(tried, best, tested(len(test), found, before), calibration)


def sample_of_pairs(pairs: Sequence[Pair]) -> Sample:
    """Labelled pairs as arrays, without a verdict: p1 is nan."""
    return sample_of(
        Record(pair.id, pair.instruction, pair.response_0, pair.response_1, math.nan, (math.nan, math.nan),
               label_of(pair), task_of(pair.carried), said_maker(pair.carried))
        for pair in pairs
    )  # fmt: skip


def require_enough(sample: Sample, parts: Parts, name: str) -> None:
    """Raise EvalError where a part has too few instructions to say anything by."""
    counts = [len(np.unique(sample.group[places])) for places in (parts.chosen_on, parts.tested_on)]
    if min(counts) < LEAST:
        raise EvalError(
            f"{name}: choosing needs {LEAST} instructions in each half, here are {counts[0]} and {counts[1]}; give"
            " more labelled pairs"
        )

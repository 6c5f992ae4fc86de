"""Labelled pairs in three parts that share no instruction: examples to show, pairs to choose on, pairs to test on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rlaif_fast.evaluation.records import half

SEED = 0
_EXAMPLES = 10  # instructions to choose on, for each that is shown as an example: more would leave too few

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Parts:
    """Places of pairs, from 0.

    Attributes:
        examples: one pair an instruction, in the file's order.
        chosen_on: in a random order, pairs on one instruction together.
        tested_on: in the file's order.
    """

    examples: Places
    chosen_on: Places
    tested_on: Places


def split(instructions: Sequence[str], examples: int) -> Parts:
    """The parts of pairs by their instructions.

    Tested on is what :func:`~rlaif_fast.evaluation.records.half` says, as in ``eval --fit``. Of the other half the
    first ``examples`` instructions give an example each, or fewer: a tenth of them at most.
    """
    places: dict[str, list[int]] = {}
    for place, instruction in enumerate(instructions):
        places.setdefault(instruction, []).append(place)
    first = [found for instruction, found in places.items() if half(instruction) == 0]
    second = [place for place, instruction in enumerate(instructions) if half(instruction) == 1]
    shown = min(examples, len(first) // _EXAMPLES)
    shuffled = np.random.RandomState(SEED).permutation(len(first) - shown) + shown
    return Parts(
        np.array([found[0] for found in first[:shown]], np.int64),
        np.array([place for group in shuffled for place in first[group]], np.int64),
        np.array(second, np.int64),
    )

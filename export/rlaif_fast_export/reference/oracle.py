"""What PyTorch answers to the pairs a bundle is made and verified with, asked before the model is let go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlaif_fast.bundle.manifest import Fidelity
from rlaif_fast.rows.pairs import Pair
from rlaif_fast_export.reference.bfloat16 import in_bfloat16, quick_products
from rlaif_fast_export.reference.pytorch import Asker, ScoreAsker, common_ending
from rlaif_fast_export.reference.texts import shipped_pairs
from rlaif_fast_export.reference.verify import fidelity

Answers = np.ndarray[Any, np.dtype[np.float64]]  # log-odds of response_0, or scores: [pairs, 2]
# Held-out pairs that bfloat16 is asked: it is for comparison only.
_BFLOAT16_PAIRS = 8


@dataclass
class Oracle:
    """PyTorch's answers.

    Attributes:
        judged: the fidelity card is made on these pairs.
        calibration: token sequences that int8 is fitted to; none for float32.
        bfloat16: how far the model's own bfloat16 is from it; None for float32.
    """

    asker: Asker | ScoreAsker
    probes: list[Pair]
    of_probes: Answers
    judged: list[Pair]
    of_judged: Answers
    calibration: Sequence[Sequence[int]] = ()
    bfloat16: Fidelity | None = None

    @property
    def probe_prompts(self) -> list[list[int]]:
        """Token ids of the probes, in both orders."""
        return [prompt for pair in self.probes for prompt in self.asker.prompts(pair)]

    @property
    def ending(self) -> int:
        """How many last tokens all prompts have in common."""
        return common_ending(self.calibration)


def ask(lm: Any, asker: Asker | ScoreAsker, progress: Callable[[str, float], None]) -> Oracle:
    """For a float32 bundle: the probes alone. Raises ExportError where the model's context holds none of them."""
    probes = asker.fitting(shipped_pairs("probes"))
    found = _answers(lm, asker, probes, "PyTorch", progress)
    return Oracle(asker, probes, found, probes, found)


def ask_for_int8(
    lm: Any, asker: Asker, calibration: Sequence[Pair] | None, progress: Callable[[str, float], None]
) -> Oracle:
    """The held-out pairs too, and in bfloat16. ``calibration`` None: the project's own texts. Raises ExportError."""
    found = ask(lm, asker, progress)
    found.judged = asker.fitting(shipped_pairs("heldout"))
    found.of_judged = _answers(lm, asker, found.judged, "PyTorch", progress)
    some = found.judged[:_BFLOAT16_PAIRS]
    with quick_products():
        rough = _answers(in_bfloat16(lm), asker, some, "PyTorch in bfloat16", progress)
    found.bfloat16 = fidelity(rough, found.of_judged[: len(some)], f"{len(some)} held-out pairs in both orders")
    texts = asker.fitting(shipped_pairs("calibration") if calibration is None else calibration)
    found.calibration = [asker.prompts(pair)[number % 2] for number, pair in enumerate(texts)]  # the orders in turn
    return found


def _answers(
    lm: Any, asker: Asker | ScoreAsker, pairs: Sequence[Pair], what: str, progress: Callable[[str, float], None]
) -> Answers:
    return asker.ask(lm, pairs, lambda done: progress(f"asking {what} for its answers", done))

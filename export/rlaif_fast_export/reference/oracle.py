"""What PyTorch answers to the pairs a bundle is made and verified with, each of the model's blocks read once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from rlaif_fast.bundle.manifest import Fidelity
from rlaif_fast.rows.pairs import Pair
from rlaif_fast_export.reference.blockwise import Blockwise, Prompt
from rlaif_fast_export.reference.pytorch import Asker, ScoreAsker, common_ending, fitting
from rlaif_fast_export.reference.texts import shipped_pairs
from rlaif_fast_export.reference.verify import fidelity

Answers = np.ndarray[Any, np.dtype[np.float64]]  # log-odds of response_0, or scores: [pairs, 2]
Progress = Callable[[str, float], None]
Fed = Callable[[int, Prompt], None]  # what Blockwise.through tells
OTHERS = 4  # probes of Oracle.others: four more cost a twentieth of an export (docs/performance.md)
IN_BFLOAT16 = 2  # held-out pairs: they are for comparison only


@dataclass
class Oracle:
    """PyTorch's answers.

    Attributes:
        judged: the fidelity card is made on these pairs.
        fitted: what int8 is calibrated on, having passed the model's blocks; none for float32.
        others: of the probes, which nothing is fitted to: what a mix does is weighed on these too.
        bfloat16: how far the model's own bfloat16 is from it; None for float32.
        in_bfloat16: its answers to the first of ``judged``.
    """

    asker: Asker | ScoreAsker
    probes: list[Pair]
    of_probes: Answers
    judged: list[Pair]
    of_judged: Answers
    fitted: Sequence[Prompt] = ()
    others: Sequence[Prompt] = ()
    bfloat16: Fidelity | None = None
    in_bfloat16: Answers | None = None

    @property
    def ending(self) -> int:
        """How many last tokens all prompts have in common."""
        return common_ending([prompt.ids for prompt in self.fitted])


def ask(model: Blockwise, asker: Asker | ScoreAsker, progress: Progress) -> Oracle:
    """For a float32 bundle: the probes alone. Raises ExportError where the model's context holds none of them."""
    probes = fitting(asker, shipped_pairs("probes", model.parameters))
    asked = _Asked(model, asker, probes)
    asked.go_through(lambda done: progress("asking PyTorch for its answers", done))
    found = asked.answers()
    return Oracle(asker, probes, found, probes, found)


def ask_for_int8(
    model: Blockwise, rough: Blockwise, asker: Asker, calibration: Sequence[Pair], kept: Fed, progress: Progress,
    known: tuple[Answers, Answers] | None = None,
) -> Oracle:  # fmt: skip
    """The held-out pairs too, and some of them in bfloat16, ``rough``.

    Args:
        calibration: pairs that int8 is fitted to, each in one order.
        kept: is called with what the blocks are fed on those, and on some probes, whose first order is weighed.
        known: answers and bfloat16's, where they were asked for already.

    Raises:
        ExportError: the model's context holds no text of a kind.
    """
    probes, held_out = (fitting(asker, shipped_pairs(name, model.parameters)) for name in ("probes", "heldout"))
    texts = fitting(asker, calibration)
    asked = _Asked(model, asker, [*probes, *held_out], [asker.prompts(p)[n % 2] for n, p in enumerate(texts)])
    others = asked.of_pairs[: len(probes[:OTHERS])]
    some = held_out[:IN_BFLOAT16]
    if known is None:
        wanted = {*asked.alone, *others}
        asked.go_through(
            lambda done: progress("asking PyTorch for its answers", done),
            lambda block, prompt: kept(block, prompt) if prompt in wanted else None,
        )
        again = _Asked(rough, asker, some)
        again.go_through(lambda done: progress("asking PyTorch in bfloat16 for its answers", done))
        known = asked.answers(), again.answers()
    of_all, in_bfloat16 = known
    of_probes, of_held_out = of_all[: len(probes)], of_all[len(probes) :]
    card = fidelity(in_bfloat16, of_held_out[: len(some)], f"{len(some)} held-out pairs in both orders")
    return Oracle(asker, probes, of_probes, held_out, of_held_out, asked.alone, others, card, in_bfloat16)


class _Asked:
    """Pairs, and prompts of their own, on their way through a model.

    Attributes:
        of_pairs: each pair's first prompt, which the others follow.
        alone: the prompts of their own.
    """

    def __init__(
        self, model: Blockwise, asker: Asker | ScoreAsker, pairs: Sequence[Pair], alone: Sequence[Sequence[int]] = ()
    ) -> None:
        self._model, self._asker, self._pairs = model, asker, pairs
        self.of_pairs = model.start_together([asker.prompts(pair) for pair in pairs])
        self.alone = model.start(alone)

    def go_through(self, tick: Callable[[float], None], fed: Fed | None = None) -> None:
        """All prompts, all blocks."""
        self._model.through([*self.of_pairs, *self.alone], tick, fed)

    def answers(self) -> Answers:
        """Of the pairs, once they went through."""
        with self._model.ending() as logits, torch.inference_mode():
            return np.array([
                self._asker.answer(pair, [logits(prompt, prompt.hidden) for prompt in (lead, *lead.followers)])
                for pair, lead in zip(self._pairs, self.of_pairs, strict=True)
            ])  # fmt: skip

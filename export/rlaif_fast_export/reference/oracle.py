"""What PyTorch answers to the pairs a bundle is made and verified with, each of the model's blocks read once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

from rlaif_fast.bundle.prompt import Fidelity
from rlaif_fast.rows.pairs import Pair
from rlaif_fast_export.reference.blockwise import Blockwise, Prompt
from rlaif_fast_export.reference.pytorch import AnyAsker, Asker, RewardAsker, common_ending, fitting, longest_pair
from rlaif_fast_export.reference.texts import shipped_pairs
from rlaif_fast_export.reference.verify import fidelity, in_orders, odds_of

# [pairs, 2] log-odds of response_0, scores, or rewards; [pairs, 4] with p_tie behind them where ties have a label.
Answers = np.ndarray[Any, np.dtype[np.float64]]
Progress = Callable[[str, float], None]
Fed = Callable[[int, Prompt], None]  # what Blockwise.through tells
Logits = Callable[[Prompt, torch.Tensor], torch.Tensor]  # what Blockwise.ending gives
# One of so many probes is in Oracle.others: all of them would cost a tenth more of an export (docs/performance.md).
OTHERS = 2
IN_BFLOAT16 = 6  # and one of so many held-out pairs is asked in bfloat16, for comparison only


@dataclass
class Oracle:
    """PyTorch's answers.

    Attributes:
        judged: the fidelity card is made on these pairs.
        fitted: what int8 is calibrated on, having passed the model's blocks; none for float32.
        others: of the probes, which nothing is fitted to: what a mix does is weighed on these too.
        through: of ``fitted``, which of the askers asked it; the first, who asks all else, where it is not named.
        bfloat16: how far the model's own bfloat16 is from it; None for float32.
        in_bfloat16: its answers to the first of ``judged``.
        longest: a pair that fills the model's context, and the answers to it; None where none was asked.
    """

    asker: AnyAsker
    probes: list[Pair]
    of_probes: Answers
    judged: list[Pair]
    of_judged: Answers
    fitted: Sequence[Prompt] = ()
    others: Sequence[Prompt] = ()
    through: Mapping[Prompt, int] = field(default_factory=dict)
    bfloat16: Fidelity | None = None
    in_bfloat16: Answers | None = None
    longest: tuple[Pair, Answers] | None = None

    @property
    def ending(self) -> int:
        """How many last tokens all prompts of the first asker have in common."""
        return common_ending([prompt.ids for prompt in self.of_first])

    @property
    def of_first(self) -> list[Prompt]:
        """Of ``fitted``, what the first asker asked."""
        return [prompt for prompt in self.fitted if self.turn(prompt) == 0]

    def turn(self, prompt: Prompt) -> int:
        """Which asker asked it."""
        return self.through.get(prompt, 0)


def ask(model: Blockwise, asker: AnyAsker, progress: Progress, *, longest: bool = False) -> Oracle:
    """For a float32 bundle: the probes alone, and where ``longest`` a pair that fills the context.

    Raises ExportError where the model's context holds none of them.
    """
    probes = fitting(asker, shipped_pairs("probes", model.parameters))
    last = [longest_pair(asker, probes)] if longest else []
    asked = Asked(model, asker, [*probes, *last])
    asked.go_through(lambda done: progress("asking PyTorch for its answers", done))
    of_all = asked.answers()
    found = of_all[: len(probes)]
    return Oracle(asker, probes, found, probes, found, longest=(last[0], of_all[-1:]) if last else None)


def ask_for_int8(
    model: Blockwise, rough: Blockwise, askers: Sequence[Asker | RewardAsker], calibration: Sequence[Pair],
    kept: Callable[[int, Prompt, int], None], progress: Progress, known: tuple[Answers, Answers] | None = None,
) -> Oracle:  # fmt: skip
    """The held-out pairs too, and some of them in bfloat16, ``rough``.

    Args:
        askers: the first asks all; half of what int8 is fitted to is asked by the others in turn, where there are any.
        calibration: pairs that int8 is fitted to, each in one order.
        kept: is called with a block's number, what it is fed on those, and on some probes, whose first order is
            weighed, and which asker asked it.
        known: answers and bfloat16's, where they were asked for already.

    Raises:
        ExportError: the model's context holds no text of a kind.
    """
    asker = askers[0]
    probes, held_out = (fitting(asker, shipped_pairs(name, model.parameters)) for name in ("probes", "heldout"))
    texts = fitting(asker, calibration, "pairs to calibrate on")
    through = [_turn(n, pair, askers) for n, pair in enumerate(texts)]
    alone = [askers[which].prompts(p)[n // 2 % 2] for n, (p, which) in enumerate(zip(texts, through, strict=True))]
    asked = Asked(model, asker, [*probes, *held_out], alone)
    turns = dict(zip(asked.alone, through, strict=True))
    others = asked.leads[: share(len(probes), OTHERS)]
    some = held_out[: share(len(held_out), IN_BFLOAT16)]
    if known is None:
        wanted = {*asked.alone, *others}
        asked.go_through(
            lambda done: progress("asking PyTorch for its answers", done),
            lambda block, prompt: kept(block, prompt, turns.get(prompt, 0)) if prompt in wanted else None,
        )
        again = Asked(rough, asker, some)
        again.go_through(lambda done: progress("asking PyTorch in bfloat16 for its answers", done))
        known = asked.answers(), again.answers()
    of_all, in_bfloat16 = known
    of_probes, of_held_out = of_all[: len(probes)], of_all[len(probes) :]
    on = f"{len(some)} held-out pairs{in_orders(asker.template)}"
    card = fidelity(odds_of(asker.template, in_bfloat16), odds_of(asker.template, of_held_out[: len(some)]), on)
    return Oracle(asker, probes, of_probes, held_out, of_held_out, asked.alone, others, turns, card, in_bfloat16)


def _turn(number: int, pair: Pair, askers: Sequence[Asker | RewardAsker]) -> int:
    """Which asker asks the pair of that number."""
    if number % 2 == 0 or len(askers) == 1:
        return 0
    which = 1 + number // 2 % (len(askers) - 1)
    return which if max(map(len, askers[which].prompts(pair))) <= askers[which].longest else 0


def share(count: int, of: int) -> int:
    """How many of ``count`` are one in ``of``: one at least."""
    return max(1, count // of)


class Asked:
    """Pairs, and prompts of their own, on their way through a model.

    Attributes:
        leads: each pair's first prompt, which the others follow.
        alone: the prompts of their own.
    """

    def __init__(
        self, model: Blockwise, asker: AnyAsker, pairs: Sequence[Pair], alone: Sequence[Sequence[int]] = (),
        kept: DynamicCache | None = None, parts: int = 0,
    ) -> None:  # fmt: skip
        """
        Args:
            kept: takes keys and values of the very first prompt.
            parts: what the pairs are divided into, in each of which all follow the first: they have the template's head
                in common at least, which of short pairs is the most. 0: each pair by itself.
        """
        self._model, self._asker, self._pairs = model, asker, pairs
        shown = [asker.prompts(pair) for pair in pairs]
        size = -(-len(pairs) // parts) if parts else 1
        groups = [[ids for of_pair in shown[n : n + size] for ids in of_pair] for n in range(0, len(pairs), size)]
        self.leads = model.start_together(groups, kept)
        prompts = iter([prompt for lead in self.leads for prompt in (lead, *lead.followers)])
        self._prompts = [[next(prompts) for _ in of_pair] for of_pair in shown]
        self.alone = model.start(alone)

    def go_through(self, tick: Callable[[float], None], fed: Fed | None = None) -> None:
        """All prompts, all blocks."""
        self._model.through([*self.leads, *self.alone], tick, fed)

    def answers(self) -> Answers:
        """Of the pairs, once they went through."""
        return answers_of(self._model, [self])[0]

    def _answers(self, logits: Logits) -> Answers:
        return np.array([
            self._asker.answer(pair, [logits(prompt, prompt.hidden) for prompt in prompts])
            for pair, prompts in zip(self._pairs, self._prompts, strict=True)
        ])  # fmt: skip


def answers_of(model: Blockwise, asked: Sequence[Asked]) -> list[Answers]:
    """Each one's answers, once they went through the model; its head is read once."""
    with model.ending() as logits, torch.inference_mode():
        return [one._answers(logits) for one in asked]

"""What is asked of PyTorch, and what its logits answer: by the seed notebook's method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from rlaif_fast.errors import ExportError
from rlaif_fast.judging.rating import rating_of
from rlaif_fast.prompts.kinds import AnyTemplate
from rlaif_fast.prompts.reward_template import GuardTemplate, RewardTemplate
from rlaif_fast.prompts.score_template import ScoreTemplate, answers_of
from rlaif_fast.prompts.template import Template
from rlaif_fast.prompts.tokenizer import PromptTokenizer
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.rows.samples import Sample


@dataclass
class Asker:
    """Puts pairs to a model the way a bundle will: one template, one tokenizer, both orders."""

    tokenizer: PromptTokenizer
    template: Template
    label_ids: tuple[int, ...]
    longest: int  # tokens a prompt may have

    def prompts(self, pair: Pair) -> list[list[int]]:
        """Token ids, forward and swapped."""
        shown = (pair.response_0, pair.response_1), (pair.response_1, pair.response_0)
        return [self.tokenizer.encode(self.template.render(pair.instruction, *texts)) for texts in shown]

    def answer(self, pair: Pair, logits: Sequence[torch.Tensor]) -> list[float]:  # noqa: ARG002 (a score's needs it)
        """Log-odds of response_0, shown first, then second, from the last logits [V] of the pair's prompts.

        Behind them p_tie of both, where there is a label for ties. Whatever the rest of the vocabulary holds.
        """
        forward, swapped = (float(self.log_odds(found)) for found in logits)
        labels = list(self.label_ids)
        ties = [float(torch.softmax(found[labels].double(), 0)[2]) for found in logits if self.template.ties]
        return [forward, -swapped, *ties]

    def log_odds(self, logits: torch.Tensor) -> torch.Tensor:
        """log(p1/p2) of a prompt's last logits [V]: of two labels the difference of their logits.

        Of three, p1 and p2 have half of the third's probability each.
        """
        first, second, *tie = logits[list(self.label_ids)].double()
        if tie:
            half = tie[0] - math.log(2)
            return torch.logaddexp(first, half) - torch.logaddexp(second, half)
        return first - second


@dataclass
class ScoreAsker:
    """As :class:`Asker`, for a score bundle: each response of a pair is rated by itself."""

    tokenizer: PromptTokenizer
    template: ScoreTemplate
    label_ids: tuple[int, ...]
    longest: int

    def prompts(self, pair: Pair) -> list[list[int]]:
        """Token ids of everything that is asked about both responses."""
        return [ids for response in (pair.response_0, pair.response_1) for ids in self._answers(pair, response)]

    def answer(self, pair: Pair, logits: Sequence[torch.Tensor]) -> list[float]:
        """Expected scores of the two responses, 1 to 10, from the last logits [V] of the pair's prompts."""
        labels = list(self.label_ids)
        return self.rated(pair, np.array([torch.log_softmax(row.double(), -1)[labels].numpy() for row in logits]))

    def rated(self, pair: Pair, log_probabilities: np.ndarray) -> list[float]:
        """As :meth:`answer`, from the labels' natural log-probabilities [prompts, L]."""
        shares = np.split(log_probabilities, 2)
        return [
            rating_of(Sample(pair.instruction, response), rows).rating
            for response, rows in zip((pair.response_0, pair.response_1), shares, strict=True)
        ]

    def _answers(self, pair: Pair, response: str) -> list[list[int]]:
        prompt = self.tokenizer.encode(self.template.render(pair.instruction, response))
        return answers_of(prompt, self.template, self.label_ids)


@dataclass
class RewardAsker:
    """As :class:`Asker`, for a reward model: each response of a pair is read by itself."""

    tokenizer: PromptTokenizer
    template: RewardTemplate
    longest: int

    def prompts(self, pair: Pair) -> list[list[int]]:
        """Token ids of the conversations with response_0 and with response_1."""
        texts = pair.response_0, pair.response_1
        return [self.tokenizer.encode(self.template.render(pair.instruction, text)) for text in texts]

    def answer(self, pair: Pair, logits: Sequence[torch.Tensor]) -> list[float]:  # noqa: ARG002 (as above)
        """Rewards of the two responses, from what the head gives behind each, [1]."""
        return [float(self.log_odds(found)) for found in logits]

    def log_odds(self, logits: torch.Tensor) -> torch.Tensor:
        """A prompt's reward, from what the head gives behind it, [1]: log-odds are differences of two."""
        return logits[0].double()


@dataclass
class GuardAsker(RewardAsker):
    """As :class:`RewardAsker`, for a safety model: the reward is the log-odds of the answer to a safe response."""

    label_ids: tuple[int, ...]  # of that answer, and of the one to an unsafe response

    def log_odds(self, logits: torch.Tensor) -> torch.Tensor:
        """From a prompt's last logits [V]."""
        safe, unsafe = logits[list(self.label_ids)].double()
        return safe - unsafe


AnyAsker = Asker | ScoreAsker | RewardAsker


def asker_of(tokenizer: PromptTokenizer, template: AnyTemplate, labels: Sequence[int], longest: int) -> AnyAsker:
    """Asks what the template asks."""
    if isinstance(template, GuardTemplate):
        return GuardAsker(tokenizer, template, longest, tuple(labels))
    if isinstance(template, RewardTemplate):
        return RewardAsker(tokenizer, template, longest)
    if isinstance(template, ScoreTemplate):
        return ScoreAsker(tokenizer, template, tuple(labels), longest)
    return Asker(tokenizer, template, tuple(labels), longest)


def fitting(
    asker: AnyAsker, pairs: Sequence[Pair], which: str = "prompts that a bundle is verified on"
) -> list[Pair]:  # fmt: skip
    """The pairs that the model's context holds. Raises ExportError where it holds none of ``which``."""
    found = [p for p in pairs if max(map(len, asker.prompts(p))) <= asker.longest]
    if not found:
        raise ExportError(
            f"the model's context of {asker.longest:,} tokens holds none of the {which}"
            f" with the template {asker.template.name}; show fewer examples (--shots) or shorten its head"
        )
    return found


def longest_pair(asker: AnyAsker, pairs: Sequence[Pair]) -> Pair:
    """The responses of the first of ``pairs`` to an instruction, of words of all of them, that fills the context."""
    words = " ".join(text for p in pairs for text in (p.instruction, p.response_0, p.response_1)).split()
    words *= 1 + asker.longest // len(words)

    def of(count: int) -> Pair:
        return Pair(" ".join(words[:count]), pairs[0].response_0, pairs[0].response_1)

    fits, beyond = 1, len(words) + 1  # in words
    while beyond - fits > 1:
        middle = (fits + beyond) // 2
        if max(map(len, asker.prompts(of(middle)))) <= asker.longest:
            fits = middle
        else:
            beyond = middle
    return of(fits)


_LONGEST_ENDING = 16


def common_ending(prompts: Sequence[Sequence[int]]) -> int:
    """How many last tokens ``prompts`` have in common: of a template, what stands behind the last response.

    At least one, the judged token, unless there are no prompts.
    """
    length = 0
    for tokens in zip(*(reversed(p) for p in prompts), strict=False):
        if len(set(tokens)) > 1 or length == _LONGEST_ENDING:
            break
        length += 1
    return max(length, min(1, len(prompts)))

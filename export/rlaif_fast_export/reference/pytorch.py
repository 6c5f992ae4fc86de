"""The oracle: PyTorch's own answer to a prompt, by the seed notebook's method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rlaif_fast.errors import ExportError
from rlaif_fast.judging.rating import rating_of
from rlaif_fast.prompts.score_template import ScoreTemplate, answers_of
from rlaif_fast.prompts.template import Template
from rlaif_fast.prompts.tokenizer import PromptTokenizer
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.rows.samples import Sample


def reference_log_odds(
    lm: Any, prompts: Sequence[Sequence[int]], label_ids: tuple[int, int]
) -> npt.NDArray[np.float64]:
    """log(p1/p2) [n] of token sequences: a whole forward pass each, last position, no cache, no packing.

    The two label tokens' log-odds are the difference of their logits, whatever the rest of the
    vocabulary holds.
    """
    first, second = label_ids
    found = []
    with torch.inference_mode():
        for ids in prompts:
            logits = lm(input_ids=torch.tensor([list(ids)]), use_cache=False, logits_to_keep=1).logits[0, -1]
            found.append(float(logits[first].double() - logits[second].double()))
    return np.array(found)


@dataclass
class Asker:
    """Puts pairs to a model the way a bundle will: one template, one tokenizer, both orders."""

    tokenizer: PromptTokenizer
    template: Template
    label_ids: tuple[int, int]
    longest: int  # tokens a prompt may have

    def prompts(self, pair: Pair) -> list[list[int]]:
        """Token ids, forward and swapped."""
        shown = (pair.response_0, pair.response_1), (pair.response_1, pair.response_0)
        return [self.tokenizer.encode(self.template.render(pair.instruction, *texts)) for texts in shown]

    def fitting(self, pairs: Sequence[Pair]) -> list[Pair]:
        """Those the model's context holds. Raises ExportError where it holds none."""
        return _fitting(self, pairs)

    def ask(
        self, lm: Any, pairs: Sequence[Pair], tick: Callable[[float], None]
    ) -> npt.NDArray[np.float64]:  # fmt: skip
        """Log-odds of response_0 [pairs, 2]: shown first, then second."""
        answers = []
        for number, pair in enumerate(pairs):
            tick(number / len(pairs))
            answers.append(reference_log_odds(lm, self.prompts(pair), self.label_ids))
        return np.array(answers) * [1, -1]


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

    def fitting(self, pairs: Sequence[Pair]) -> list[Pair]:
        """As :meth:`Asker.fitting`."""
        return _fitting(self, pairs)

    def ask(self, lm: Any, pairs: Sequence[Pair], tick: Callable[[float], None]) -> npt.NDArray[np.float64]:
        """Expected scores [pairs, 2] of the two responses, 1 to 10."""
        found = []
        for number, pair in enumerate(pairs):
            tick(number / len(pairs))
            found.append([self._rating(lm, pair, response) for response in (pair.response_0, pair.response_1)])
        return np.array(found)

    def _answers(self, pair: Pair, response: str) -> list[list[int]]:
        prompt = self.tokenizer.encode(self.template.render(pair.instruction, response))
        return answers_of(prompt, self.template, self.label_ids)

    def _rating(self, lm: Any, pair: Pair, response: str) -> float:
        found = reference_log_probabilities(lm, self._answers(pair, response), self.label_ids)
        return rating_of(Sample(pair.instruction, response), found).rating


def reference_log_probabilities(
    lm: Any, prompts: Sequence[Sequence[int]], label_ids: Sequence[int]
) -> npt.NDArray[np.float64]:
    """Natural log-probabilities [n, L] of the next token, over the whole vocabulary, a whole forward pass each."""
    found = []
    with torch.inference_mode():
        for ids in prompts:
            logits = lm(input_ids=torch.tensor([list(ids)]), use_cache=False, logits_to_keep=1).logits[0, -1]
            found.append(torch.log_softmax(logits.double(), -1)[list(label_ids)].numpy())
    return np.array(found)


def _fitting(asker: Asker | ScoreAsker, pairs: Sequence[Pair]) -> list[Pair]:
    found = [p for p in pairs if max(map(len, asker.prompts(p))) <= asker.longest]
    if not found:
        raise ExportError(
            f"the model's context of {asker.longest:,} tokens holds none of the prompts that a bundle is verified on"
            f" with the template {asker.template.name}; show fewer examples (--shots) or shorten its head"
        )
    return found


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

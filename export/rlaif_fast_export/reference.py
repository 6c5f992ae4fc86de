"""The oracle: PyTorch's own answer to a prompt, by the seed notebook's method."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from rlaif_fast.errors import ExportError
from rlaif_fast.pairs import Pair
from rlaif_fast.template import Template
from rlaif_fast.tokens import PromptTokenizer


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


def in_bfloat16(lm: Any) -> Any:
    """A copy of ``lm`` with bfloat16 parameters, made one by one; the buffers stay as they are."""
    done = {id(p): nn.Parameter(p.detach().bfloat16(), requires_grad=False) for p in lm.parameters()}
    return copy.deepcopy(lm, dict(done))


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
        found = [p for p in pairs if max(map(len, self.prompts(p))) <= self.longest]
        if not found:
            raise ExportError(
                f"the model's context of {self.longest:,} tokens holds none of the prompts that a bundle is verified on"
                f" with the template {self.template.name}; show fewer examples (--shots) or shorten its head"
            )
        return found

    def ask(
        self, lm: Any, pairs: Sequence[Pair], tick: Callable[[float], None]
    ) -> npt.NDArray[np.float64]:  # fmt: skip
        """Log-odds of response_0 [pairs, 2]: shown first, then second."""
        answers = []
        for number, pair in enumerate(pairs):
            tick(number / len(pairs))
            answers.append(reference_log_odds(lm, self.prompts(pair), self.label_ids))
        return np.array(answers) * [1, -1]


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

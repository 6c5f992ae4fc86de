"""What the products of a model are fed on real prompts, and how much their errors matter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from rlaif_fast_export.int8.gradients import backward, gradient_of, recorded
from rlaif_fast_export.int8.products import Group
from rlaif_fast_export.trace import LabelJudge
from rlaif_fast_export.weights import Weights

_FLOOR = 0.3  # of a token's weight is the same for all: no token is worth nothing


@dataclass
class Observed:
    """What one group was fed, the baked prefix left out: its tokens never pass an int8 product.

    The sum over tokens weighs each by how much an error there moves the verdict: the squared gradient
    at the group's output. Most of it lies on a prompt's last tokens, three quarters on the five of
    the ending (docs/performance.md).
    """

    largest: torch.Tensor  # float32 [K]: of |x|
    gram: torch.Tensor  # float32 [K, K]: the sum of outer(x, x)


def observe(
    judge: LabelJudge, weights: Weights, groups: Sequence[Group], prompts: Sequence[Sequence[int]], prefix: int,
    tick: Callable[[float], None],
) -> tuple[dict[str, Observed], list[float]]:  # fmt: skip
    """What every group is fed on ``prompts``, by name; and the model's own log-odds of each prompt."""
    seen: dict[str, Observed] = {}
    answers = []
    modules = {p.module for g in groups for p in g.pieces}
    for number, prompt in enumerate(prompts):
        tick(number / len(prompts))
        with recorded(judge, weights, modules) as (fed, gradients):
            answers.append(backward(judge, prompt))
        with torch.inference_mode():
            for group in groups:
                x = fed[group.probe][prefix:]
                weight = gradient_of(group, gradients)[prefix:].square().sum(1)  # [tokens]
                weight = (1 - _FLOOR) * weight / weight.mean().clamp(min=1e-30) + _FLOOR
                if group.name not in seen:
                    width = x.shape[1]
                    seen[group.name] = Observed(torch.zeros(width), torch.zeros(width, width))
                so_far = seen[group.name]
                so_far.largest = torch.maximum(so_far.largest, x.abs().amax(0))
                so_far.gram.addmm_((x * weight[:, None]).T, x)
    return seen, answers

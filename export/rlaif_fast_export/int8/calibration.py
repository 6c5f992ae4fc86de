"""What the products of a model are fed on real prompts, and how much their errors matter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from rlaif_fast_export.graph.trace import LabelJudge
from rlaif_fast_export.graph.weights import Weights
from rlaif_fast_export.int8.gradients import backward, gradient_of, recorded
from rlaif_fast_export.int8.products import Group

_FLOOR = 0.3  # of a token's weight is the same for all: no token is worth nothing


@dataclass
class Observed:
    """What one group was fed, the baked prefix left out: its tokens never pass an int8 product."""

    largest: torch.Tensor  # float32 [K]: of |x|
    gram: torch.Tensor  # float32 [K, K]: the sum of outer(x, x), each token weighed by its worth


def token_worth(
    judge: LabelJudge, weights: Weights, groups: Sequence[Group], prompts: Sequence[Sequence[int]], prefix: int,
    tick: Callable[[float], None],
) -> tuple[list[dict[str, torch.Tensor]], list[float]]:  # fmt: skip
    """How much an error at each token moves the verdict, by prompt and group; and the model's log-odds of each prompt.

    A token's worth, float32 [tokens behind the prefix], is the squared gradient at the group's output, its mean 1.
    Most of it lies on a prompt's last tokens, three quarters on the five of the ending (docs/performance.md).
    """
    found, answers = [], []
    modules = {p.module for g in groups for p in g.pieces}
    for number, prompt in enumerate(prompts):
        tick(number / len(prompts))
        with recorded(judge, weights, modules) as (_, gradients):
            answers.append(backward(judge, prompt))
        with torch.inference_mode():
            squares = {g.name: gradient_of(g, gradients)[prefix:].square().sum(1) for g in groups}
            found.append({n: (1 - _FLOOR) * s / s.mean().clamp(min=1e-30) + _FLOOR for n, s in squares.items()})
    return found, answers


def observe(
    judge: LabelJudge, weights: Weights, groups: Sequence[Group], prompts: Sequence[Sequence[int]],
    worth: Sequence[Mapping[str, torch.Tensor]], prefix: int, tick: Callable[[float], None],
) -> dict[str, Observed]:  # fmt: skip
    """What ``groups`` are fed on ``prompts``, by name. A pass ends behind the last of them."""
    seen: dict[str, Observed] = {}

    def take(group: Group, x: torch.Tensor, worth: torch.Tensor) -> None:
        if group.name not in seen:
            width = x.shape[1]
            seen[group.name] = Observed(torch.zeros(width), torch.zeros(width, width))
        so_far = seen[group.name]
        so_far.largest = torch.maximum(so_far.largest, x.abs().amax(0))
        so_far.gram.addmm_((x * worth[:, None]).T, x)

    for number, (prompt, of_prompt) in enumerate(zip(prompts, worth, strict=True)):
        tick(number / len(prompts))
        with torch.inference_mode(), _fed(weights, groups, lambda g, x: take(g, x[prefix:], of_prompt[g.name])):  # noqa: B023
            judge.log_odds(prompt)
    return seen


class _Enough(Exception):
    """Every group was fed."""


@contextmanager
def _fed(weights: Weights, groups: Sequence[Group], take: Callable[[Group, torch.Tensor], None]) -> Iterator[None]:
    """Gives the input [tokens, K] of every group to ``take`` in the pass run inside, and ends that pass."""
    left = len(groups)

    def watch(group: Group) -> Callable[..., None]:
        def hook(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            nonlocal left
            take(group, inputs[0][0])
            left -= 1
            if not left:
                raise _Enough

        return hook

    hooks = [weights.module(group.probe).register_forward_pre_hook(watch(group)) for group in groups]
    try:
        yield
    except _Enough:
        pass
    finally:
        for hook in hooks:
            hook.remove()

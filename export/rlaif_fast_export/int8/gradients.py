"""The gradient of the verdict at every product of a model, one backward pass a prompt."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch

from rlaif_fast_export.graph.trace import LabelJudge
from rlaif_fast_export.graph.weights import Weights
from rlaif_fast_export.int8.products import Group


def backward(judge: LabelJudge, prompt: Sequence[int]) -> float:
    """log(p1/p2) of a prompt; its gradients go to whoever recorded them."""
    with torch.enable_grad():
        log_odds = judge.log_odds(prompt)
        log_odds.backward()
    return float(log_odds.detach())


def gradient_of(group: Group, gradients: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """[tokens, N] at the outputs of a group's pieces, side by side."""
    parts = [(gradients[p.module], p.rows) for p in group.pieces]
    return torch.cat([g if rows is None else g[:, torch.tensor(rows)] for g, rows in parts], 1)


@contextmanager
def recorded(
    judge: LabelJudge, weights: Weights, modules: Collection[str]
) -> Iterator[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]]:
    """Inputs [tokens, K] and output gradients [tokens, N] of the modules, in the pass run inside."""
    fed: dict[str, torch.Tensor] = {}
    gradients: dict[str, torch.Tensor] = {}

    def watch(name: str) -> Callable[..., None]:
        def hook(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            fed[name] = inputs[0].detach()[0]
            output.register_hook(lambda gradient: gradients.__setitem__(name, gradient.detach()[0]))

        return hook

    def start(_: torch.nn.Module, __: object, output: torch.Tensor) -> None:
        output.requires_grad_(True)

    wanted = [p for p in judge.parameters() if p.requires_grad]
    hooks = [weights.module(name).register_forward_hook(watch(name)) for name in modules]
    hooks.append(judge.base.get_input_embeddings().register_forward_hook(start))
    try:
        for parameter in wanted:
            parameter.requires_grad_(False)
        yield fed, gradients
    finally:
        for hook in hooks:
            hook.remove()
        for parameter in wanted:
            parameter.requires_grad_(True)

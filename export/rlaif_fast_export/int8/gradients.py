"""What the products of a block are fed, and the gradient of the verdict behind them, one backward pass a prompt."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch

from rlaif_fast_export.graph.weights import Weights
from rlaif_fast_export.int8.products import Group
from rlaif_fast_export.reference.blockwise import Blockwise, Prompt


@dataclass
class Record:
    """Of one pass.

    Attributes:
        fed: inputs [tokens, K] by module.
        gradients: of the verdict, log(p1/p2), at the outputs [tokens, N] by module, once the pass was gone backward.
        before: of the verdict at the inputs [tokens, K], through everything that the same tensor is fed to.
    """

    fed: dict[str, torch.Tensor] = field(default_factory=dict)
    gradients: dict[str, torch.Tensor] = field(default_factory=dict)
    before: dict[str, torch.Tensor] = field(default_factory=dict)

    def gradient_of(self, group: Group) -> torch.Tensor:
        """[tokens, N] at the outputs of a group's pieces, side by side."""
        parts = [(self.gradients[p.module], p.rows) for p in group.pieces]
        return torch.cat([g if rows is None else g[:, torch.tensor(rows)] for g, rows in parts], 1)


@dataclass(frozen=True)
class Behind:
    """Behind the last block.

    Attributes:
        log_odds: log(p1/p2) by prompt.
        gradients: of it, [1, tokens, D].
    """

    log_odds: dict[Prompt, float]
    gradients: dict[Prompt, torch.Tensor]


def gradients_behind(
    model: Blockwise, prompts: Sequence[Prompt], log_odds: Callable[[Prompt, torch.Tensor], torch.Tensor]
) -> Behind:
    """Of ``prompts`` that went through all blocks; ``log_odds`` is that of a prompt's last logits [V]."""
    found = Behind({}, {})
    with model.ending() as logits:
        for prompt in prompts:
            hidden = prompt.hidden.detach().requires_grad_(True)
            with torch.enable_grad():
                answer = log_odds(prompt, logits(prompt, hidden))
                answer.backward()
            assert hidden.grad is not None
            found.log_odds[prompt], found.gradients[prompt] = float(answer.detach()), hidden.grad
    return found


def _keep(gradients: dict[str, torch.Tensor], name: str, gradient: torch.Tensor) -> None:
    gradients[name] = gradient.detach()[0]


@contextmanager
def recorded(weights: Weights, modules: Collection[str]) -> Iterator[Callable[[], Record]]:
    """Within: a function that begins a record of ``modules`` for the passes of the thread that calls it."""
    own = threading.local()

    def begin() -> Record:
        own.record = Record()
        return own.record

    def watch(name: str) -> Callable[..., None]:
        def hook(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            record: Record = own.record
            record.fed[name] = inputs[0].detach()[0]
            for tensor, gradients in ((output, record.gradients), (inputs[0], record.before)):
                if tensor.requires_grad:
                    tensor.register_hook(partial(_keep, gradients, name))

        return hook

    hooks = [weights.module(name).register_forward_hook(watch(name)) for name in modules]
    try:
        yield begin
    finally:
        for hook in hooks:
            hook.remove()

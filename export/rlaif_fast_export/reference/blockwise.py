"""A causal LM run a block at a time: every prompt passes a block before the next block is touched.

So the model's weights can stay in their files, in the precision they are stored in: one block of them is in float32 at
a time. The model's own classes compute everything; while its first or its last part runs, something stands in for its
blocks that notes what they are given, or hands on what came out of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from rlaif_fast_export.reference.bfloat16 import has_bfloat16, quick_products, weights_of_products
from rlaif_fast_export.reference.workers import at_once
from rlaif_fast_export.sources.mapped import Mapped


def decoder_of(lm: Any) -> Any:
    """The model without its head. (``base_model`` is the whole model for Gemma 3.)"""
    parts = [m for m in lm.children() if m is not lm.get_output_embeddings()]
    if len(parts) != 1:
        raise TypeError(f"{type(lm).__name__} is not a decoder and a head")
    return parts[0]


class _Noted(Exception):
    """The first block was called."""


@dataclass(eq=False)
class Prompt:
    """A prompt on its way through the model.

    Attributes:
        ids: its tokens.
        hidden: what the next block is fed, [1, tokens, D].
    """

    ids: Sequence[int]
    hidden: torch.Tensor
    given: list[tuple[tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)  # beside it, a block each


class Blockwise:
    """A model whose blocks are called one by one, in ``dtype``. Its parameters need no gradients.

    Attributes:
        lm: the model.
        blocks: its own.
        parameters: how many it has.
    """

    def __init__(self, lm: Any, mapped: Mapped, dtype: torch.dtype = torch.float32) -> None:
        self.lm, self._mapped, self._dtype = lm, mapped, dtype
        self._decoder = decoder_of(lm)
        self.parameters = sum(p.numel() for p in lm.parameters())
        depth = lm.config.num_hidden_layers
        lists = [m for m in self._decoder.children() if isinstance(m, nn.ModuleList) and len(m) == depth]
        if len(lists) != 1:
            raise TypeError(f"{type(lm).__name__} is no stack of {depth} blocks")
        self.blocks: list[Any] = list(lists[0])
        inside = {id(p) for block in self.blocks for p in block.parameters()}
        self._outside = [p for p in lm.parameters() if id(p) not in inside]
        self._tuple = self._answers_tuple()  # whether a block's output is the first of several

    def start(self, sequences: Iterable[Sequence[int]], **more: Any) -> list[Prompt]:
        """Token sequences as the first block is fed them; ``more`` is for the decoder."""
        prompts: list[Prompt] = []

        def note(hidden: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            if not prompts[-1].given:
                prompts[-1].hidden = hidden
            prompts[-1].given.append((args, kwargs))
            return self._output(hidden)

        with self._in_dtype(self._outside), self._standing_in(note), torch.no_grad():
            for ids in sequences:
                prompts.append(Prompt(ids, torch.empty(0)))
                self._decoder(input_ids=torch.tensor([list(ids)]), **{"use_cache": False, **more})
        return prompts

    @contextmanager
    def block(self, index: int) -> Iterator[Callable[[Prompt, torch.Tensor], torch.Tensor]]:
        """Within: block ``index`` as a function of a prompt and of what it is fed, [1, tokens, D] -> the same."""
        block = self.blocks[index]

        def call(prompt: Prompt, hidden: torch.Tensor) -> torch.Tensor:
            args, kwargs = prompt.given[index]
            with self._products():
                found = block(hidden, *args, **kwargs)
            return found[0] if self._tuple else found

        with self._in_dtype(list(block.parameters()), weights_of_products(block)):
            yield call

    def through(
        self, prompts: Sequence[Prompt], tick: Callable[[float], None],
        fed: Callable[[int, Prompt], None] | None = None,
    ) -> None:  # fmt: skip
        """Take ``prompts`` through all blocks; ``fed`` is called with a block's number and each prompt it is fed."""
        for index in range(len(self.blocks)):
            tick(index / len(self.blocks))
            with self.block(index) as block, at_once() as each:

                def step(prompt: Prompt) -> None:
                    with torch.no_grad():
                        prompt.hidden = block(prompt, prompt.hidden)

                if fed is not None:
                    for prompt in prompts:
                        fed(index, prompt)
                each(step, prompts)

    @contextmanager
    def ending(self) -> Iterator[Callable[[Prompt, torch.Tensor], torch.Tensor]]:
        """Within: the model's last logits [V] of a prompt, as a function of what the last block gave."""
        handed: list[torch.Tensor] = []

        def hand_on(*_: Any, **__: Any) -> Any:
            return self._output(handed[-1])

        def logits(prompt: Prompt, hidden: torch.Tensor) -> torch.Tensor:
            handed[:] = [hidden]
            ids = torch.tensor([list(prompt.ids)])
            with self._products():
                found: torch.Tensor = self.lm(input_ids=ids, use_cache=False, logits_to_keep=1).logits[0, -1]
            return found

        with self._in_dtype(self._outside), self._standing_in(hand_on):
            yield logits

    def _products(self) -> AbstractContextManager[None]:
        return quick_products() if self._dtype == torch.bfloat16 else nullcontext()

    def _output(self, hidden: torch.Tensor) -> Any:
        return (hidden,) if self._tuple else hidden

    def _answers_tuple(self) -> bool:
        first = self.blocks[0]
        given: list[Any] = []

        def note(*args: Any, **kwargs: Any) -> Any:
            given.extend((args, kwargs))
            raise _Noted

        with self._in_dtype(self._outside), self._standing_in(note), torch.no_grad(), suppress(_Noted):
            self._decoder(input_ids=torch.tensor([[0, 1]]), use_cache=False)
        with self._in_dtype(list(first.parameters())), torch.no_grad():
            return isinstance(first(*given[0], **given[1]), tuple)

    @contextmanager
    def _standing_in(self, forward: Callable[..., Any]) -> Iterator[None]:
        try:
            for block in self.blocks:
                block.forward = forward
            yield
        finally:
            for block in self.blocks:
                block.__dict__.pop("forward", None)

    @contextmanager
    def _in_dtype(self, parameters: Sequence[nn.Parameter], of_products: Sequence[torch.Tensor] = ()) -> Iterator[None]:
        """``parameters`` in the dtype; ``of_products``, some of them, as quick products take them."""
        stored = [(p, p.data) for p in parameters]
        try:
            for parameter, value in stored:
                parameter.data = value.to(self._dtype)
            if self._dtype == torch.bfloat16 and not has_bfloat16():
                for weight in of_products:
                    weight.data = weight.data.float()
            yield
        finally:
            for parameter, value in stored:
                parameter.data = value
            self._mapped.let_go()

"""A model run a block at a time: every prompt passes a block before the next block is touched.

So the model's weights can stay in their files, in the precision they are stored in: one block of them is in float32 at
a time. The model's own classes compute everything; while its first or its last part runs, something stands in for its
blocks that notes what they are given, or hands on what came out of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn
from transformers import DynamicCache

from rlaif_fast_export.reference.bfloat16 import has_bfloat16, quick_products, weights_of_products
from rlaif_fast_export.reference.workers import at_once
from rlaif_fast_export.sources.heads import head_of, last_logits
from rlaif_fast_export.sources.mapped import Mapped


def decoder_of(lm: Any) -> Any:
    """The model without its head. (``base_model`` is the whole model for Gemma 3.)"""
    parts = [m for m in lm.children() if m is not head_of(lm)]
    if len(parts) != 1:
        raise TypeError(f"{type(lm).__name__} is not a decoder and a head")
    return parts[0]


class Cache(DynamicCache):
    """Keys and values. Hybrid classes ask for more; none of their layers is recurrent here."""

    has_previous_state = True


class _Own:
    """A prompt's keys and values in the block that it passed last."""

    def __init__(self, cache: DynamicCache | None = None) -> None:
        self._cache = Cache() if cache is None else cache

    def begin(self, _: int) -> DynamicCache:
        """For the next block to add to."""
        self._cache = Cache()
        return self._cache

    def behind(self, other: _Own, length: int, index: int) -> DynamicCache:
        """For block ``index`` to add to, behind the first ``length`` tokens of ``other``."""
        self._cache = other.first_tokens(length, index)
        return self._cache

    def first_tokens(self, length: int, index: int) -> DynamicCache:
        """Those of the first ``length`` tokens in block ``index``, for one pass to add to."""
        layer, found = self._cache.layers[index], Cache()
        found.update(layer.keys[:, :, :length], layer.values[:, :, :length], index)
        return found


def _behind(past: DynamicCache) -> dict[str, Any]:
    return {"past_key_values": past, "use_cache": True}


def _in_common(a: Sequence[int], b: Sequence[int]) -> int:
    """How many first tokens are the same."""
    return next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


class _Noted(Exception):
    """The first block was called."""


@dataclass(eq=False)
class Prompt:
    """A prompt on its way through the model.

    Attributes:
        ids: its tokens.
        hidden: what the next block is fed, [1, tokens, D].
        past: where blocks are fed its last tokens only: the others' keys and values in a block.
        followers: they begin as this one does; blocks are fed the rest.
    """

    ids: Sequence[int]
    hidden: torch.Tensor
    given: list[tuple[tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)  # beside it, a block each
    past: Callable[[int], DynamicCache] | None = None
    followers: list[Prompt] = field(default_factory=list)


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
        return self._start([(ids, more) for ids in sequences])

    def start_together(
        self, groups: Sequence[Sequence[Sequence[int]]], kept: DynamicCache | None = None
    ) -> list[Prompt]:
        """The first sequence of each group, whole, with the others as its followers.

        What a follower has in common with one before it is computed once, as transformers does it when it generates
        text: it is fed the rest, behind the keys and values of the one with which it has most.

        ``kept``: takes the keys and values of the very first sequence in all blocks.
        """
        asked: list[tuple[Sequence[int], dict[str, Any]]] = []
        behind: list[list[tuple[int, int]]] = []  # of each group's others: which one they are behind, and how far
        for group in groups:
            behind.append([])
            asked.append((group[0], _behind(Cache() if kept is None or asked else kept)))
            for number, ids in enumerate(group[1:], 1):
                common = [min(_in_common(other, ids), len(ids) - 1) for other in group[:number]]
                behind[-1].append((max(range(number), key=common.__getitem__), max(common)))
                asked.append((ids[max(common) :], _behind(self._tokens(max(common)))))
        leads: list[Prompt] = []
        started = iter(self._start(asked))
        for group, places in zip(groups, behind, strict=True):
            lead, keeps = next(started), kept is not None and not leads
            owns = [_Own(kept if keeps else None)]
            lead.past = None if keeps else owns[0].begin
            for ids, (which, length) in zip(group[1:], places, strict=True):
                follower = next(started)
                owns.append(_Own())
                follower.ids, follower.past = ids, partial(owns[-1].behind, owns[which], length)
                lead.followers.append(follower)
            leads.append(lead)
        return leads

    def cut(self, prompts: Sequence[Prompt], past: DynamicCache) -> None:
        """Have blocks be fed only those tokens of ``prompts`` that stand behind ``past``, which is not added to."""
        length = past.get_seq_length()
        behind = self._start([(prompt.ids[length:], _behind(past)) for prompt in prompts])
        for prompt, started in zip(prompts, behind, strict=True):
            prompt.hidden, prompt.given = prompt.hidden[:, length:], started.given
            prompt.past = partial(_Own(past).first_tokens, length)

    @contextmanager
    def block(self, index: int) -> Iterator[Callable[[Prompt, torch.Tensor], torch.Tensor]]:
        """Within: block ``index`` as a function of a prompt and of what it is fed, [1, tokens, D] -> the same."""
        block = self.blocks[index]

        def call(prompt: Prompt, hidden: torch.Tensor) -> torch.Tensor:
            args, kwargs = prompt.given[index]
            if prompt.past is not None:
                past = prompt.past(index)
                args = tuple(past if isinstance(value, DynamicCache) else value for value in args)
                kwargs = {n: past if isinstance(value, DynamicCache) else value for n, value in kwargs.items()}
            with self._products():
                found = block(hidden, *args, **kwargs)
            return found[0] if self._tuple else found

        with self._in_dtype(list(block.parameters()), weights_of_products(block)):
            yield call

    def through(
        self, prompts: Sequence[Prompt], tick: Callable[[float], None],
        fed: Callable[[int, Prompt], None] | None = None,
    ) -> None:  # fmt: skip
        """Take ``prompts`` and their followers through all blocks.

        ``fed`` is called with a block's number and each of ``prompts`` it is fed.
        """
        for index in range(len(self.blocks)):
            tick(index / len(self.blocks))
            with self.block(index) as block, at_once() as each:

                def step(prompt: Prompt) -> None:
                    with torch.no_grad():
                        for one in (prompt, *prompt.followers):
                            one.hidden = block(one, one.hidden)

                if fed is not None:
                    for prompt in prompts:
                        fed(index, prompt)
                each(step, prompts)

    @contextmanager
    def ending(self) -> Iterator[Callable[[Prompt, torch.Tensor], torch.Tensor]]:
        """Within: the model's last logits of a prompt, as a function of the end of what the last block gave.

        [V], or a reward model's [1].
        """
        handed: list[torch.Tensor] = []

        def hand_on(*_: Any, **__: Any) -> Any:
            return self._output(handed[-1])

        def logits(prompt: Prompt, hidden: torch.Tensor) -> torch.Tensor:
            handed[:] = [hidden]
            ids = torch.tensor([list(prompt.ids)[-hidden.shape[1] :]])  # they give the shape alone
            with self._products():
                return last_logits(self.lm, ids)

        with self._in_dtype(self._outside), self._standing_in(hand_on):
            yield logits

    def _start(self, asked: Sequence[tuple[Sequence[int], dict[str, Any]]]) -> list[Prompt]:
        prompts: list[Prompt] = []

        def note(hidden: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            if not prompts[-1].given:
                prompts[-1].hidden = hidden
            prompts[-1].given.append((args, kwargs))
            return self._output(hidden)

        with self._in_dtype(self._outside), self._standing_in(note), torch.no_grad():
            for ids, more in asked:
                prompts.append(Prompt(ids, torch.empty(0)))
                self._decoder(input_ids=torch.tensor([list(ids)]), **{"use_cache": False, **more})
        return prompts

    def _tokens(self, length: int) -> DynamicCache:
        """A past of so many tokens, by which the decoder makes positions and masks."""
        cache, nothing = Cache(), torch.zeros(1, 1, length, 1)
        for index in range(len(self.blocks)):
            cache.update(nothing, nothing, index)
        return cache

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

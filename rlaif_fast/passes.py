"""Forward passes: the prompts of many items in, label logits out, with what begins alike computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from rlaif_fast.bundle import Bundle
from rlaif_fast.engines import Engine
from rlaif_fast.packing import pack
from rlaif_fast.planning import alike, plan

_TREE_LIMIT = 4096  # new tokens of a tree of several items; its bias takes 4 * S * (P + S) bytes


class Item(Protocol):
    """What is judged: items on one instruction may share a pass."""

    @property
    def instruction(self) -> str: ...


T = TypeVar("T", bound=Item)


class Passes:
    """A bundle's graph at work."""

    def __init__(self, bundle: Bundle, engine: Engine, rounds: bool = False) -> None:
        """``rounds``: the engine rounds more than the bundle does, see :class:`Variant`."""
        self._bundle, self._engine = bundle, engine
        self._exact = bundle.manifest.precision == "fp32" and not rounds

    def logits(self, sequences: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """Label logits [n, L] behind token sequences, packed into one tree."""
        manifest = self._bundle.manifest
        logits = self._engine.run(pack(sequences, manifest.prefix_ids, manifest.ending))
        self._bundle.verified()
        return logits

    def of_window(
        self, window: Sequence[T], prompts: Callable[[T], list[list[int]]], done: int = 0
    ) -> Iterator[tuple[T, npt.NDArray[np.float32]]]:
        """Items in order, each with the label logits [n, L] of its n prompts.

        Args:
            prompts: an item's token sequences, the same number for each.
            done: items at the beginning that are passed over; the others are computed in the same company.
        """
        manifest = self._bundle.manifest
        limit = min(_TREE_LIMIT, manifest.maximum_tree)
        ready: dict[int, npt.NDArray[np.float32]] = {}
        for places in self._together(window):
            if places[-1] < done:
                continue
            sequences = [prompts(window[place]) for place in places]
            for group in plan(sequences, manifest.prefix_ids, manifest.cost, limit, manifest.ending):
                if places[group.members[-1]] < done:
                    continue
                if group.tree.tokens > limit:  # one item, whose prompts together would take too much memory
                    (alone,) = group.members
                    trees = [pack([tokens], manifest.prefix_ids, manifest.ending) for tokens in sequences[alone]]
                else:
                    trees = [group.tree.build()]
                logits = np.concatenate([self._engine.run(tree) for tree in trees])
                self._bundle.verified()
                for member, found in zip(group.members, np.split(logits, len(group.members)), strict=True):
                    if places[member] >= done:
                        ready[places[member]] = found
            while done in ready:
                yield window[done], ready.pop(done)
                done += 1

    def _together(self, window: Sequence[T]) -> list[list[int]]:
        """Which items may share a pass: those on one instruction, in float32.

        The last bit of a float32 sum depends on what else is in the pass. Behind it, int8 or bfloat16 rounds
        some value the other way, and a few layers on that is as large as the rounding error itself: such a
        verdict is the same among any neighbours because each pair has its pass alone.
        """
        if self._exact:
            return alike(item.instruction for item in window)
        return [[place] for place in range(len(window))]

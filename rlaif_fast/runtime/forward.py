"""Forward passes: the prompts of many items in, label logits out, with what begins alike computed once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from rlaif_fast.bundle.folder import Bundle
from rlaif_fast.bundle.manifest import Manifest
from rlaif_fast.errors import JudgeError
from rlaif_fast.runtime import memory
from rlaif_fast.runtime.engines import Engine
from rlaif_fast.runtime.packing import PackedTree, pack
from rlaif_fast.runtime.planning import alike, plan

_TREE_BYTES = 1_000_000_000  # of a pass over several prompts, beside the weights


class Item(Protocol):
    """What is judged: items on one instruction may share a pass."""

    @property
    def instruction(self) -> str: ...


T = TypeVar("T", bound=Item)


class ForwardPasses:
    """A bundle's graph at work."""

    def __init__(self, bundle: Bundle, engine: Engine, rounds: bool = False) -> None:
        """``rounds``: the engine rounds more than the bundle does, see :class:`Variant`."""
        self._bundle, self._engine = bundle, engine
        self._exact = bundle.manifest.precision == "fp32" and not rounds
        self._held = 0  # bytes the runtime keeps from its largest pass

    def logits(self, sequences: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """Label logits [n, L] behind token sequences, packed into one tree."""
        return self._run([self._packed(sequences)], "the prompts")

    def of_window(
        self, window: Sequence[T], prompts: Callable[[T], list[list[int]]], done: int = 0
    ) -> Iterator[tuple[T, npt.NDArray[np.float32]]]:
        """Items in order, each with the label logits [n, L] of its n prompts.

        Args:
            prompts: an item's token sequences, the same number for each.
            done: items at the beginning that are passed over; the others are computed in the same company.

        Raises:
            JudgeError: the runtime failed, or an item's pass would take more memory than there is.
        """
        manifest, limit = self._bundle.manifest, largest_tree(self._bundle.manifest)
        ready: dict[int, npt.NDArray[np.float32]] = {}
        for places in self._together(window):
            if places[-1] < done:
                continue
            sequences = (prompts(window[place]) for place in places)
            for group in plan(sequences, manifest.prefix_ids, manifest.cost, limit, manifest.ending):
                members = [places[member] for member in group.members]
                if members[-1] < done:
                    continue
                item = window[members[0]]
                if group.tree.tokens > limit:  # one item, whose prompts together would take too much memory
                    trees: Iterable[PackedTree] = (self._packed([tokens]) for tokens in prompts(item))
                else:
                    trees = [group.tree.build()]
                logits = self._run(trees, str(item))
                for place, found in zip(members, np.split(logits, len(members)), strict=True):
                    if place >= done:
                        ready[place] = found
            while done in ready:
                yield window[done], ready.pop(done)
                done += 1

    def _packed(self, sequences: Sequence[Sequence[int]]) -> PackedTree:
        return pack(sequences, self._bundle.manifest.prefix_ids, self._bundle.manifest.ending)

    def _run(self, trees: Iterable[PackedTree], what: str) -> npt.NDArray[np.float32]:
        """The logits of all trees; ``what`` they are of, for messages."""
        logits = []
        for tree in trees:
            wanted = memory.of_pass(self._bundle.manifest, tree.tokens)
            if wanted > self._held:
                memory.require(wanted - self._held, f"{what}: a pass of {tree.tokens:,} tokens")
            logits.append(self._engine.run(tree))
            self._held = max(self._held, wanted)
        self._bundle.verified()
        found, labels = np.concatenate(logits), len(self._bundle.manifest.label_ids)
        if found.shape[1] != labels:
            raise JudgeError(f"the graph answers {found.shape[1]} logits a prompt, the manifest names {labels} labels")
        return found

    def _together(self, window: Sequence[T]) -> list[list[int]]:
        """Which items may share a pass: those on one instruction, in float32.

        The last bit of a float32 sum depends on what else is in the pass. Behind it, int8 or bfloat16 rounds
        some value the other way, and a few layers on that is as large as the rounding error itself: such a
        verdict is the same among any neighbours because each pair has its pass alone.
        """
        if self._exact:
            return alike(item.instruction for item in window)
        return [[place] for place in range(len(window))]


def largest_tree(manifest: Manifest) -> int:
    """Most new tokens of a tree of several prompts: as many as the graph takes, in bounded memory.

    It follows from the bundle alone. Were it the memory that is free at the moment, a run that is taken up again
    would put other pairs together.
    """
    sizes = range(1, manifest.maximum_tree + 1)
    return bisect_right(sizes, _TREE_BYTES, key=lambda tokens: memory.of_pass(manifest, tokens))

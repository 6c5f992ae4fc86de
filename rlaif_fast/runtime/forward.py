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
from rlaif_fast.runtime.packing import PackedTree, canonical, pack
from rlaif_fast.runtime.planning import alike, plan
from rlaif_fast.runtime.vocabulary import Vocabulary

_TREE_BYTES = 1_000_000_000  # of a pass over several prompts, beside the weights


class Item(Protocol):
    """What is judged: items on one instruction may share a pass."""

    @property
    def instruction(self) -> str: ...


T = TypeVar("T", bound=Item)


class ForwardPasses:
    """A bundle's graph at work."""

    def __init__(
        self, bundle: Bundle, engine: Engine, rounds: bool = False, vocabulary: Vocabulary | None = None
    ) -> None:
        """
        Args:
            rounds: the engine rounds more than the bundle does, see :class:`Variant`.
            vocabulary: with it, logits are natural log-probabilities among all tokens.
        """
        self._bundle, self._engine, self._vocabulary = bundle, engine, vocabulary
        self._exact = bundle.manifest.precision == "fp32" and not rounds
        self._held = 0  # bytes the runtime keeps from its largest pass

    def logits(self, sequences: Sequence[Sequence[int]]) -> npt.NDArray[np.float64]:
        """Label logits [n, L] behind token sequences, packed into one tree."""
        return self._run([self._packed(sequences)], "the prompts")

    def of_window(
        self, window: Sequence[T], prompts: Callable[[T], list[list[int]]], done: int = 0
    ) -> Iterator[tuple[T, npt.NDArray[np.float64]]]:
        """Items in order, each with the label logits [n, L] of its n prompts.

        Args:
            prompts: an item's token sequences, the same number for each.
            done: items at the beginning that are passed over; the others are computed in the same company.

        Raises:
            JudgeError: the runtime failed, or an item's pass would take more memory than there is.
        """
        manifest, limit = self._bundle.manifest, largest_tree(self._bundle.manifest)
        prompt = manifest.prompt
        ready: dict[int, npt.NDArray[np.float64]] = {}
        for places in self._together(window):
            if places[-1] < done:
                continue
            given: list[npt.NDArray[np.int64]] = []  # where an item's prompts stand among those of its tree
            sequences = _ordered((window[place] for place in places), prompts, given)
            for group in plan(sequences, prompt.prefix_ids, manifest.cost, limit, prompt.ending):
                members = [places[member] for member in group.members]
                if members[-1] < done:
                    continue
                item = window[members[0]]
                if group.tree.tokens > limit:  # one item, whose prompts together would take too much memory
                    trees: Iterable[PackedTree] = (self._packed([tokens]) for tokens in canonical(prompts(item))[0])
                else:
                    trees = [group.tree.build()]
                logits = self._run(trees, str(item))
                for member, found in zip(group.members, np.split(logits, len(members)), strict=True):
                    if places[member] >= done:
                        ready[places[member]] = found[given[member]]
            while done in ready:
                yield window[done], ready.pop(done)
                done += 1

    def _packed(self, sequences: Sequence[Sequence[int]]) -> PackedTree:
        prompt = self._bundle.manifest.prompt
        return pack(sequences, prompt.prefix_ids, prompt.ending)

    def _run(self, trees: Iterable[PackedTree], what: str) -> npt.NDArray[np.float64]:
        """The logits of all trees; ``what`` they are of, for messages."""
        logits = []
        for tree in trees:
            wanted = memory.of_pass(self._bundle.manifest, tree.tokens)
            if wanted > self._held:
                memory.require(wanted - self._held, f"{what}: a pass of {tree.tokens:,} tokens")
            found, hidden = self._engine.run(tree, self._bundle.arrays)
            of_all = 0.0 if self._vocabulary is None else self._vocabulary.log_totals(hidden)[:, None]
            logits.append(found.astype(np.float64) - of_all)
            self._held = max(self._held, wanted)
        self._bundle.verified()
        joined, labels = np.concatenate(logits), len(self._bundle.manifest.prompt.label_ids)
        if joined.shape[1] != labels:
            raise JudgeError(f"the graph answers {joined.shape[1]} logits a prompt, the manifest names {labels} labels")
        return joined

    def _together(self, window: Sequence[T]) -> list[list[int]]:
        """Which items may share a pass: those on one instruction, in float32.

        The last bit of a float32 sum depends on what else is in the pass. Behind it, int8 or bfloat16 rounds
        some value the other way, and a few layers on that is as large as the rounding error itself: such a
        verdict is the same among any neighbours because each pair has its pass alone.
        """
        if self._exact:
            return alike(item.instruction for item in window)
        return [[place] for place in range(len(window))]


def _ordered(
    items: Iterable[T], prompts: Callable[[T], list[list[int]]], given: list[npt.NDArray[np.int64]]
) -> Iterator[list[Sequence[int]]]:
    """Each item's prompts in the order they are packed in; ``given`` gets where those it has stand in that order."""
    for item in items:
        sequences, places = canonical(prompts(item))
        given.append(places)
        yield sequences


def largest_tree(manifest: Manifest) -> int:
    """Most new tokens of a tree of several prompts: as many as the graph takes, in bounded memory.

    It follows from the bundle alone. Were it the memory that is free at the moment, a run that is taken up again
    would put other pairs together.
    """
    sizes = range(1, manifest.maximum_tree + 1)
    return bisect_right(sizes, _TREE_BYTES, key=lambda tokens: memory.of_pass(manifest, tokens))

"""Forward passes: the prompts of many items in, label logits out, with what begins alike computed once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from rlaif_fast.bundle.folder import Bundle
from rlaif_fast.bundle.manifest import Manifest
from rlaif_fast.bundle.prompt import Arrays
from rlaif_fast.errors import JudgeError
from rlaif_fast.runtime import memory
from rlaif_fast.runtime.engines import Engine
from rlaif_fast.runtime.packing import PackedTree, TreeBuilder, canonical, pack
from rlaif_fast.runtime.planning import alike, plan
from rlaif_fast.runtime.vocabulary import Vocabulary

_TREE_BYTES = 1_000_000_000  # of a pass over several prompts, beside the weights
SHARED = 128  # least tokens of an instruction for a pass of its own: fewer cost more than they save


class Item(Protocol):
    """What is judged: items on one instruction may share a pass."""

    @property
    def instruction(self) -> str: ...


T = TypeVar("T", bound=Item)
Prompts = Callable[[T], list[list[int]]]  # an item's token sequences


@dataclass(frozen=True)
class _Prefix:
    """Tokens whose keys and values are known, and what the graph is fed for them and the prompt."""

    ids: tuple[int, ...]
    arrays: Arrays

    @property
    def bytes(self) -> int:
        """Of the keys and values."""
        return sum(array.nbytes for array in self.arrays.values() if array.ndim == 4)


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
        self._ending = bundle.manifest.prompt.ending
        self._baked = _Prefix(bundle.manifest.prompt.prefix_ids, bundle.arrays)
        self._limit = largest_tree(bundle.manifest)
        self._held = 0  # bytes the runtime keeps from its largest pass

    def logits(self, sequences: Sequence[Sequence[int]]) -> npt.NDArray[np.float64]:
        """Label logits [n, L] behind token sequences, packed into one tree."""
        return self._run([pack(sequences, self._baked.ids, self._ending)], self._baked, "the prompts")

    def of_window(
        self, window: Sequence[T], prompts: Prompts[T], heads: Callable[[T], Sequence[int]], done: int = 0
    ) -> Iterator[tuple[T, npt.NDArray[np.float64]]]:
        """Items in order, each with the label logits [n, L] of its n prompts.

        Args:
            prompts: an item's token sequences, the same number for each.
            heads: the text that all items on an item's instruction begin with, as token ids.
            done: items at the beginning that are passed over; the others are computed in the same company.

        Raises:
            JudgeError: the runtime failed, or an item's pass would take more memory than there is.
        """
        ready: dict[int, npt.NDArray[np.float64]] = {}
        for places in alike(item.instruction for item in window):
            if places[-1] < done:
                continue
            if self._exact:
                found = self._in_trees(window, places, prompts, done)
            else:
                found = self._one_by_one(window, [place for place in places if place >= done], prompts, heads)
            for place, logits in found:
                ready[place] = logits
                while done in ready:
                    yield window[done], ready.pop(done)
                    done += 1

    def _in_trees(
        self, window: Sequence[T], places: list[int], prompts: Prompts[T], done: int
    ) -> Iterator[tuple[int, npt.NDArray[np.float64]]]:
        """Float32: items on one instruction extend one tree, where that costs less."""
        manifest, prefix = self._bundle.manifest, self._baked.ids
        given: list[npt.NDArray[np.int64]] = []  # where an item's prompts stand among those of its tree
        sequences = _ordered((window[place] for place in places), prompts, given)
        for group in plan(sequences, prefix, manifest.cost, self._limit, self._ending):
            members = [places[member] for member in group.members]
            if members[-1] < done:
                continue
            item = window[members[0]]
            if group.tree.tokens > self._limit:  # one item, whose prompts together would take too much memory
                trees = self._apart(canonical(prompts(item))[0], prefix)
            else:
                trees = iter([group.tree.build()])
            logits = self._run(trees, self._baked, str(item))
            for member, found in zip(group.members, np.split(logits, len(members)), strict=True):
                if places[member] >= done:
                    yield places[member], found[given[member]]

    def _one_by_one(
        self, window: Sequence[T], places: list[int], prompts: Prompts[T], heads: Callable[[T], Sequence[int]]
    ) -> Iterator[tuple[int, npt.NDArray[np.float64]]]:
        """Arithmetic that rounds: a pass an item, behind the keys and values of what its instruction begins with.

        The last bit of a float32 sum depends on what else is in the pass. Behind it, int8 or bfloat16 rounds some value
        the other way, and a few layers on that is as large as the rounding error itself. So nothing is in an item's
        pass but the item, and the instruction's pass is the same whoever asks for it.
        """
        shared = self._baked
        for place in places:
            item = window[place]
            sequences, given = canonical(prompts(item))
            if self._engine.keeps:
                shared = self._shared(sequences, heads(item), shared, str(item))
            tree = TreeBuilder(shared.ids, self._ending)
            for tokens in sequences:
                tree.add(tokens)
            whole = tree.tokens + len(shared.ids) - len(self._baked.ids) <= self._limit
            trees = iter([tree.build()]) if whole else self._apart(sequences, shared.ids)
            yield place, self._run(trees, shared, str(item))[given]

    def _shared(self, sequences: Sequence[Sequence[int]], head: Sequence[int], before: _Prefix, what: str) -> _Prefix:
        """What an item's prompts begin with, as far as its instruction decides, and is long enough to be shared.

        It follows from the item alone: one that nobody shares it with goes the same way. ``before`` is that of the item
        before, and is taken where it is the same.
        """
        shortest = min(map(len, sequences))
        apart = (n for n, tokens in enumerate(zip(head, *sequences, strict=False)) if len({*tokens}) > 1)
        ids = tuple(head[: min(next(apart, len(head)), shortest - 1)])
        baked = self._baked
        if len(ids) - len(baked.ids) < SHARED or ids[: len(baked.ids)] != baked.ids:
            return baked
        if before.ids == ids:
            return before
        tree = pack([ids], baked.ids, self._ending)
        self._require(tree, baked, what, len(ids) * baked.bytes // len(baked.ids))
        return _Prefix(ids, {**baked.arrays, **self._engine.keys_and_values(tree, baked.arrays)})

    def _apart(self, sequences: Sequence[Sequence[int]], prefix: Sequence[int]) -> Iterator[PackedTree]:
        return (pack([tokens], prefix, self._ending) for tokens in sequences)

    def _run(self, trees: Iterable[PackedTree], prefix: _Prefix, what: str) -> npt.NDArray[np.float64]:
        """The logits of all trees over ``prefix``; ``what`` they are of, for messages."""
        logits = []
        for tree in trees:
            self._require(tree, prefix, what)
            found, hidden = self._engine.run(tree, prefix.arrays)
            of_all = 0.0 if self._vocabulary is None else self._vocabulary.log_totals(hidden)[:, None]
            logits.append(found.astype(np.float64) - of_all)
        self._bundle.verified()
        joined, labels = np.concatenate(logits), len(self._bundle.manifest.prompt.label_ids)
        if joined.shape[1] != labels:
            raise JudgeError(f"the graph answers {joined.shape[1]} logits a prompt, the manifest names {labels} labels")
        return joined

    def _require(self, tree: PackedTree, prefix: _Prefix, what: str, kept: int = 0) -> None:
        """Raises JudgeError where a pass takes more memory than there is; ``kept``: bytes that stay behind it."""
        wanted = memory.of_pass(self._bundle.manifest, tree.tokens, len(prefix.ids))
        if (more := max(0, wanted - self._held) + kept) > 0:
            memory.require(more, f"{what}: a pass of {tree.tokens:,} tokens")
        self._held = max(self._held, wanted)


def _ordered(
    items: Iterable[T], prompts: Prompts[T], given: list[npt.NDArray[np.int64]]
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

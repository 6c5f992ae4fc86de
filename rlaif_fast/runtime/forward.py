"""Forward passes: the prompts of many items in, label logits out, with what begins alike computed once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import chain
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from rlaif_fast.bundle.folder import Bundle
from rlaif_fast.bundle.manifest import Manifest
from rlaif_fast.errors import JudgeError
from rlaif_fast.runtime import memory, pieces
from rlaif_fast.runtime.concurrent_passes import LARGE, OneThreadEngine, in_order
from rlaif_fast.runtime.engines import Engine
from rlaif_fast.runtime.kv_cache import KeyValueCache
from rlaif_fast.runtime.packing import canonical
from rlaif_fast.runtime.pieces import Behind, Branch, branches, cut, tree_of
from rlaif_fast.runtime.planning import alike, plan
from rlaif_fast.runtime.vocabulary import Vocabulary

_TREE_BYTES = 1_000_000_000  # of a pass, beside the weights, keys and values
_SHARE = 32  # most items on one instruction that are one piece of work, whose results come together


class Item(Protocol):
    """What is judged: items on one instruction may share a pass."""

    @property
    def instruction(self) -> str: ...


T = TypeVar("T", bound=Item)
Prompts = Callable[[T], list[list[int]]]  # an item's token sequences


class _Question(NamedTuple):
    """An item as it is computed."""

    place: int  # in its window
    what: str  # the item, for messages
    sequences: list[Sequence[int]]  # canonical
    given: npt.NDArray[np.int64]  # where its prompts stand among them
    head: Sequence[int]  # what all items on its instruction begin with


class ForwardPasses:
    """A bundle's graph at work."""

    def __init__(
        self, bundle: Bundle, engine: Engine, one_thread: OneThreadEngine, rounds: bool = False,
        vocabulary: Vocabulary | None = None,
    ) -> None:  # fmt: skip
        """
        Args:
            one_thread: the same engine, for several passes at once where that is quicker.
            rounds: the engine rounds more than the bundle does, see :class:`Variant`.
            vocabulary: with it, logits are natural log-probabilities among all tokens.
        """
        self._bundle, self._engine, self._vocabulary, self._one_thread = bundle, engine, vocabulary, one_thread
        self._exact = bundle.manifest.precision == "fp32" and not rounds
        self._ending = bundle.manifest.prompt.ending
        self._baked = bundle.manifest.prompt.prefix_ids
        self._limit = largest_tree(bundle.manifest)
        self._held: dict[Engine, int] = {}  # bytes it keeps from its largest pass; of those at once, from one of them

    def describe(self) -> str:
        """How passes are computed at once, for people, a line; empty where each comes after the other."""
        return "" if self._exact else self._one_thread.describe()

    def logits(self, sequences: Sequence[Sequence[int]]) -> npt.NDArray[np.float64]:
        """Label logits [n, L] behind token sequences, packed into one tree."""
        return self._run([self._whole(sequences)], self._cache(), "the prompts", self._engine)

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
        found: Iterable[tuple[int, npt.NDArray[np.float64]]]
        ready: dict[int, npt.NDArray[np.float64]] = {}
        groups = [places for places in alike(item.instruction for item in window) if places[-1] >= done]
        if self._exact:
            found = chain.from_iterable(self._in_trees(window, places, prompts, done) for places in groups)
        else:
            left = [[place for place in places if place >= done] for places in groups]
            found = self._one_by_one(window, left, prompts, heads)
        for place, logits in found:
            ready[place] = logits
            while done in ready:
                yield window[done], ready.pop(done)
                done += 1

    def _in_trees(
        self, window: Sequence[T], places: list[int], prompts: Prompts[T], done: int
    ) -> Iterator[tuple[int, npt.NDArray[np.float64]]]:
        """Float32: items on one instruction extend one tree, where that costs less."""
        cost, cache = self._bundle.manifest.cost, self._cache()
        given: list[npt.NDArray[np.int64]] = []  # where an item's prompts stand among those of its tree
        sequences = _ordered((window[place] for place in places), prompts, given)
        for group in plan(sequences, self._baked, cost, self._limit, self._ending):
            members = [places[member] for member in group.members]
            if members[-1] < done:
                continue
            passes = self._passes(group.prompts, cache.prefix)
            logits = self._run(passes, cache, str(window[members[0]]), self._engine)
            for member, found in zip(group.members, np.split(logits, len(members)), strict=True):
                if places[member] >= done:
                    yield places[member], found[given[member]]

    def _one_by_one(
        self, window: Sequence[T], groups: list[list[int]], prompts: Prompts[T], heads: Callable[[T], Sequence[int]]
    ) -> Iterator[tuple[int, npt.NDArray[np.float64]]]:
        """Arithmetic that rounds: a pass an item, behind the keys and values of what its instruction begins with.

        The last bit of a float32 sum depends on what else is in the pass. Behind it, int8 or bfloat16 rounds some value
        the other way, and a few layers on that is as large as the rounding error itself. So nothing is in an item's
        pass but the item, and the instruction's pass is the same whoever asks for it. How many threads compute a pass
        changes no bit of it: onnxruntime gives no sum to two of them (tests/test_default_model.py).
        """
        shares = [places[n : n + _SHARE] for places in groups for n in range(0, len(places), _SHARE)]
        engine = self._one_thread.for_pieces(len(shares))
        if engine is None:
            for places in groups:
                yield from self._answers(_questions(window, places, prompts, heads), self._engine)
            return

        def answers(share: list[_Question | Exception]) -> Iterator[tuple[int, npt.NDArray[np.float64]]]:
            return self._answers(share, self._engine if _long(share) else engine)

        asked = ([*_questions(window, places, prompts, heads)] for places in shares)
        with closing(in_order(asked, answers, self._one_thread.at_once, alone=_long)) as found:
            yield from found

    def _answers(
        self, questions: Iterable[_Question | Exception], engine: Engine
    ) -> Iterator[tuple[int, npt.NDArray[np.float64]]]:
        """Of items on one instruction, whose pass is computed once."""
        cache = self._cache()
        for question in questions:
            if isinstance(question, Exception):
                raise question
            place, what, sequences, given, head = question
            behind = self._instruction(sequences, head) if engine.keeps else cache.prefix
            yield place, self._run(self._passes(sequences, behind), cache, what, engine)[given]

    def _instruction(self, sequences: Sequence[Sequence[int]], head: Sequence[int]) -> Behind:
        """What an item's prompts begin with, as far as its instruction decides, and is long enough to be shared.

        It follows from the item alone: one that nobody shares it with goes the same way.
        """
        shortest, prefix = min(map(len, sequences)), self._baked
        apart = (n for n, tokens in enumerate(zip(head, *sequences, strict=False)) if len({*tokens}) > 1)
        ids = tuple(head[: min(next(apart, len(head)), shortest - 1)])
        if len(ids) - len(prefix) < pieces.SHARED or ids[: len(prefix)] != prefix:
            return (prefix,)
        return (prefix, *cut(ids[len(prefix) :], len(prefix), self._room))

    def _passes(self, sequences: Sequence[Sequence[int]], behind: Behind) -> Iterator[Branch]:
        """Those that judge an item, or items that share a tree."""
        if self._engine.keeps:
            return branches(sequences, behind, self._ending, self._room)
        whole = self._whole(sequences)
        return iter([whole] if whole.tree.tokens <= self._limit else [self._whole([tokens]) for tokens in sequences])

    def _whole(self, sequences: Sequence[Sequence[int]]) -> Branch:
        return Branch((self._baked,), tree_of(sequences, self._baked, self._ending))

    def _room(self, known: int) -> int:
        return _room(self._bundle.manifest, known)

    def _cache(self) -> KeyValueCache:
        return KeyValueCache(self._baked, self._bundle.arrays, self._ending)

    def _run(
        self, passes: Iterable[Branch], cache: KeyValueCache, what: str, engine: Engine
    ) -> npt.NDArray[np.float64]:
        """The logits of all passes; ``what`` they are of, for messages."""
        logits = []
        for branch in passes:
            self._require(branch, cache, what, engine)
            cache.stand_behind(branch.behind, engine.keys_and_values)
            found, hidden = engine.run(branch.tree.build(), cache.arrays)
            of_all = 0.0 if self._vocabulary is None else self._vocabulary.log_totals(hidden)[:, None]
            logits.append(found.astype(np.float64) - of_all)
        self._bundle.verified()
        joined, labels = np.concatenate(logits), len(self._bundle.manifest.prompt.label_ids)
        if joined.shape[1] != labels:
            raise JudgeError(f"the graph answers {joined.shape[1]} logits a prompt, the manifest names {labels} labels")
        return joined

    def _require(self, branch: Branch, cache: KeyValueCache, what: str, engine: Engine) -> None:
        """Raises JudgeError where a pass, and those whose keys and values it needs, take more memory than there is."""
        sizes = [*map(len, branch.behind[1:]), branch.tree.tokens]
        known = [sum(map(len, branch.behind[: n + 1])) for n in range(len(sizes))]
        missing = len(branch.behind) - max(1, cache.known(branch.behind))
        wanted = max(map(partial(memory.of_pass, self._bundle.manifest), sizes[-1 - missing :], known[-1 - missing :]))
        kept = max(0, known[-1] - cache.tokens) * cache.bytes_per_token
        held = self._held.get(engine, 0)
        if (more := max(0, wanted - held) + kept) > 0:
            passes = f"a pass of {sizes[-1]:,} tokens"
            if missing:
                passes = f"a prompt of {known[-1] + sizes[-1]:,} tokens in passes of at most {max(sizes):,}"
            memory.require(more, f"{what}: {passes}")
        self._held[engine] = max(held, wanted)


def _ordered(
    items: Iterable[T], prompts: Prompts[T], given: list[npt.NDArray[np.int64]]
) -> Iterator[list[Sequence[int]]]:
    """Each item's prompts in the order they are packed in; ``given`` gets where those it has stand in that order."""
    for item in items:
        sequences, places = canonical(prompts(item))
        given.append(places)
        yield sequences


def _questions(
    window: Sequence[T], places: Iterable[int], prompts: Prompts[T], heads: Callable[[T], Sequence[int]]
) -> Iterator[_Question | Exception]:
    """Of the items at ``places``; last the error that ended them, to be raised where an answer would be."""
    for place in places:
        try:
            sequences, given = canonical(prompts(window[place]))
            yield _Question(place, str(window[place]), sequences, given, heads(window[place]))
        except Exception as error:
            yield error
            return


def _long(questions: Iterable[_Question | Exception]) -> bool:
    """Whether passes so large keep all threads busy, and take more memory than several threads should have each."""
    sizes = (sum(map(len, one.sequences)) for one in questions if isinstance(one, _Question))
    return max(sizes, default=0) > LARGE


def largest_tree(manifest: Manifest) -> int:
    """Most new tokens of a tree of several prompts: as many as the graph takes, in bounded memory.

    It follows from the bundle alone. Were it the memory that is free at the moment, a run that is taken up again
    would put other pairs together.
    """
    return _most(manifest, manifest.maximum_tree)


def of_longest(bundle: Bundle) -> int:
    """Bytes that a prompt as long as the context takes beside the weights, about, where it is computed in pieces."""
    manifest, prefix = bundle.manifest, len(bundle.manifest.prompt.prefix_ids)
    longest = manifest.maximum_length
    last = min(longest - prefix, _room(manifest, longest))
    per_token = KeyValueCache(manifest.prompt.prefix_ids, bundle.arrays, manifest.prompt.ending).bytes_per_token
    return memory.of_pass(manifest, last, longest - last) + (longest - prefix) * per_token


def _room(manifest: Manifest, known: int) -> int:
    """Most new tokens of a pass behind ``known``, by the bundle alone."""
    return max(pieces.LONGEST // 8, _most(manifest, pieces.LONGEST, known))


def _most(manifest: Manifest, limit: int, prefix: int | None = None) -> int:
    """How many tokens a pass may have, up to ``limit``, in bounded memory."""
    return bisect_right(range(1, limit + 1), _TREE_BYTES, key=lambda tokens: memory.of_pass(manifest, tokens, prefix))

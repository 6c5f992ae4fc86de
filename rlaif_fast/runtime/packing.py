"""From token sequences to one packed tree. Integers and masks only.

Sequences that begin alike share the tokens they begin with: a tree, written out as one
sequence in which every token sees its own ancestors and nothing else. Positions restart at
each branch, so a token is computed exactly as in its own sequence::

    prefix | text ─┬─ A B answer=      both orders of a pair, one forward pass
                   └─ B A answer=
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Added to a score it leaves nothing of it; added twice (a sliding window's bias) it is still finite.
HIDDEN = np.float32(np.finfo(np.float32).min / 2)


@dataclass(frozen=True)
class PackedTree:
    """The graph's inputs: S packed tokens behind a baked prefix of P, J judged positions."""

    input_ids: npt.NDArray[np.int64]  # [1, S]
    position_ids: npt.NDArray[np.int64]  # [1, S]
    attention_bias: npt.NDArray[np.float32]  # [1, 1, S, P+S]; 0 where a token sees another, else HIDDEN
    judged: npt.NDArray[np.int64]  # [J], rows of the packed sequence, one a sequence added

    @property
    def tokens(self) -> int:
        """S."""
        return int(self.input_ids.shape[1])


class TreeBuilder:
    """Collects token sequences into a tree over ``prefix`` (P token ids).

    The last ``ending`` tokens of every sequence are packed behind all others, as far as nothing follows them: a
    bundle's graph may compute them more precisely than the rest.

    A node is a column of the attention bias: 0..P-1 the prefix, P.. the packed tokens.
    """

    def __init__(self, prefix: Sequence[int], ending: int = 0) -> None:
        self._prefix, self._ending = len(prefix), ending
        self._children = {(column - 1, token): column for column, token in enumerate(prefix)}  # root is -1
        self._ids: list[int] = []
        self._positions: list[int] = []
        self._parents: list[int] = []  # columns
        self._segments: list[tuple[int, int, int]] = []  # (first row, end row, parent column)
        self._judged: list[int] = []

    @property
    def tokens(self) -> int:
        """S so far."""
        return len(self._ids)

    def _walk(self, tokens: Sequence[int]) -> tuple[int, int]:
        """(column of the last token already in the tree, how many tokens are)."""
        column = -1
        for depth, token in enumerate(tokens):
            child = self._children.get((column, token))
            if child is None:
                return column, depth
            column = child
        return column, len(tokens)

    def new_tokens(self, tokens: Sequence[int]) -> int:
        """How many tokens :meth:`add` would append."""
        return len(tokens) - self._walk(tokens)[1]

    def add(self, tokens: Sequence[int]) -> None:
        """Add a sequence; its last token is judged. It must not end inside the baked prefix."""
        column, depth = self._walk(tokens)
        if depth < len(tokens):
            first = len(self._ids)
            self._segments.append((first, first + len(tokens) - depth, column))
            for position in range(depth, len(tokens)):
                child = self._prefix + len(self._ids)
                self._children[column, tokens[position]] = child
                self._ids.append(tokens[position])
                self._positions.append(position)
                self._parents.append(column)
                column = child
        if column < self._prefix:
            raise ValueError("a sequence ends inside the baked prefix, there is nothing to judge")
        self._judged.append(column - self._prefix)

    def build(self) -> PackedTree:
        """The arrays of everything added."""
        size, prefix = len(self._ids), self._prefix
        bias = np.full((size, prefix + size), HIDDEN, np.float32)
        for first, end, parent in self._segments:
            if parent >= prefix:
                bias[first:end] = bias[parent - prefix]
            else:
                bias[first:end, : parent + 1] = 0
            own = np.tri(end - first, dtype=bool)
            bias[first:end, prefix + first : prefix + end][own] = 0
        order = self._endings_last()
        if order is None:
            order = np.arange(size)
        else:
            bias = bias[order][:, np.concatenate((np.arange(prefix), prefix + order))]
        return PackedTree(
            np.array(self._ids, np.int64)[None, order],
            np.array(self._positions, np.int64)[None, order],
            bias[None, None],
            _places_in(order)[self._judged],
        )

    def _endings_last(self) -> npt.NDArray[np.int64] | None:
        """The rows with every ending behind what is none; None where they stand right as they are."""
        if not self._ending:
            return None
        children = np.bincount(np.array(self._parents) + 1, minlength=self._prefix + len(self._ids) + 1)[1:]
        last = np.zeros(len(self._ids), bool)
        for row in self._judged:
            followers = 0
            for _ in range(self._ending):
                if row < 0 or children[self._prefix + row] != followers:
                    break
                last[row], followers = True, 1
                row = self._parents[row] - self._prefix
        return np.argsort(last, kind="stable")


def canonical(sequences: Sequence[Sequence[int]]) -> tuple[list[Sequence[int]], npt.NDArray[np.int64]]:
    """The sequences in the order of their tokens, and where each of those given stands in it, [n].

    A runtime may round a row differently at another place of the pass. Packed in this order, an item's sequences are
    computed to the same last bit however they were given: a pair as it stands and exchanged is one and the same tree.
    """
    order = sorted(range(len(sequences)), key=lambda place: tuple(sequences[place]))
    return [sequences[place] for place in order], _places_in(np.array(order, np.int64))


def _places_in(order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where each of ``order``'s numbers, 0 to n - 1, stands in it, [n].

    Not by np.argsort: where a processor with AVX2 is emulated (qemu-user 7.2), NumPy's for AVX2 is wrong from nine
    numbers on.
    """
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return places


def pack(sequences: Sequence[Sequence[int]], prefix: Sequence[int], ending: int = 0) -> PackedTree:
    """The tree of ``sequences`` over ``prefix``; judged positions in the order given."""
    builder = TreeBuilder(prefix, ending)
    for tokens in sequences:
        builder.add(tokens)
    return builder.build()

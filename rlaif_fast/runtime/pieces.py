"""Where prompts that are too long for one pass are cut. Integers only.

A tree of more tokens than a pass may have is computed as a chain of passes, each behind the keys and values of the ones
before it. What all sequences begin with comes first, then one branch after the other::

    prefix | piece | piece ─┬─ piece | A B answer=
                            └─ piece | B A answer=

Where it is cut follows from the sequences and the bundle alone: a piece is the same whoever else is judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from rlaif_fast.runtime.packing import TreeBuilder

LONGEST = 1024  # most new tokens of a pass (docs/performance.md); of a large model it may have fewer
SHARED = 128  # least tokens that get a pass of their own to be shared: fewer cost more than they save

Ids = tuple[int, ...]
Behind = tuple[Ids, ...]  # the pieces that a pass stands behind, in order; the first is the baked prefix or its head
Room = Callable[[int], int]  # most new tokens of a pass behind so many


@dataclass(frozen=True)
class Branch:
    """A pass that is judged: the tree of some sequences, as far as they are not in the pieces it stands behind."""

    behind: Behind
    tree: TreeBuilder


def branches(sequences: Sequence[Sequence[int]], behind: Behind, ending: int, room: Room) -> Iterator[Branch]:
    """The passes that judge all sequences, in their order.

    Args:
        sequences: token ids, those that begin alike side by side; they begin with what ``behind`` has, but may leave
            its first piece.
        behind: what is computed by itself in any case.
        ending: last tokens of every sequence that are packed behind all others, so in its last pass.
        room: how large a pass may be; a piece has at most five sixths of that.
    """
    while True:
        ids = [token for piece in behind for token in piece]
        known, most = len(ids), room(len(ids))
        common = min(_in_common(sequences), min(map(len, sequences)) - max(1, ending))
        left = _in_common([ids, *sequences])  # behind it a sequence leaves the prefix
        tree = None if max(map(len, sequences)) - known > most else tree_of(sequences, ids, ending)
        if not left or (tree is not None and tree.tokens <= most):
            break
        if left < known:
            behind = (tuple(ids[:left]),)
        elif common - known >= SHARED or (len(sequences) == 1 and common > known):
            behind = (*behind, tuple(sequences[0][known : known + _size(common - known, most)]))
        elif len(sequences) > 1:
            for together in _together(sequences, ids, ending, most):
                yield from branches(together, behind, ending, room)
            return
        else:
            break  # all but the prefix is its ending
    yield Branch(behind, tree or tree_of(sequences, ids, ending))


def tree_of(sequences: Iterable[Sequence[int]], prefix: Sequence[int], ending: int) -> TreeBuilder:
    """All of them, behind ``prefix``; see :class:`TreeBuilder`."""
    tree = TreeBuilder(prefix, ending)
    for tokens in sequences:
        tree.add(tokens)
    return tree


def cut(tokens: Sequence[int], known: int, room: Room) -> Behind:
    """``tokens`` in pieces, to be computed behind ``known`` others."""
    found: Behind = ()
    while tokens:
        size = _size(len(tokens), room(known))
        found, tokens, known = (*found, tuple(tokens[:size])), tokens[size:], known + size
    return found


def _size(left: int, most: int) -> int:
    """Tokens of the next piece of ``left``: two thirds of a pass, so that what remains for the last is not little."""
    return left if 6 * left <= 5 * most else 2 * most // 3


def _in_common(sequences: Sequence[Sequence[int]]) -> int:
    """How many tokens all begin with."""
    least, greatest = min(map(tuple, sequences)), max(map(tuple, sequences))
    apart = (place for place, (one, other) in enumerate(zip(least, greatest, strict=False)) if one != other)
    return next(apart, min(len(least), len(greatest)))


def _together(
    sequences: Sequence[Sequence[int]], prefix: Sequence[int], ending: int, most: int
) -> Iterator[list[Sequence[int]]]:
    """Neighbours that fit one pass, as many as do; one that does not fit by itself comes alone."""
    group: list[Sequence[int]] = []
    tree = TreeBuilder(prefix, ending)
    for tokens in sequences:
        if group and tree.tokens + tree.new_tokens(tokens) > most:
            yield group
            group, tree = [], TreeBuilder(prefix, ending)
        tree.add(tokens)
        group.append(tokens)
    yield group

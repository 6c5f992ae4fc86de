"""Which pairs share one forward pass.

Pairs on one instruction extend the same tree, so its text is computed once. What that saves
in linear products it costs in attention, which sees the whole packed sequence: a pair joins
a tree only where one pass costs fewer multiply-adds than two.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from rlaif_fast.bundle.manifest import Cost
from rlaif_fast.runtime.packing import TreeBuilder


@dataclass
class Group:
    """Pairs judged together: their places among those planned, their prompts, and the tree of these."""

    tree: TreeBuilder
    members: list[int] = field(default_factory=list)
    prompts: list[Sequence[int]] = field(default_factory=list)  # of all members, in their order


def alike(keys: Iterable[Hashable]) -> list[list[int]]:
    """Places of equal keys, in the order of their first ones."""
    places: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        places.setdefault(key, []).append(index)
    return list(places.values())


def plan(
    prompts: Iterable[Sequence[Sequence[int]]], prefix: Sequence[int], cost: Cost, limit: int, ending: int = 0
) -> Iterator[Group]:
    """Groups of pairs on one instruction, in the order of their first members, each as soon as it is complete.

    Args:
        prompts: token sequences of each pair, one or two (the orders); read no further than needed.
        prefix: the baked prefix, P tokens.
        cost: of a pass.
        limit: most new tokens a shared tree may have; bounds memory.
        ending: last tokens of every prompt that are packed behind all others.
    """
    group: Group | None = None
    for index, sequences in enumerate(prompts):
        alone = TreeBuilder(prefix, ending)
        for tokens in sequences:
            alone.add(tokens)
        if group is not None and _joins(group.tree, alone, sequences, len(prefix), cost, limit):
            for tokens in sequences:
                group.tree.add(tokens)
        else:
            if group is not None:
                yield group
            group = Group(alone)
        group.members.append(index)
        group.prompts += sequences
    if group is not None:
        yield group


def _joins(
    tree: TreeBuilder, alone: TreeBuilder, sequences: Sequence[Sequence[int]], prefix: int, cost: Cost, limit: int
) -> bool:
    joined = tree.tokens + sum(tree.new_tokens(tokens) for tokens in sequences)  # an upper bound
    apart = cost.of(tree.tokens, prefix) + cost.of(alone.tokens, prefix)
    return joined <= limit and cost.of(joined, prefix) < apart

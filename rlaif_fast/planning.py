"""Which pairs share one forward pass.

Pairs on one instruction extend the same tree, so its text is computed once. What that saves
in linear products it costs in attention, which sees the whole packed sequence: a pair joins
a tree only where one pass costs fewer multiply-adds than two.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field

from rlaif_fast.manifest import Cost
from rlaif_fast.packing import TreeBuilder


@dataclass
class Group:
    """Pairs judged in one pass: their places among those planned, and the tree of their prompts."""

    tree: TreeBuilder
    members: list[int] = field(default_factory=list)


def alike(keys: Iterable[Hashable]) -> list[list[int]]:
    """Places of equal keys, in the order of their first ones."""
    places: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        places.setdefault(key, []).append(index)
    return list(places.values())


def plan(
    prompts: Sequence[Sequence[Sequence[int]]], prefix: Sequence[int], cost: Cost, limit: int, ending: int = 0
) -> list[Group]:
    """Groups of pairs on one instruction, in the order of their first members.

    Args:
        prompts: token sequences of each pair, one or two (the orders).
        prefix: the baked prefix, P tokens.
        cost: of a pass.
        limit: most new tokens a shared tree may have; bounds memory.
        ending: last tokens of every prompt that are packed behind all others.
    """
    groups: list[Group] = []
    for index, sequences in enumerate(prompts):
        alone = TreeBuilder(prefix, ending)
        for tokens in sequences:
            alone.add(tokens)
        if groups and _joins(groups[-1].tree, alone, sequences, len(prefix), cost, limit):
            for tokens in sequences:
                groups[-1].tree.add(tokens)
        else:
            groups.append(Group(alone))
        groups[-1].members.append(index)
    return groups


def _joins(
    tree: TreeBuilder, alone: TreeBuilder, sequences: Sequence[Sequence[int]], prefix: int, cost: Cost, limit: int
) -> bool:
    joined = tree.tokens + sum(tree.new_tokens(tokens) for tokens in sequences)  # an upper bound
    apart = cost.of(tree.tokens, prefix) + cost.of(alone.tokens, prefix)
    return joined <= limit and cost.of(joined, prefix) < apart

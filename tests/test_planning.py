"""Which pairs share a pass: only where it pays, never at the price of order."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif_fast.bundle.manifest import Cost
from rlaif_fast.runtime.packing import pack
from rlaif_fast.runtime.planning import alike, plan

_TAIL = st.lists(st.integers(0, 2), min_size=1, max_size=5)
_WINDOW = st.lists(st.lists(_TAIL, min_size=1, max_size=2), max_size=8)


@settings(deadline=None)
@given(
    window=_WINDOW,
    prefix=st.lists(st.just(8), max_size=3),
    cost=st.builds(Cost, st.integers(0, 50), st.integers(0, 5)),
    limit=st.integers(0, 40),
)
def test_groups_keep_order_and_membership_and_pay(
    window: list[list[list[int]]], prefix: list[int], cost: Cost, limit: int
) -> None:
    # What is behind the prefix differs in its first token from it, as a prompt does.
    prompts = [[[*prefix, 9, *tail] for tail in tails] for tails in window]
    groups = list(plan(prompts, prefix, cost, limit))
    assert [index for group in groups for index in group.members] == list(range(len(window)))
    for group in groups:
        together = pack([tokens for index in group.members for tokens in prompts[index]], prefix)
        built = group.tree.build()
        for name in ("input_ids", "position_ids", "attention_bias", "judged"):
            np.testing.assert_array_equal(getattr(built, name), getattr(together, name))
        if len(group.members) > 1:
            assert built.tokens <= limit
            alone = sum(cost.of(pack(prompts[index], prefix).tokens, len(prefix)) for index in group.members)
            assert cost.of(built.tokens, len(prefix)) < alone


def members(prompts: list[list[list[int]]], cost: Cost, limit: int = 1000) -> list[list[int]]:
    return [group.members for group in plan(prompts, [0], cost, limit)]


TEXT = list(range(10, 30))  # twenty tokens shared
PROMPTS = [[[0, *TEXT, n]] for n in range(4)]
LINEAR = Cost(per_token=1, per_token_pair=0)


def test_equal_keys_are_alike_across_others() -> None:
    assert alike("xyxy") == [[0, 2], [1, 3]]
    assert alike("xxxx") == [[0, 1, 2, 3]]
    assert alike("abcd") == [[0], [1], [2], [3]]
    assert alike([]) == []


def test_what_is_shared_is_gained() -> None:
    assert members(PROMPTS, LINEAR) == [[0, 1, 2, 3]]


def test_nothing_shared_is_nothing_gained() -> None:
    apart = [[[0, 10 * n, n]] for n in range(1, 4)]
    assert members(apart, LINEAR) == [[0], [1], [2]]


def test_attention_over_neighbours_can_cost_more_than_it_saves() -> None:
    """Long tails behind a short text: the product of lengths outweighs the text."""
    prompts = [[[0, 1, *range(100 * n, 100 * n + 50)]] for n in (1, 2)]
    assert members(prompts, LINEAR) == [[0, 1]]
    assert members(prompts, Cost(per_token=1, per_token_pair=1)) == [[0], [1]]


def test_limit_starts_a_new_tree() -> None:
    assert members(PROMPTS, LINEAR, limit=22) == [[0, 1], [2, 3]]
    assert members(PROMPTS, LINEAR, limit=21) == [[0], [1], [2], [3]]
    assert members(PROMPTS, LINEAR, limit=0) == [[0], [1], [2], [3]], "a pair alone is always judged"


def test_no_more_is_read_than_the_next_group_needs() -> None:
    """However many pairs are on one instruction, two trees at most are in memory."""
    read = []

    def prompts() -> Iterator[list[list[int]]]:
        for number, prompt in enumerate(PROMPTS * 5):
            read.append(number)
            yield prompt

    for group in plan(prompts(), [0], LINEAR, 22):
        assert len(read) <= group.members[-1] + 2


def test_empty_window() -> None:
    assert list(plan([], [0], LINEAR, 10)) == []


def test_cost_is_multiply_adds() -> None:
    assert Cost(per_token=7, per_token_pair=3).of(5, 2) == 5 * 7 + 5 * (2 + 5) * 3

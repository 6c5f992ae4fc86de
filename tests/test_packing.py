"""The packed tree against what a tree must be: every sequence in it, each shared beginning once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif_fast.runtime.packing import HIDDEN, PackedTree, TreeBuilder, pack

Tokens = tuple[int, ...]
_TOKENS = st.lists(st.integers(0, 2), max_size=6).map(tuple)


def paths(tree: PackedTree, prefix: Sequence[int]) -> list[Tokens]:
    """What each packed token sees, itself included, as tokens in the order of the columns."""
    size = len(prefix)
    columns = [*prefix, *tree.input_ids[0].tolist()]
    found = []
    for row, bias in enumerate(tree.attention_bias[0, 0]):
        assert set(bias.tolist()) <= {0.0, float(HIDDEN)}
        seen = np.flatnonzero(bias == 0).tolist()
        assert seen[-1] == size + row, "a token sees itself, and none behind it"
        baked = [column for column in seen if column < size]
        assert baked == list(range(len(baked))), "the prefix is seen from its beginning, without a gap"
        found.append(tuple(columns[column] for column in seen))
    return found


@settings(deadline=None)
@given(prefix=_TOKENS, sequences=st.lists(_TOKENS, min_size=1, max_size=8))
def test_tree_is_its_sequences(prefix: Tokens, sequences: list[Tokens]) -> None:
    baked = {prefix[:n] for n in range(len(prefix) + 1)}
    if any(tokens in baked for tokens in sequences):
        with pytest.raises(ValueError, match="ends inside the baked prefix"):
            pack(sequences, prefix)
        sequences = [tokens for tokens in sequences if tokens not in baked]
        if not sequences:
            return
    tree = pack(sequences, prefix)
    found = paths(tree, prefix)
    beginnings = {tokens[:n] for tokens in sequences for n in range(1, len(tokens) + 1)} - baked
    assert len(found) == len(set(found)) == tree.tokens, "a shared beginning is stored once"
    assert set(found) == beginnings, "every token sees its own sequence's beginning and nothing else"
    assert tree.position_ids[0].tolist() == [len(path) - 1 for path in found]
    assert [found[row] for row in tree.judged] == sequences


@settings(deadline=None)
@given(prefix=_TOKENS, sequences=st.lists(_TOKENS, max_size=8))
def test_builder_counts_before_it_adds(prefix: Tokens, sequences: list[Tokens]) -> None:
    builder = TreeBuilder(prefix)
    for tokens in sequences:
        before, announced = builder.tokens, builder.new_tokens(tokens)
        try:
            builder.add(tokens)
        except ValueError:
            assert announced == 0
        assert builder.tokens == before + announced
        assert builder.new_tokens(tokens) == 0


def test_both_orders_of_a_pair() -> None:
    """Prefix 1 2, text 3 4, orders 5 6 9 and 6 5 9: a fork behind the text."""
    tree = pack([[1, 2, 3, 4, 5, 6, 9], [1, 2, 3, 4, 6, 5, 9]], [1, 2])
    assert tree.input_ids.tolist() == [[3, 4, 5, 6, 9, 6, 5, 9]]
    assert tree.position_ids.tolist() == [[2, 3, 4, 5, 6, 4, 5, 6]]
    assert tree.judged.tolist() == [4, 7]
    seen = (tree.attention_bias[0, 0] == 0).astype(int)
    assert ["".join(map(str, row)) for row in seen.tolist()] == [
        "1110000000",
        "1111000000",
        "1111100000",
        "1111110000",
        "1111111000",
        "1111000100",
        "1111000110",
        "1111000111",
    ]


def test_shapes_and_types_are_the_graphs() -> None:
    tree = pack([[1, 2, 3], [1, 4]], [1])
    assert (tree.input_ids.shape, tree.input_ids.dtype) == ((1, 3), np.int64)
    assert (tree.position_ids.shape, tree.position_ids.dtype) == ((1, 3), np.int64)
    assert (tree.attention_bias.shape, tree.attention_bias.dtype) == ((1, 1, 3, 4), np.float32)
    assert (tree.judged.shape, tree.judged.dtype) == ((2,), np.int64)
    assert tree.attention_bias.flags.c_contiguous


def test_same_sequence_twice_is_judged_twice_and_stored_once() -> None:
    tree = pack([[1, 2], [1, 2], [1]], [])
    assert tree.input_ids.tolist() == [[1, 2]]
    assert tree.judged.tolist() == [1, 1, 0]


def test_sequence_that_leaves_the_prefix_sees_the_common_part_only() -> None:
    tree = pack([[1, 2, 7]], [1, 2, 3, 4])
    assert tree.position_ids.tolist() == [[2]]
    assert (tree.attention_bias[0, 0] == 0).tolist() == [[True, True, False, False, True]]


def test_refused_sequence_leaves_the_tree_as_it_was() -> None:
    builder = TreeBuilder([1, 2])
    for inside in ([], [1], [1, 2]):
        with pytest.raises(ValueError, match="ends inside the baked prefix"):
            builder.add(inside)
    builder.add([1, 2, 3])
    assert builder.build().judged.tolist() == [0]


def test_hidden_hides_and_adds_up() -> None:
    """A sliding window adds its own bias: the sum must stay finite, or a softmax of nothing but it is NaN."""
    score = np.float32(1e4)
    assert np.exp(HIDDEN + score) == 0
    assert np.isfinite(HIDDEN + HIDDEN)


@settings(deadline=None)
@given(prefix=_TOKENS, sequences=st.lists(_TOKENS, min_size=1, max_size=8), ending=st.integers(1, 4))
def test_endings_are_packed_last(prefix: Tokens, sequences: list[Tokens], ending: int) -> None:
    """The same tree in another order; what comes last is of endings alone, and nothing follows an ending in it."""
    baked = {prefix[:n] for n in range(len(prefix) + 1)}
    sequences = [tokens for tokens in sequences if tokens not in baked]
    if not sequences:
        return
    tree, plain = pack(sequences, prefix, ending), pack(sequences, prefix)
    found = paths(tree, prefix)
    assert set(found) == set(paths(plain, prefix)) and len(found) == plain.tokens
    assert tree.position_ids[0].tolist() == [len(path) - 1 for path in found]
    assert [found[row] for row in tree.judged] == sequences
    followers = Counter(path[:-1] for path in found)
    movable = set()
    for tokens in sequences:  # from the end, as long as nothing but the ending itself follows
        for n in range(ending):
            path = tokens[: len(tokens) - n]
            if path not in set(found) or followers[path] != min(n, 1):
                break
            movable.add(path)
    assert set(found[len(found) - len(movable) :]) == movable

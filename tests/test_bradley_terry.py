"""Strengths against choix, another algorithm for the same maximum, and against cases worked out by hand."""

from __future__ import annotations

import math

import choix
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif_fast.judging.bradley_terry import DRAW, strengths

Wins = list[list[float]]


def by_choix(wins: Wins) -> list[float]:
    """The same maximum by iterative Luce spectral ranking (Maystre and Grossglauser 2015)."""
    games = np.array(wins) + DRAW / 2
    np.fill_diagonal(games, 0)
    found: list[float] = choix.ilsr_pairwise_dense(games, max_iter=1000, tol=1e-12).tolist()
    return found


def wins_of(odds: list[float], n: int) -> Wins:
    """[n, n] from the log-odds of the pairs i < j."""
    wins, rest = [[0.5] * n for _ in range(n)], iter(odds)
    for i in range(n):
        for j in range(i + 1, n):
            wins[i][j] = 1 / (1 + math.exp(-next(rest)))
            wins[j][i] = 1 - wins[i][j]
    return wins


def perfect(n: int) -> Wins:
    return [[float(i < j) for j in range(n)] for i in range(n)]


@st.composite
def tournaments(draw: st.DrawFn) -> Wins:
    n = draw(st.integers(2, 6))
    pairs = n * (n - 1) // 2
    return wins_of(draw(st.lists(st.floats(-6, 6), min_size=pairs, max_size=pairs)), n)


@settings(deadline=None, max_examples=40)
@given(tournaments())
def test_the_maximum_is_the_one_that_choix_finds(wins: Wins) -> None:
    found = strengths(wins)
    assert found == pytest.approx(by_choix(wins), abs=1e-7)
    assert sum(found) == pytest.approx(0, abs=1e-8)


@settings(deadline=None)
@given(st.integers(2, 9), st.data())
def test_whoever_wins_more_is_stronger(n: int, data: st.DataObject) -> None:
    """Where all have played all, strengths are in the order of the wins; probabilities of 0 and 1 are no exception."""
    pairs = n * (n - 1) // 2
    wins = wins_of(
        data.draw(st.lists(st.sampled_from([-700.0, -2.0, 0.0, 0.5, 700.0]), min_size=pairs, max_size=pairs)), n
    )
    found, won = strengths(wins), [math.fsum(row) for row in wins]
    for i in range(n):
        for j in range(n):
            if abs(won[i] - won[j]) < 1e-12:
                assert found[i] == found[j]
            else:
                assert (found[i] > found[j]) == (won[i] > won[j])


def test_strengths_that_made_the_games_come_back() -> None:
    """Up to the prior: a hundredth of a draw pulls every share of wins towards a half."""
    made = np.array([1.2, 0.4, -0.3, -1.3])
    wins = (1 / (1 + np.exp(made[None] - made[:, None]))).tolist()
    assert strengths(wins) == pytest.approx(made, abs=0.03)
    assert strengths(wins) != pytest.approx(made, abs=1e-4), "the prior is there"


def test_two_candidates_by_hand() -> None:
    for p in (0.0, 0.3, 0.8, 1.0):
        half = math.log((p + DRAW / 2) / (1 - p + DRAW / 2)) / 2
        assert strengths([[0.5, p], [1 - p, 0.5]]) == pytest.approx([half, -half], abs=1e-9)


@pytest.mark.parametrize("n", [2, 3, 12, 60])
def test_a_perfect_order_is_finite(n: int) -> None:
    found = strengths(perfect(n))
    assert found == sorted(found, reverse=True) and len(set(found)) == n
    assert found == pytest.approx([-value for value in reversed(found)], abs=1e-8)
    expected = [sum((1 + DRAW) / (1 + math.exp(b - a)) for b in found) - (1 + DRAW) / 2 for a in found]
    assert expected == pytest.approx([n - 1 - i + (n - 1) * DRAW / 2 for i in range(n)], abs=1e-6)


def test_ties_and_cycles_are_all_alike() -> None:
    assert strengths([[0.5] * 5 for _ in range(5)]) == [0.0] * 5
    for p in (0.6, 0.9, 1.0):
        q = 1 - p
        assert strengths([[0.5, p, q], [q, 0.5, p], [p, q, 0.5]]) == [0.0] * 3


def test_a_cycle_above_one_who_loses_to_all() -> None:
    found = strengths([[0.5, 0.9, 0.1, 1.0], [0.1, 0.5, 0.9, 1.0], [0.9, 0.1, 0.5, 1.0], [0.0, 0.0, 0.0, 0.5]])
    assert found[0] == found[1] == found[2] > 0 > found[3]


def test_the_diagonal_is_not_read() -> None:
    assert strengths([[9.0, 0.7], [0.3, float("nan")]]) == strengths([[0.5, 0.7], [0.3, 0.5]])

"""One order for both: log-odds in, plans out, and whether what a plan promises holds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif_fast.judging.order_plan import (
    CONFIDENCE,
    Floats,
    Plan,
    held_out,
    label_prior,
    least_sample,
    plan_auto,
    plan_prior,
)
from rlaif_fast.judging.verdict import Verdict, sigmoid
from rlaif_fast.rows.pairs import Pair

PAIR = Pair("i", "a", "b")
finite = st.floats(-30, 30, allow_nan=False)


def _orders(content: Floats, bias: Floats | float) -> Floats:
    return np.stack([content + bias, content - bias], 1)


def _auto(both: Floats, disagreement: float) -> Plan:
    return plan_auto(both, both[held_out(len(both), "auto"), 0], disagreement)


@settings(deadline=None)
@given(st.lists(finite.filter(lambda c: abs(c) > 1e-6), min_size=4, max_size=60), st.floats(-10, 10))
def test_a_constant_bias_is_found_and_taken_away(content: list[float], bias: float) -> None:
    """Label and p1 are those of both orders."""
    both = _orders(np.array(content), bias)
    plan = plan_prior(both, both[held_out(len(both), "prior"), 0])
    assert plan.prior == pytest.approx(bias, abs=1e-9)
    assert (plan.differ, plan.twice) == (0, 0)
    for forward, swapped in both.tolist():
        wanted, odds = Verdict(PAIR, (forward, swapped)), plan.one_order(forward)
        assert odds is not None
        found = Verdict(PAIR, (odds,))
        assert found.label == wanted.label or abs(wanted.p1 - 0.5) < 1e-15
        assert found.p1 == pytest.approx(wanted.p1, abs=1e-9)


@settings(deadline=None)
@given(finite, st.floats(-15, 15))
def test_p1_of_one_order_is_the_average_over_both(forward: float, prior: float) -> None:
    odds = Plan(prior, 0.0, 1, 0, 0.0).one_order(forward)
    assert odds is not None
    assert sigmoid(odds) == pytest.approx((sigmoid(forward) + sigmoid(forward - 2 * prior)) / 2, rel=1e-9)


def test_the_prior_is_pridess_for_two_labels() -> None:
    """Softmax of the mean log-probability over permutations, pair by pair, then its log-odds averaged."""
    both = np.random.default_rng(1).normal(0.4, 1, (50, 2))
    first = np.log([[sigmoid(f), sigmoid(-s)] for f, s in both])  # log P(label 1) by order
    second = np.log([[sigmoid(-f), sigmoid(s)] for f, s in both])
    pairs = np.exp(np.stack([first.mean(1), second.mean(1)], 1))
    pairs /= pairs.sum(1, keepdims=True)
    assert label_prior(both) == pytest.approx(float(np.log(pairs[:, 0] / pairs[:, 1]).mean()), abs=1e-12)


def test_near_ties_take_the_second_order() -> None:
    plan = Plan(0.5, 1.0, 1, 0, 0.0)
    assert plan.one_order(1.4) is None and plan.one_order(-0.4) is None
    assert plan.one_order(1.5) is not None and plan.one_order(-0.5) is not None
    assert Plan(0.0, math.inf, 1, 0, 1.0).one_order(1e9) is None


def test_the_least_sample_is_the_least() -> None:
    """Without any error: a sample of that size gives a plan, a pair less does not."""
    for share in (0.01, 0.05, 0.2):
        n = least_sample(share)
        for size, promised in ((n, True), (n - 1, False)):
            both = _orders(np.linspace(1, 2, size), 0.0)
            plan = _auto(both, share)
            assert (plan.threshold == 0.0, plan.bound <= share) == (promised, promised)
    assert least_sample(0.01) == 399


def test_without_support_everything_is_read_twice() -> None:
    noise = np.random.default_rng(2).normal(0, 1, (500, 2))
    plan = _auto(noise, 0.001)
    assert (plan.threshold, plan.twice, plan.differ) == (math.inf, 1.0, 0)


@pytest.mark.parametrize(("spread", "share", "settled"), [(0.1, 0.01, 0.8), (0.1, 0.05, 0.9), (0.4, 0.05, 0.5)])
def test_the_promise_holds_over_many_files(spread: float, share: float, settled: float) -> None:
    """Files of 3,000 pairs, a random sample of each: the labels that differ in the whole file are at most ``share``
    of it, but for as many files as the confidence allows. The bound on that count is binomial at 1e-3."""
    files, size, broken, once = 400, 3000, 0, 0.0
    random = np.random.default_rng([int(10 * spread), int(100 * share)])
    for _ in range(files):
        both = _orders(random.normal(0, 1, size), 0.7 + random.normal(0, spread, size))
        drawn = random.choice(size, 2 * least_sample(share), replace=False)
        plan = _auto(both[drawn], share)
        corrected = both[:, 0] - plan.prior
        skipped = np.abs(corrected) >= plan.threshold
        broken += bool((skipped & ((corrected > 0) != (both.sum(1) > 0))).mean() > share)
        once += float(skipped.mean()) / files
    expected = files * (1 - CONFIDENCE)
    assert broken <= expected + 3.1 * math.sqrt(expected * CONFIDENCE)
    assert once > settled, "a promise that is kept by reading everything twice"

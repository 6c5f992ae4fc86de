"""Exact binomials, the bootstrap and what can be decided: against published tables, fractions and simulated studies."""

from __future__ import annotations

import math
from fractions import Fraction
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif_fast.evaluation import binomial, bootstrap
from rlaif_fast.evaluation.coverage import decided, thresholds
from rlaif_fast.evaluation.figures import figures_of
from rlaif_fast.judging import binomial as tail
from tests.slow_alignment import binomial_tail
from tests.verdicts import random_rows, sample, verdict_row

# Exact binomials


@pytest.mark.parametrize(
    ("successes", "trials", "wanted"),
    [  # as published tables and every statistics package have them
        (5, 10, [0.1871, 0.8129]), (0, 10, [0.0, 0.3085]), (10, 10, [0.6915, 1.0]), (1, 20, [0.0013, 0.2487]),
        (81, 263, [0.2527, 0.3676]), (0, 1, [0.0, 0.975]),
    ],
)  # fmt: skip
def test_clopper_and_pearson(successes: int, trials: int, wanted: list[float]) -> None:
    assert [round(end, 4) for end in binomial.interval(successes, trials) or []] == wanted
    assert binomial.interval(0, 0) is None


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 80), st.integers(1, 80), st.integers(0, 64))
def test_tails_are_those_of_fractions(successes: int, trials: int, sixty_fourths: int) -> None:
    share = Fraction(sixty_fourths, 64)
    likely = [math.comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(trials + 1)]
    exact = sum(likely[: successes + 1])
    assert tail.cdf(successes, trials, float(share)) == pytest.approx(float(exact), rel=1e-11, abs=1e-300)
    assert tail.cdf(-1, trials, float(share)) == 0


def test_tails_of_many_trials_do_not_overflow() -> None:
    assert tail.cdf(5000, 10000, 0.5) == pytest.approx(
        float(Fraction(1, 2) + Fraction(math.comb(10000, 5000), 2**10001))
    )
    assert tail.cdf(9, 10000, 0.5) == 0.0
    assert binomial_tail(300, 1000, 0.3) == pytest.approx(tail.cdf(300, 1000, 0.3), rel=1e-9)


@pytest.mark.parametrize("trials", [1, 5, 40, 300, 3000])
def test_the_runtimes_tail_and_bound_are_scipys(trials: int) -> None:
    """rlaif_fast.judging.binomial is by hand, because the runtime has no scipy; evaluation's is scipy's."""
    for successes in range(0, trials + 1, max(1, trials // 25)):
        for share in (0.01, 0.05, 0.5):
            wanted = binomial.p_value(successes, trials, share)
            assert tail.cdf(successes, trials, share) == pytest.approx(wanted, rel=1e-10)
        for error in (0.0125, 0.05):
            wanted = binomial.upper_bound(successes, trials, error)
            assert tail.upper_bound(successes, trials, error) == pytest.approx(wanted, abs=1e-11)


@pytest.mark.parametrize("of", [binomial, tail])
def test_bounds_are_where_the_tail_has_the_error(of: ModuleType) -> None:
    for successes, trials, error in ((0, 86, 0.0125), (7, 31, 0.025), (30, 31, 0.1)):
        upper = of.upper_bound(successes, trials, error)
        assert tail.cdf(successes, trials, upper) == pytest.approx(error)
    assert of.upper_bound(4, 4, 0.05) == 1


def test_intervals_leave_the_error_on_either_side() -> None:
    for successes, trials in ((7, 31), (30, 31), (1, 500)):
        low, high = binomial.interval(successes, trials, 0.9) or (0.0, 0.0)
        assert tail.cdf(successes, trials, high) == pytest.approx(0.05)
        assert 1 - tail.cdf(successes - 1, trials, low) == pytest.approx(0.05)


def test_mcnemar_is_a_sign_test() -> None:
    assert binomial.mcnemar(1, 9) == binomial.mcnemar(9, 1) == pytest.approx(2 * 11 / 1024)
    assert binomial.mcnemar(0, 0) == binomial.mcnemar(3, 3) == 1.0


# The bootstrap


def test_the_bootstrap_is_the_documented_draws() -> None:
    rows = random_rows(3, 200, groups=60)
    of = sample(rows)
    first, second = figures_of(of), figures_of(of)
    assert first == second
    draws = np.random.RandomState(0).randint(0, of.groups, (2000, of.groups), dtype=np.int64)
    accuracy = [np.concatenate([of.right[of.group == g] for g in draw]).mean() for draw in draws]
    assert first.accuracy.interval == pytest.approx(np.percentile(accuracy, [2.5, 97.5]).tolist(), abs=1e-12)


def test_draws_do_not_depend_on_how_many_fit_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    of = sample(random_rows(4, 50))
    whole = figures_of(of)
    monkeypatch.setattr(bootstrap, "_DRAWS", 777)
    assert figures_of(of) == whole


def test_intervals_cover_where_instructions_differ() -> None:
    """300 made-up studies, 60 instructions with 5 pairs each that are right or wrong together more often than not."""
    draw = np.random.default_rng(1)

    def covered(group: npt.NDArray[np.int64], studies: int) -> float:
        inside = 0
        for _ in range(studies):
            share = draw.beta(1.2, 0.8, 60)  # 0.6 on average
            right = (draw.random((60, 5)) < share[:, None]).ravel()
            terms = np.column_stack([np.ones(300), right])
            low, high = bootstrap.intervals(terms, group, lambda sums: {"x": sums[..., 1] / sums[..., 0]})["x"] or (
                2,
                2,
            )
            inside += low <= 0.6 <= high
        return inside / studies

    assert 0.91 <= covered(np.repeat(np.arange(60), 5), 300) <= 0.98
    assert covered(np.arange(300), 60) < 0.85, "pairs taken as independent would promise too much"


# What can be decided


def test_nothing_is_promised_of_few_pairs() -> None:
    perfect = [verdict_row(k, [0.9 + k / 10000] * 2, 0) for k in range(1, 200)]
    # 0.95 ** 86 <= 0.05 / 4, and the last start has three quarters of the pairs: 86 of 114, 85 of 113
    assert decided(sample(perfect[:113]), 0.05).value == 0
    found = decided(sample(perfect[:114]), 0.05)
    assert (found.value, found.tested, found.errors) == (1.0, 114, 0)
    assert found.upper_bound == pytest.approx(1 - 0.0125 ** (1 / 114))
    assert decided(sample(perfect[:54]), 0.1).value == 0
    assert decided(sample(perfect[:55]), 0.1).value == 1


def test_pairs_on_one_instruction_count_once() -> None:
    rows = [verdict_row(k, [0.9 + k / 10000] * 2, 0, instruction=f"text {k % 50}") for k in range(300)]
    assert decided(sample(rows), 0.05).value == 0


def test_the_threshold_is_for_min_margin() -> None:
    rows = [verdict_row(k, [0.5 + k / 1000] * 2, int(k < 200 and k % 2)) for k in range(400)]
    of = sample(rows)
    found = decided(of, 0.05)
    assert found.threshold in thresholds(of.margin) and 0.4 < found.value < 0.6
    kept = of.margin >= (found.threshold or 0)
    assert kept.mean() == found.value and kept.sum() == found.tested
    assert (~of.right[kept]).sum() == found.errors and (found.upper_bound or 1) <= 0.05


def test_what_is_promised_holds() -> None:
    """A judge that is wrong on 5.5 % at every margin may be promised to be within 5 % in one study of twenty."""
    draw = np.random.default_rng(2)

    def promised(rate: float) -> float:
        p1, wrong = 0.5 + draw.random(400) / 2, draw.random(400) < rate
        rows = [verdict_row(k, [p, p], int(w)) for k, (p, w) in enumerate(zip(p1, wrong, strict=True))]
        return decided(sample(rows), 0.05).value

    assert sum(promised(0.055) > 0 for _ in range(200)) <= 0.05 * 200
    assert sum(promised(0.005) > 0.5 for _ in range(30)) > 25

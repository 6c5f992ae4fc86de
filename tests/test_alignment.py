"""What verdicts are worth: every figure against an independent computation, by hand, and against what cannot change."""

from __future__ import annotations

import json
import math
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif_fast import Pair, Verdict
from rlaif_fast.errors import EvalError
from rlaif_fast.evaluation import binomial, bootstrap, metrics
from rlaif_fast.evaluation.calibration import Calibration, fit, read_calibration
from rlaif_fast.evaluation.coverage import coverage, decided, thresholds
from rlaif_fast.evaluation.records import Record, Sample, half, is_verdict, record, record_of, sample_of
from rlaif_fast.evaluation.report import Report, evaluate, figures_of
from rlaif_fast.files import Row as Read
from tests.slow_alignment import binomial_tail, recompute, worst
from tests.verdicts import Row, random_rows, verdict_row


def sample(rows: list[Row]) -> Sample:
    return sample_of(record(row) for row in rows)


def report(rows: list[Row]) -> Report:
    return evaluate(sample(rows), source="rows", command="rlaif-fast eval rows")


def values(of: Sample) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.figures(metrics.terms(of).sum(0)).items()}


# Against the independent computation


@pytest.mark.parametrize(
    ("count", "groups", "one_order", "skill"),
    [(150, 40, 0.0, 1.5), (90, None, 0.3, 0.5), (60, 9, 1.0, 2.0), (200, None, 0.0, 6.0), (21, 3, 0.1, 0.0),
     (1, None, 0.0, 1.0), (2, 1, 0.0, 1.0)],
)  # fmt: skip
def test_every_figure_is_that_of_plain_loops(count: int, groups: int | None, one_order: float, skill: float) -> None:
    rows = random_rows(count, count, groups=groups, one_order=one_order, skill=skill)
    place, difference, compared = worst(rows, json.loads(report(rows).to_json()))
    assert difference < 1e-9, place
    assert compared > 200


def test_the_slow_computation_would_notice() -> None:
    rows = random_rows(5, 30)
    found = json.loads(report(rows).to_json())
    found["by_margin"][2]["pairs"] += 1
    assert worst(rows, found)[:2] == ("eval.by_margin[2].pairs", 1.0)
    del found["coverage"][3]["interval"]
    assert worst(rows, found)[1] == math.inf


# By hand


def test_five_pairs_by_hand() -> None:
    rows = [
        verdict_row(1, [0.75, 0.75], 0, response_0="long", response_1="sh"),  # right, consistent, longer right
        verdict_row(2, [0.875, 0.375], 1, response_0="sh", response_1="long"),  # wrong, both pick the first
        verdict_row(3, [0.25, 0.25], 1, response_0="same", response_1="size"),  # right; as long
        verdict_row(4, [0.375, 0.625], 1, response_0="long", response_1="sh"),  # a tie is response_1's: right
        verdict_row(5, [0.9375], 0, response_0="sh", response_1="long"),  # right, one order
    ]
    found = values(sample(rows))
    assert found["accuracy"] == 4 / 5
    e = (3 * 2 + 2 * 3) / 25  # the judge picks response_0 three times, people twice
    assert found["kappa"] == pytest.approx((4 / 5 - e) / (1 - e))
    assert found["same_position_rate"] == 2 / 4 and found["consistency"] == 2 / 4
    first = 1 + 2 + 1 + 0 + 1  # row 4 picks the second twice
    assert found["first_position_rate"] == first / 9
    assert found["longer"] == (1 + 1 + 0.5 + 0 + 0) / 5 and found["first"] == 2 / 5
    assert found["over_longer"] == pytest.approx(4 / 5 - 2.5 / 5)
    assert found["brier"] == pytest.approx((0.0625 + 0.390625 + 0.0625 + 0.25 + 0.00390625) / 5)
    assert found["log_loss"] == pytest.approx(-sum(map(math.log, (0.75, 0.375, 0.75, 0.5, 0.9375))) / 5)
    # bins: 0.5 | 0.625 | 0.75 twice | 0.9375, the sums of confidence against those that are right
    assert found["ece"] == pytest.approx((abs(0.5 - 1) + abs(0.625 - 0) + abs(1.5 - 2) + abs(0.9375 - 1)) / 5)


def test_kappa_of_the_textbook() -> None:
    """Cohen 1960's kind of table: 20 and 15 agreed, 5 and 10 not; kappa 0.4."""
    table = [(0.9, 0, 20), (0.9, 1, 5), (0.1, 0, 10), (0.1, 1, 15)]
    rows = [verdict_row(f"{p}{human}{k}", [p, p], human) for p, human, count in table for k in range(count)]
    assert values(sample(rows))["kappa"] == pytest.approx(0.4)


def test_a_calibrated_judge_has_no_calibration_error() -> None:
    rows = [verdict_row(k, [0.75, 0.75], int(k >= 75)) for k in range(100)]
    found = values(sample(rows))
    assert found["ece"] == 0 and found["brier"] == pytest.approx(0.1875)
    overconfident = values(sample([verdict_row(k, [0.9921875] * 2, int(k >= 75)) for k in range(100)]))
    assert overconfident["ece"] == pytest.approx(0.9921875 - 0.75)


def test_pairs_lie_in_the_bin_of_their_margin() -> None:
    p1 = [0.5, 0.509, 0.511, 0.53, 0.57, 0.61, 0.72, 0.76, 0.92, 1.0, 0.0]
    found = report([verdict_row(k, [p, p], 0) for k, p in enumerate(p1)])
    assert [(b.low, b.high, b.pairs) for b in found.by_margin] == [
        (0, 0.02, 2), (0.02, 0.05, 1), (0.05, 0.1, 1), (0.1, 0.2, 1), (0.2, 0.5, 2), (0.5, 1, 4),
    ]  # fmt: skip
    assert [b.pairs for b in found.reliability] == [4, 1, 1, 0, 1, 1, 0, 0, 1, 2]
    assert sum(b.pairs for b in found.reliability) == len(p1)


def test_coverage_keeps_the_most_decided() -> None:
    rows = [verdict_row(k, [0.5 + k / 100] * 2, int(k < 20)) for k in range(1, 41)]
    points = coverage(sample(rows))
    assert [point.pairs for point in points] == list(range(2, 41, 2))
    assert [point.accuracy for point in points[:10]] == [1.0] * 10
    assert points[-1].accuracy == 21 / 40 and points[-1].coverage == 1
    assert points[0].threshold == pytest.approx(0.78)


def test_equal_margins_are_kept_together() -> None:
    rows = [verdict_row(k, [0.75, 0.75], k % 2) for k in range(30)]
    assert {(point.pairs, point.coverage, point.accuracy) for point in coverage(sample(rows))} == {(30, 1.0, 0.5)}


# What cannot change

_P = st.integers(1, 2**19 - 1).map(lambda k: (2 * k + 1) / 2**20)  # never a half; 1 - p is exact


@st.composite
def _rows(draw: st.DrawFn) -> list[Row]:
    rows = []
    for k in range(draw(st.integers(1, 25))):
        by_order = draw(st.lists(_P, min_size=1, max_size=2).filter(lambda p: len(p) == 1 or p[0] + p[1] != 1))
        texts = {"instruction": f"text {draw(st.integers(0, 9))}", "response_0": "a" * draw(st.integers(1, 3)),
                 "response_1": "b" * draw(st.integers(1, 3))}  # fmt: skip
        rows.append(verdict_row(k, by_order, draw(st.integers(0, 1)), **texts))
    return rows


def _exchanged(one: Record) -> Record:
    """The same pair with its responses exchanged: what was shown second is now response_0 shown first."""
    assert isinstance(one.human_label, int)
    by_order = tuple(1 - p for p in reversed(one.p1_by_order))
    return Record(
        one.id, one.instruction, one.response_1, one.response_0, sum(by_order) / len(by_order), by_order,
        1 - one.human_label, one.task,
    )  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(_rows(), st.randoms(use_true_random=False))
def test_exchanging_responses_exchanges_nothing_else(rows: list[Row], draw: random.Random) -> None:
    both = [record(row) for row in rows if len(row["p1_by_order"]) == 2]
    if not both:
        return
    some = [_exchanged(one) if draw.random() < 0.5 else one for one in both]
    before, after = values(sample_of(both)), values(sample_of(some))
    for name in before.keys() - {"kappa", "first"}:
        assert after[name] == pytest.approx(before[name], abs=1e-12), name
    wholly = values(sample_of(map(_exchanged, both)))
    assert wholly["kappa"] == pytest.approx(before["kappa"], abs=1e-12, nan_ok=True)
    assert wholly["first"] == pytest.approx(1 - before["first"])
    before_points, after_points = coverage(sample_of(both)), coverage(sample_of(some))
    assert [(p.threshold, p.accuracy) for p in after_points] == [(p.threshold, p.accuracy) for p in before_points]
    assert figures_of(sample_of(some)).accuracy == figures_of(sample_of(both)).accuracy


@settings(deadline=None, max_examples=25)
@given(_rows(), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(rows: list[Row], draw: random.Random) -> None:
    mixed = draw.sample(rows, len(rows))
    before, after = values(sample(rows)), values(sample(mixed))
    for name, value in before.items():
        assert after[name] == pytest.approx(value, abs=1e-12, nan_ok=True), name
    assert coverage(sample(mixed)) == coverage(sample(rows))
    first, second = report(rows), report(mixed)
    assert [(b.pairs, b.accuracy) for b in second.by_margin] == [(b.pairs, b.accuracy) for b in first.by_margin]


@settings(deadline=None, max_examples=30)
@given(_rows(), st.integers(2, 4))
def test_pairs_said_again_on_the_same_instruction_widen_no_interval(rows: list[Row], times: int) -> None:
    """Copies in the same group say nothing new: figures and intervals stay."""
    copies = [row | {"id": f"{row['id']} {n}"} for row in rows for n in range(times)]
    one, many = figures_of(sample(rows)), figures_of(sample(copies))
    assert many.pairs == times * one.pairs and many.groups == one.groups
    for name in ("accuracy", "kappa", "ece", "brier", "log_loss", "over_longer", "first_position_rate"):
        before, after = getattr(one, name), getattr(many, name)
        assert after.value == pytest.approx(before.value, abs=1e-12), name
        assert after.interval == pytest.approx(before.interval, abs=1e-12), name


@settings(deadline=None, max_examples=40)
@given(_rows())
def test_figures_lie_where_they_must(rows: list[Row]) -> None:
    found = report(rows)
    of = found.figures
    for name in ("accuracy", "first_position_rate", "ece", "brier"):
        figure = getattr(of, name)
        low, high = figure.interval or (0, 1)
        assert 0 <= figure.value <= 1 and 0 <= low <= high <= 1
    assert of.kappa.value is None or -1 <= of.kappa.value <= 1
    assert of.over_longer.value == pytest.approx(of.accuracy.value - of.baselines.longer.value)
    if of.consistency.value is not None:
        assert of.consistency.value + of.same_position_rate.value == pytest.approx(1)
    assert [p.pairs for p in found.coverage] == sorted(p.pairs for p in found.coverage)
    assert found.coverage[-1].pairs == len(rows) and found.coverage[-1].accuracy == of.accuracy.value
    json.loads(found.to_json(), parse_constant=pytest.fail)


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
    assert binomial.cdf(successes, trials, float(share)) == pytest.approx(float(exact), rel=1e-11, abs=1e-300)
    assert binomial.cdf(-1, trials, float(share)) == 0


def test_tails_of_many_trials_do_not_overflow() -> None:
    assert binomial.cdf(5000, 10000, 0.5) == pytest.approx(
        float(Fraction(1, 2) + Fraction(math.comb(10000, 5000), 2**10001))
    )
    assert binomial.cdf(9, 10000, 0.5) == 0.0
    assert binomial_tail(300, 1000, 0.3) == pytest.approx(binomial.cdf(300, 1000, 0.3), rel=1e-9)


def test_bounds_are_where_the_tail_has_the_error() -> None:
    for successes, trials, error in ((0, 86, 0.0125), (7, 31, 0.025), (30, 31, 0.1)):
        upper = binomial.upper_bound(successes, trials, error)
        assert binomial.cdf(successes, trials, upper) == pytest.approx(error)
        lower = binomial.lower_bound(successes, trials, error)
        assert 1 - binomial.cdf(successes - 1, trials, lower) == pytest.approx(error if successes else 1)
    assert binomial.upper_bound(4, 4, 0.05) == 1 and binomial.lower_bound(0, 4, 0.05) == 0


def test_mcnemar_is_a_sign_test() -> None:
    assert binomial.mcnemar(1, 9) == binomial.mcnemar(9, 1) == pytest.approx(2 * 11 / 1024)
    assert binomial.mcnemar(0, 0) == binomial.mcnemar(3, 3) == 1.0


# The bootstrap


def test_the_bootstrap_is_the_documented_draws() -> None:
    rows = random_rows(3, 40, groups=13)
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


# Calibration


def _leaning(seed: int, count: int = 400) -> Sample:
    return sample(random_rows(seed, count, skill=1.5, lean=0.9))


def test_a_fit_takes_away_what_was_put_in() -> None:
    """The leaning is 0.9; log-odds of quality N(±0.75, 1) say 1.5 times as much as they are worth of it."""
    of = _leaning(11, 4000)
    a, b = fit(of)
    assert b / a == pytest.approx(-0.9, abs=0.03)
    assert a == pytest.approx(1.5, abs=0.15)
    fitted = Calibration("", a, b, {}).on(of)
    before, after = values(of), values(fitted)
    assert after["log_loss"] < before["log_loss"] and after["ece"] < before["ece"]
    assert after["accuracy"] == before["accuracy"], "with both orders no label changes"
    assert after["same_position_rate"] < before["same_position_rate"]
    assert fit(fitted) == pytest.approx((1, 0), abs=1e-6), "there is nothing left to fit"


def test_no_other_temperature_is_better() -> None:
    of = _leaning(12)
    a, b = fit(of)
    least = values(Calibration("", a, b, {}).on(of))["log_loss"]
    for factor in (0.5, 0.9, 0.999, 1.001, 1.1, 2):
        assert values(Calibration("", factor * a, factor * b, {}).on(of))["log_loss"] > least


def test_exchanging_all_responses_fits_the_same() -> None:
    rows = [record(row) for row in random_rows(13, 200)]
    assert fit(sample_of(map(_exchanged, rows))) == pytest.approx(fit(sample_of(rows)), rel=1e-6)


@settings(deadline=None, max_examples=60)
@given(st.floats(-8, 8), st.floats(-8, 8), st.floats(0.01, 20), st.floats(-5, 5))
def test_arrays_and_verdicts_are_calibrated_alike(forward: float, swapped: float, a: float, b: float) -> None:
    of = Calibration("", a, b, {})
    verdict = Verdict(Pair("i", "x", "y"), (forward, swapped))
    one = of(verdict)
    same = of.on(sample([verdict_row(1, list(verdict.p1_by_order), 0)]))
    assert one.p1_by_order == pytest.approx(same.by_order[0].tolist(), abs=1e-9)
    assert one.p1 == pytest.approx(same.p1[0], abs=1e-9)
    assert one.label == verdict.label or abs(one.p1 - 0.5) < 1e-9
    exchanged = of(Verdict(Pair("i", "y", "x"), (-swapped, -forward)))
    assert exchanged.p1 == pytest.approx(one.p2, abs=1e-12)
    assert of(Verdict(verdict.pair, (forward,))).log_odds_by_order == (a * forward + b,)


def test_log_odds_without_or_with_all_meaning_are_at_a_limit() -> None:
    backwards = [verdict_row(k, [0.9, 0.8] if k % 2 else [0.1, 0.2], k % 2) for k in range(30)]
    a, b = fit(sample(backwards))
    assert a == 1e-3 and Calibration("", a, b, {}).at_limit
    perfect = [verdict_row(k, [0.6, 0.55] if k % 2 else [0.45, 0.4], 1 - k % 2) for k in range(30)]
    assert fit(sample(perfect))[0] == 1e3


def test_one_order_cannot_be_fitted() -> None:
    with pytest.raises(EvalError, match="both orders"):
        fit(sample(random_rows(1, 30, one_order=0.2)))


def test_halves_are_of_instructions_and_about_as_large() -> None:
    found = [half(f"text {k}") for k in range(1000)]
    assert found == [half(f"text {k}") for k in range(1000)] and 420 < sum(found) < 580
    assert (half("a"), half("b")) == (1, 1), "the last bits of sha256 of a and of b, as sha256sum prints them"


def test_a_calibration_is_kept_to_the_last_digit(tmp_path: Path) -> None:
    of = Calibration("digest", 0.1 + 0.2, -1 / 3, {"source": "f", "pairs": 3})
    (tmp_path / "c.json").write_text(of.to_json())
    assert read_calibration(tmp_path / "c.json") == of
    assert read_calibration(tmp_path / "c.json").digest == of.digest != Calibration("digest", 0.3, -1 / 3, {}).digest
    of.require_bundle("digest", tmp_path)
    with pytest.raises(EvalError, match="fitted to another bundle"):
        of.require_bundle("other", tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"a": 0}, "no whole calibration"), ({"a": -1}, "no whole"), ({"a": "1"}, "no whole"),
        ({"a": True}, "no whole"), ({"b": None}, "no whole"), ({"bundle": 1}, "no whole"),
        ({"fitted": []}, "no whole"), ({"schema": 2}, "schema 2"),
    ],
)  # fmt: skip
def test_a_broken_calibration_is_refused(change: Row, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(json.loads(Calibration("digest", 1.0, 0.0, {}).to_json()) | change))
    with pytest.raises(EvalError, match=f"^{path}: .*{reason}"):
        read_calibration(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "{}", '{"schema": 1}', '{"a": NaN}', "[" * 100_000])
def test_what_is_no_calibration_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(EvalError, match="no calibration, give a file written by"):
        read_calibration(path)
    for bad in (tmp_path / "none", tmp_path):
        with pytest.raises(EvalError, match="cannot be read"):
            read_calibration(bad)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_no_calibration_is_without_end(number: str, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(Calibration("digest", 1.0, 0.5, {}).to_json().replace("0.5", number))
    with pytest.raises(EvalError, match="no whole calibration"):
        read_calibration(path)


# Rows


GOOD = verdict_row("x", [0.75, 0.5], 1, task="helpful")


def test_a_row_is_a_record() -> None:
    assert record(GOOD) == Record("x", "text x", "zero x", "one x", 0.625, (0.75, 0.5), 1, "helpful")
    other = record(verdict_row(7, [0.25], None))
    assert (other.response_0, other.label, other.human_label, other.task, other.key) == ("zero 7", 2, None, None, "7")
    assert is_verdict(GOOD) and not is_verdict({"p1": 1}) and not is_verdict(None)


def test_a_row_of_a_csv_file_is_the_same_record() -> None:
    cells = {name: value if isinstance(value, str) else json.dumps(value) for name, value in GOOD.items()}
    assert record(cells) == record(GOOD)
    assert record(cells | {"human_label": "", "task": ""}).human_label is None
    assert record(cells | {"task": ""}).task is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"p1": None}, "p1 is None, it must be a number"),
        ({"p1": "x"}, "p1 is 'x', it must be a number"),
        ({"p1": True}, "p1 is True, it must be a number"),
        ({"p1": "nan"}, "p1 is nan, it must be within 0 and 1"),
        ({"p1": math.nan}, "p1 is nan, it must be within 0 and 1"),
        ({"p1": 1.5}, "p1 is 1.5, it must be within 0 and 1"),
        ({"p1": 10**400}, "p1 is an integer beyond any float"),
        ({"p1": 0.7}, "p1 is not the mean of p1_by_order"),
        ({"p1_by_order": []}, "p1_by_order must be a list of one or two numbers"),
        ({"p1_by_order": [0.5] * 3}, "p1_by_order must be a list of one or two numbers"),
        ({"p1_by_order": "[0.5"}, "p1_by_order must be a list of one or two numbers"),
        ({"p1_by_order": "[" * 100_000}, "p1_by_order must be a list of one or two numbers"),
        ({"p1_by_order": [0.75, math.nan]}, "p1_by_order is nan, it must be within 0 and 1"),
        ({"p1_by_order": [[0.5], 0.5]}, r"p1_by_order is \[0.5\], it must be a number"),
        ({"label": 2}, "label 2 does not follow from p1 0.625"),
        ({"label": 0}, "label 0 does not follow from p1 0.625"),
        ({"label": "nan"}, "label nan does not follow"),
        ({"human_label": 2}, "the human label is 2; it is 0 or 1, the index of the preferred response"),
        ({"human_label": "A"}, "the human label is 'A'"),
        ({"human_label": True}, "the human label is True"),
        ({"chosen": None}, "instruction, chosen and rejected must be strings"),
        ({"chosen": "\ud800"}, "the id or a text has a lone surrogate"),
        ({"id": "\ud800"}, "the id or a text has a lone surrogate"),
    ],
)  # fmt: skip
def test_a_bad_row_is_said_with_its_place(change: Row, reason: str) -> None:
    with pytest.raises(EvalError, match=rf"^f, line 3, id .*: {reason}"):
        record_of(Read(3, "f, line 3", GOOD | change))


@pytest.mark.parametrize("name", ["id", "instruction", "chosen", "rejected", "label", "p1", "p1_by_order"])
def test_a_missing_field_is_named(name: str) -> None:
    row = {key: value for key, value in GOOD.items() if key != name}
    with pytest.raises(EvalError, match=f"field '{name}' is missing; give rows written by `rlaif-fast judge`"):
        record_of(Read(1, "f, line 1", row))


def test_what_is_no_row_is_said() -> None:
    with pytest.raises(EvalError, match=r"^f, line 1: not JSON$"):
        record_of(Read(1, "f, line 1", None, "not JSON"))
    with pytest.raises(EvalError, match=r"^f, line 1: a row is a JSON object$"):
        record_of(Read(1, "f, line 1", [1]))


@pytest.mark.parametrize(("value", "label"), [(0.0, 0), (" 1 ", 1), ("1.0", 1), (0.5, "tie"), ("tie", "tie"),
                                              (math.nan, None), ("", None), (None, None)])  # fmt: skip
def test_a_label_in_any_spelling(value: Any, label: Any) -> None:
    assert record(GOOD | {"human_label": value}).human_label == label


# At the edge


def test_no_rows_are_refused() -> None:
    with pytest.raises(EvalError, match="no labelled pairs"):
        sample_of([])


def test_one_pair_has_no_interval() -> None:
    found = report([verdict_row(1, [0.75, 0.25], 0)])
    assert found.figures.accuracy.value == 0.0, "a tie is response_1's"
    assert found.figures.accuracy.interval is None
    assert [bin_.interval for bin_ in found.by_margin[1:]] == [None] * 5
    assert "1 pairs are few" in found.warnings[0]


@pytest.mark.parametrize("human", [0, 1])
def test_people_who_always_prefer_one_position_are_said(human: int) -> None:
    rows = random_rows(6, 120)
    for row in rows:
        row["human_label"] = human
    found = report(rows)
    # All 0 is how rows of chosen and rejected are read, which do not say who chose.
    who = "people prefer" if human else "the file's preferences are for"
    assert any(f"{who} response_{human} in every pair" in warning for warning in found.warnings)
    assert (found.where.count("left out"), found.whose) == (0, "people" if human else "the file's preferences")
    assert found.figures.kappa.value == 0 and found.figures.baselines.first.value == 1 - human
    agreed = figures_of(sample([row for row in rows if row["label"] == human + 1]))
    assert agreed.kappa.value is None and agreed.kappa.interval is None and agreed.accuracy.value == 1


def test_a_judge_without_margin_decides_nothing() -> None:
    found = report([verdict_row(k, [0.5, 0.5], k % 2) for k in range(200)])
    assert found.figures.accuracy.value == 0.5 and found.by_margin[0].pairs == 200
    assert found.figures.first_position_rate.value == 0.5 and found.figures.same_position_rate.value == 0
    assert [one.value for one in found.decided_within] == [0, 0]
    assert {point.threshold for point in found.coverage} == {0}
    assert found.figures.log_loss.value == pytest.approx(math.log(2))


def test_certainty_that_is_wrong_costs_much_but_not_without_end() -> None:
    found = values(sample([verdict_row(1, [1.0, 1.0], 1), verdict_row(2, [0.0, 0.0], 0)]))
    assert found["log_loss"] == pytest.approx(53 * math.log(2)) and found["brier"] == 1


def test_tasks_are_told_apart() -> None:
    rows = random_rows(8, 100)
    found = report(rows)
    assert set(found.by_task) == {"helpful", "harmless"}
    for task, of in found.by_task.items():
        assert of == figures_of(sample([row for row in rows if row.get("task") == task]))
    assert len(report([row | {"task": 3} for row in rows]).by_task) == 0


def test_warnings_are_about_what_is_there() -> None:
    biased = random_rows(9, 150, lean=4.0, skill=0.0)
    said = " | ".join(report(biased).warnings)
    assert "both orders pick the same position: mostly position bias" in said
    assert "not shown to be better than picking the longer" in said
    assert "in one order only" in " | ".join(report(random_rows(9, 150, one_order=0.5)).warnings)
    good = [row | {"chosen": "c" * 9, "rejected": "r" * 9} for row in random_rows(9, 300, lean=0.1, skill=5.0)]
    assert report(good).warnings == []
    against = [row | {"human_label": 1 - row["human_label"]} for row in good]
    assert "less often than a coin" in " | ".join(report(against).warnings)


def test_everything_can_be_computed_again_from_the_arrays() -> None:
    rows = random_rows(10, 80, groups=20, one_order=0.2)
    found = json.loads(report(rows).to_json())
    arrays = found["arrays"]
    again = [
        verdict_row(key, by_order, human, instruction=str(group), task=task,
                    response_0="x" * (2 + longer), response_1="x" * (2 - longer))
        for key, by_order, human, group, task, longer in zip(
            *(arrays[name] for name in ("id", "p1_by_order", "human_label", "group", "task", "longer")), strict=True)
    ]  # fmt: skip
    assert recompute(again).keys() <= found.keys()
    assert worst(again, found)[1] < 1e-9

"""What verdicts are worth: every figure against an independent computation, by hand, and against what cannot change."""

from __future__ import annotations

import json
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif_fast.errors import EvalError
from rlaif_fast.evaluation.coverage import coverage
from rlaif_fast.evaluation.figures import figures_of
from rlaif_fast.evaluation.records import record, sample_of
from tests.slow_alignment import recompute, worst
from tests.verdicts import Row, exchanged, random_rows, report, sample, values, verdict_row

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


@settings(deadline=None, max_examples=60)
@given(_rows(), st.randoms(use_true_random=False))
def test_exchanging_responses_exchanges_nothing_else(rows: list[Row], draw: random.Random) -> None:
    both = [record(row) for row in rows if len(row["p1_by_order"]) == 2]
    if not both:
        return
    some = [exchanged(one) if draw.random() < 0.5 else one for one in both]
    before, after = values(sample_of(both)), values(sample_of(some))
    for name in before.keys() - {"kappa", "first"}:
        assert after[name] == pytest.approx(before[name], abs=1e-12), name
    wholly = values(sample_of(map(exchanged, both)))
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


# At the edge


def test_no_rows_are_refused() -> None:
    with pytest.raises(EvalError, match="no labelled pairs"):
        sample_of([])


def test_one_pair_says_little() -> None:
    found = report([verdict_row(1, [0.75, 0.25], 0)])
    assert found.figures.accuracy.value == 0.0, "a tie is response_1's"
    assert found.figures.accuracy.interval == pytest.approx([0, 0.975])
    assert found.figures.over_longer.interval is None and found.figures.ece.interval is None
    assert [bin_.interval for bin_ in found.by_margin[1:]] == [None] * 5
    assert "1 pair is few" in found.warnings[0]


@pytest.mark.parametrize("human", [0, 1])
def test_people_who_always_prefer_one_position_are_said(human: int) -> None:
    rows = random_rows(6, 120)
    for row in rows:
        row["human_label"] = human
    found = report(rows)
    # All 0 is how rows of chosen and rejected are read, which do not say who chose.
    who = "people prefer" if human else "the file's preferences are for"
    assert any(f"{who} response_{human} in every pair" in warning for warning in found.warnings)
    assert (found.labels.left_out, found.labels.whose) == ("", "people" if human else "the file's preferences")
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
    assert list(report([row | {"task": 3} for row in rows]).by_task) == ["3"]
    assert not report([row | {"task": 0.3} for row in rows]).by_task


def test_warnings_are_about_what_is_there() -> None:
    biased = random_rows(9, 150, lean=4.0, skill=0.0)
    said = " | ".join(report(biased).warnings)
    assert "both orders pick the same position: mostly position bias" in said
    assert "not shown to be better than picking the longer" in said
    assert "have one value in p1_by_order, and the rows do not say why" in " | ".join(
        report(random_rows(9, 150, one_order=0.5)).warnings
    )
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

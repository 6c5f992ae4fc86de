"""Temperature and position offset: what a fit takes away, what it leaves, and the file that keeps it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif_fast import Pair, Verdict
from rlaif_fast.errors import EvalError
from rlaif_fast.evaluation.calibration import Calibration, fit, read_calibration
from rlaif_fast.evaluation.records import Sample, half, record, sample_of
from rlaif_fast.judging.judge import Orders
from rlaif_fast.selection.ways import both_ways
from tests.verdicts import Row, exchanged, random_rows, sample, values, verdict_row


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


@pytest.mark.parametrize("orders", get_args(Orders))
def test_no_other_temperature_is_better(orders: Orders) -> None:
    """Of p1 of one order, one that is fitted to both orders' mean is not the best."""
    of = _leaning(12)
    a, b = fit(of, orders)

    def loss(factor: float) -> float:
        return float(values(both_ways(Calibration("", factor * a, factor * b, {}).on(of), orders))["log_loss"])

    for factor in (0.5, 0.9, 0.999, 1.001, 1.1, 2):
        assert loss(factor) > loss(1)


def test_exchanging_all_responses_fits_the_same() -> None:
    rows = [record(row) for row in random_rows(13, 200)]
    assert fit(sample_of(map(exchanged, rows))) == pytest.approx(fit(sample_of(rows)), rel=1e-6)


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
        ({"a": 0}, "not a complete calibration"), ({"a": -1}, "not a complete"), ({"a": "1"}, "not a complete"),
        ({"a": True}, "not a complete"), ({"b": None}, "not a complete"), ({"bundle": 1}, "not a complete"),
        ({"fitted": []}, "not a complete"), ({"schema": 2}, "schema 2"), ({"A": 2}, "unknown field 'A', there is: "),
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
    path.write_text(Calibration("digest", 1.0, 0.0, {}).to_json().replace('"b"', '"a"'))
    with pytest.raises(EvalError, match="the field 'a' stands there twice"):
        read_calibration(path)
    for bad in (tmp_path / "none", tmp_path):
        with pytest.raises(EvalError, match="cannot be read"):
            read_calibration(bad)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_no_calibration_is_without_end(number: str, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(Calibration("digest", 1.0, 0.5, {}).to_json().replace("0.5", number))
    with pytest.raises(EvalError, match="no calibration, give a file written by"):
        read_calibration(path)

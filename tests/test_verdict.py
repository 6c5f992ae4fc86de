"""From label logits to a row of the contract."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif_fast.judging.label_odds import verdict_of
from rlaif_fast.judging.verdict import Verdict, sigmoid
from rlaif_fast.rows.pairs import Pair

PAIR = Pair("i", "zero", "one", id="x")
KEYS = ["id", "instruction", "chosen", "rejected", "label", "p1", "p2", "p1_by_order", "consistent", "truncated"]
_ODDS = st.floats(-1e4, 1e4)


def with_carried(**carried: Any) -> Verdict:
    return Verdict(Pair("i", "zero", "one", id="x", carried=carried), (1.0, 0.5))


def test_row_is_the_contracts() -> None:
    row = Verdict(PAIR, (2.0, -1.0)).row()
    p1 = (sigmoid(2.0) + sigmoid(-1.0)) / 2
    assert list(row) == KEYS
    assert row == {
        "id": "x", "instruction": "i", "chosen": "zero", "rejected": "one", "label": 1, "p1": p1, "p2": 1 - p1,
        "p1_by_order": [sigmoid(2.0), sigmoid(-1.0)], "consistent": False, "truncated": False,
    }  # fmt: skip


def test_second_response_is_chosen() -> None:
    verdict = Verdict(replace(PAIR, shown="cut"), (-2.0, -1.0))
    assert (verdict.label, verdict.chosen, verdict.rejected) == (2, "one", "zero")
    assert (verdict.consistent, verdict.row()["truncated"]) == (True, True)


def test_a_tie_is_label_2() -> None:
    for odds in ((0.0,), (0.0, 0.0)):
        verdict = Verdict(PAIR, odds)
        assert (verdict.p1, verdict.p2, verdict.label, verdict.chosen) == (0.5, 0.5, 2, "one")
    assert Verdict(PAIR, (0.0, 0.0)).consistent is True


def test_forward_order_alone_has_no_consistency() -> None:
    row = Verdict(PAIR, (1.5,)).row()
    assert (row["p1_by_order"], row["consistent"]) == ([sigmoid(1.5)], None)
    assert '"consistent": null' in Verdict(PAIR, (1.5,)).to_json()


@settings(deadline=None)
@given(st.lists(_ODDS, min_size=1, max_size=2).map(tuple))
def test_row_reads_back_to_the_same_floats(odds: tuple[float, ...]) -> None:
    verdict = Verdict(PAIR, odds)
    line = verdict.to_json()
    assert "\n" not in line
    assert json.loads(line) == verdict.row()
    assert [float.hex(p) for p in json.loads(line)["p1_by_order"]] == [float.hex(sigmoid(d)) for d in odds]
    assert 0 <= verdict.p1 <= 1
    assert verdict.p2 == 1 - verdict.p1
    assert verdict.label == (1 if verdict.p1 > verdict.p2 else 2)
    assert {verdict.chosen, verdict.rejected} == {"zero", "one"}
    if len(odds) == 2 and min(map(abs, odds)) > 1e-12:
        assert verdict.consistent == ((odds[0] > 0) == (odds[1] > 0))


def test_people_s_label_and_taken_names_are_kept_under_others() -> None:
    row = with_carried(source="web", label=2, p1=0.25, chosen="theirs", truncated=None).row()
    labels = ["human_label", "human_label_from_1"]
    assert list(row) == [*KEYS, "source", *labels, "input_p1", "input_chosen", "input_truncated"]
    assert (row["source"], row["human_label"], row["input_p1"], row["input_chosen"]) == ("web", 2, 0.25, "theirs")
    assert row["input_truncated"] is row["human_label_from_1"] is None, "2 is no index"
    assert row["label"] == 1 and row["chosen"] == "zero"


def test_human_label_stays_where_it_is_alone_and_moves_where_it_is_not() -> None:
    assert with_carried(human_label=1).row()["human_label"] == 1
    for carried in ({"label": 2, "human_label": 1}, {"human_label": 1, "label": 2}):
        row = with_carried(**carried).row()
        assert (row["human_label"], row["input_human_label"]) == (2, 1)


_NAMES = st.sampled_from([*KEYS[2:], "human_label", *(f"input_{k}" for k in KEYS), "input_human_label", "note"])


@settings(deadline=None)
@given(st.dictionaries(_NAMES, st.integers(100, 10_000), max_size=6))
def test_nothing_carried_is_lost(carried: dict[str, int]) -> None:
    row = Verdict(Pair("i", "zero", "one", id="x", carried=carried), (1.0,)).row()
    assert list(row)[: len(KEYS)] == KEYS
    assert row["p1"] == sigmoid(1.0)
    assert row.pop("human_label_from_1", None) is None, "none of them is an index"
    assert sorted(list(row.values())[len(KEYS) :]) == sorted(carried.values())


def test_text_is_written_as_it_is() -> None:
    pair = Pair("é\n\u2028", "日本", "\U0001f600", carried={"n": [1, {"a": None}]})
    line = Verdict(pair, (1.0,)).to_json()
    assert "日本" in line and "\\n" in line
    assert json.loads(line.encode())["instruction"] == pair.instruction
    assert json.loads(line)["n"] == [1, {"a": None}]


@settings(deadline=None)
@given(st.floats(allow_nan=False))
def test_sigmoid(x: float) -> None:
    p, last_bit = sigmoid(x), sys.float_info.epsilon  # of 1
    assert 0 <= p <= 1
    assert p == pytest.approx(0.5 * (1 + math.tanh(x / 2)), rel=0, abs=last_bit)
    assert p + sigmoid(-x) == pytest.approx(1, rel=0, abs=last_bit)


def test_sigmoid_keeps_what_is_nearly_nothing() -> None:
    assert sigmoid(-700.0) == math.exp(-700.0)
    assert sigmoid(-1e308) == 0.0 and sigmoid(1e308) == 1.0


def test_log_odds_are_response_0s_in_both_orders() -> None:
    """In the swapped order response_0 is shown second: its label is the second."""
    assert verdict_of(PAIR, np.array([[3.0, 1.0]])) == Verdict(PAIR, (2.0,))
    assert verdict_of(PAIR, np.array([[3.0, 1.0], [4.0, 0.5]])) == Verdict(PAIR, (2.0, -3.5))

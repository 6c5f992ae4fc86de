"""Rows as data sets have them become the contract's rows, or say what they lack."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif_fast.schemas.field_mapping import field_mapping
from rlaif_fast.schemas.human_labels import is_judged
from rlaif_fast.schemas.known import OWN, TRL, recognise
from rlaif_fast.schemas.question_columns import is_looked_at
from rlaif_fast.schemas.schema import NAMES, Row
from tests.rows import OURS, SHAPES, recognised


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_is_recognised_and_read(name: str) -> None:
    row, wanted = SHAPES[name]
    shape, before = recognised(row), repr(row)
    assert shape.name == name and shape(row) == wanted
    assert repr(row) == before, "the row itself is left alone"
    assert bool(shape.describe()) == (name != "own") and "\n" not in shape.describe()


@pytest.mark.parametrize(
    "row",
    [
        {}, {"instruction": "i"}, {"chosen": "a", "rejected": "b"}, {"prompt": "p", "chosen": "a"},
        {"instruction": "i", "completions": "text"}, {"instruction": "i", "output_1": "a"},
    ],
)  # fmt: skip
def test_what_is_none_of_them(row: Row) -> None:
    assert recognise(row) is None


def test_only_people_choose() -> None:
    row = {"prompt": "i", "chosen": "a", "rejected": "b"}
    assert TRL(row)["label"] == 0
    for label in (0, "tie", None, 2):
        assert TRL(row | {"label": label})["label"] == label, "a label of the row's own stands"
    for label in (1, "1", 1.0):  # may mean that either is preferred
        assert TRL(row | {"label": label}) == OURS | {"input_label": label}
    of_a_judge = row | {"soft_label": 0.6, "margin": 0.2, "consistent": True}
    assert is_judged(of_a_judge) and "label" not in TRL(of_a_judge)
    assert TRL(row | {"margin": 2.0})["label"] == 0, "other data sets have margins"
    verdict = {"instruction": "i", "chosen": "a", "rejected": "b", "p1": 0.6, "label": 1}
    assert recognised(verdict)(verdict) == OURS | {"p1": 0.6, "input_label": 1}


@pytest.mark.parametrize(("preference", "label"), [(1, 0), (2, 1), (1.0, 0), (0, "tie"), (1.5, "tie"), (True, None),
                                                   (None, None), ("1", 0), ("2.0", 1), ("0", "tie"), ("", None),
                                                   ("nan", None), (1.98, 1), ("1.02", 0), (3, None),
                                                   ("x", None)])  # fmt: skip
def test_alpacaevals_preference(preference: Any, label: int | str | None) -> None:
    row = {"instruction": "i", "output_1": "a", "output_2": "b", "preference": preference}
    assert recognised(row)(row).get("label") == label
    assert recognised(row)(row | {"label": 0})["label"] == 0


@pytest.mark.parametrize(
    ("more", "label"),
    [
        ({"score_chosen": 5.0, "score_rejected": 5.0}, "tie"), ({"score_chosen": "5", "score_rejected": "5.0"}, "tie"),
        ({"score_chosen": 5.0, "score_rejected": 4.0}, 0), ({"score_chosen": None, "score_rejected": None}, 0),
        ({"chosen_rating": 2, "rejected_rating": 2}, "tie"), ({"status": "tie"}, "tie"), ({"status": "unchanged"}, 0),
        ({"score_chosen": 5, "score_rejected": 5, "label": 0}, 0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("prompt", ["prompt", "instruction"])
def test_a_choice_between_equals_is_a_tie(prompt: str, more: Row, label: Any) -> None:
    row = {prompt: "i", "chosen": "a", "rejected": "b"} | more
    assert recognised(row)(row)["label"] == label


@pytest.mark.parametrize(
    ("verdict", "label", "wanted"),
    [(1, 0, 0), (2, 0, 1), (2, 1, 0), ("2", "1", 0), (2.0, 0.0, 1), (2, "tie", "tie"), (2, None, None), (2, "", "")],
)
@pytest.mark.parametrize("name", ["human_label", "file_label"])
def test_a_verdict_judged_again_keeps_peoples_choice(name: str, verdict: Any, label: Any, wanted: Any) -> None:
    row = {"instruction": "i", "chosen": "a", "rejected": "b", "p1": 0.4, "label": verdict, name: label}
    assert recognised(row)(row) == OURS | {"p1": 0.4, "input_label": verdict, name: wanted}


@pytest.mark.parametrize("verdict", [None, 0, True, "x"])
def test_a_choice_whose_positions_are_not_known(verdict: Any) -> None:
    row = {"instruction": "i", "chosen": "a", "rejected": "b", "p1": 0.4, "label": verdict, "human_label": 1}
    with pytest.raises(ValueError, match="does not say which response is chosen"):
        recognised(row)(row)


def test_a_third_response_is_not_left_out() -> None:
    assert OWN(OURS | {"response_2": ""})["response_0"] == "a"
    for name in ("response_2", "response_3", "response_10"):
        with pytest.raises(ValueError, match=f"^has {name} too; rank them with rlaif-fast rank"):
            OWN(OURS | {name: "c"})


def test_what_is_not_used_is_carried() -> None:
    row = {"prompt": "i", "chosen": "a", "rejected": "b", "response_0": "theirs", "input_response_0": 1, "id": "x"}
    assert TRL(row) == OURS | {"label": 0, "input_input_response_0": "theirs", "input_response_0": 1, "id": "x"}
    fields = field_mapping("instruction=q.text,response_0=a,response_1=b")
    row = {"q": {"text": "i", "n": 1}, "a": "x", "b": "y", "response_0": "theirs"}
    assert fields(row) == {"instruction": "i", "response_0": "x", "response_1": "y", "q": {"text": "i", "n": 1},
                           "input_response_0": "theirs"}  # fmt: skip


# The names of this code are drawn too: those of images and the like are refused, which other tests have.
_NAMES = st.text(max_size=4).filter(lambda name: not is_looked_at(name)) | st.sampled_from(
    ["label", "id", "instruction", "input_label"]
)


@settings(deadline=None)
@given(st.dictionaries(_NAMES, st.integers(), max_size=5))
def test_nothing_is_lost(more: Row) -> None:
    row = more | {"prompt": "i", "chosen": "a", "rejected": "b"}
    found = TRL(row)
    assert [found[name] for name in NAMES[:3]] == ["i", "a", "b"]
    left = [value for name, value in found.items() if name not in NAMES[:3]]
    wanted = [value for name, value in row.items() if name not in ("prompt", "chosen", "rejected")]
    assert sorted(left) == sorted(wanted + ([] if "label" in row else [0]))
    assert OWN(OURS | more | OURS) == more | OURS


def test_verdicts_are_recognised() -> None:
    row = {"id": 1, "instruction": "i", "chosen": "a", "rejected": "b", "label": 1, "p1": 0.75, "p2": 0.25,
           "p1_by_order": [0.75, 0.75], "consistent": True, "truncated": False}  # fmt: skip
    found = recognise(row)
    assert found is not None and found.note.startswith("reading verdicts of `judge`, to judge them again: ")
    read = found(row)
    assert (read["response_0"], read["response_1"]) == ("a", "b")

"""Public sets of two responses side by side: read as they are, with people's choice where the row says it."""

from __future__ import annotations

from typing import Any

import pytest

from rlaif_fast.schemas.human_labels import said_maker
from rlaif_fast.schemas.known import recognise
from rlaif_fast.schemas.schema import NAMES, Row
from tests.rows import reply, user

ARENA = {"question_id": "x", "model_a": "m-1", "model_b": "m-2",
         "conversation_a": [user("Q?"), reply("a")], "conversation_b": [user("Q?"), reply("b")]}  # fmt: skip
KAGGLE = {"prompt": '["Q?"]', "response_a": '["a"]', "response_b": '["b"]'}
JUDGEBENCH = {"pair_id": "x", "question": "Q?", "response_A": "a", "response_B": "b"}
PKU = {"prompt": "Q?", "response_0": "a", "response_1": "b", "safer_response_id": 0}
HELPSTEER2 = {"prompt": "Q?", "response_1": "a", "response_2": "b"}
HELPSTEER3 = {"domain": "stem", "context": [user("Q?")], "response1": "a", "response2": "b"}
SHP = {"history": "Q?", "human_ref_A": "a", "human_ref_B": "b", "score_A": 3, "score_B": 1}


@pytest.mark.parametrize(
    ("row", "label"),
    [
        (ARENA | {"winner": "model_a"}, 0), (ARENA | {"winner": "model_b"}, 1), (ARENA | {"winner": "m-2"}, 1),
        (ARENA | {"winner": "tie (bothbad)"}, "tie"), (ARENA | {"winner": ""}, None), (ARENA, False),
        (ARENA | {"winner": "somebody"}, False),
        (KAGGLE | {"winner_model_a": 0, "winner_model_b": 1, "winner_tie": 0}, 1),
        (KAGGLE | {"winner_model_a": "0", "winner_model_b": "0", "winner_tie": "1"}, "tie"),
        (JUDGEBENCH | {"label": "A>B"}, 0), (JUDGEBENCH | {"label": "B>A"}, 1), (JUDGEBENCH | {"label": "A=B"}, "tie"),
        (PKU | {"better_response_id": 1}, 1), (PKU | {"better_response_id": 0.0}, 0), (PKU, False),
        (HELPSTEER2, False), (HELPSTEER2 | {"label": 1}, False), (HELPSTEER2 | {"label": 0}, 0),
        (HELPSTEER3 | {"overall_preference": -2}, 0), (HELPSTEER3 | {"overall_preference": 1}, 1),
        (HELPSTEER3 | {"overall_preference": 0}, "tie"), (SHP | {"labels": 1}, 0), (SHP | {"labels": 0}, 1),
    ],
)  # fmt: skip
def test_it_is_read_as_it_is(row: Row, label: Any) -> None:
    schema = recognise(row)
    assert schema is not None and schema.name == "sides"
    taken = schema.take(row)
    assert [taken.row[name] for name in NAMES[:3]] == ["Q?", "a", "b"]
    assert taken.row.get("label", False) == label and ("label" in taken.row) == (label is not False)
    assert schema.describe().startswith("reading ") and " as response_0, " in schema.describe()


@pytest.mark.parametrize("row", [
    {"response_a": "a", "response_b": "b"}, {"prompt": "Q?", "response_1": "a", "response_2": "b", "response_3": "c"},
    {"prompt": "Q?", "response_a": "a"},
])  # fmt: skip
def test_what_is_none(row: Row) -> None:
    assert recognise(row) is None


def test_a_conversation_of_several_turns_is_judged_from_where_they_part() -> None:
    turns = [user("Q?"), reply("x"), user("More?")]
    row = {"conversation_a": [*turns, reply("a")], "conversation_b": [*turns, reply("b")], "winner": "model_a"}
    schema = recognise(row)
    assert schema is not None
    found = schema(row)
    assert (found["instruction"], found["response_0"]) == ("Human: Q?\n\nAssistant: x\n\nHuman: More?", "a")


def test_a_label_in_letters_is_the_files_own_and_no_persons() -> None:
    schema = recognise(row := JUDGEBENCH | {"label": "B>A"})
    assert schema is not None
    assert said_maker(schema(row)) == "file"
    schema = recognise(row := ARENA | {"winner": "model_b"})
    assert schema is not None
    assert said_maker(schema(row)) is None

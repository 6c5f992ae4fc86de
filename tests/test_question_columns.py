"""What belongs to the question is shown with it, or refused; nothing is passed by in silence."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rlaif_fast.schemas.field_mapping import field_mapping
from rlaif_fast.schemas.known import OWN, TRL
from rlaif_fast.schemas.question_columns import SHOWN
from rlaif_fast.schemas.schema import NAMES, Row
from tests.rows import OURS, recognised, reply, taken, user

BESIDE: dict[str, tuple[Row, str]] = {
    "input": ({"input": "x"}, "i\nx"),
    "a number": ({"input": 7}, "i\n7"),
    "no input": ({"input": ""}, "i"),
    "null": ({"input": None, "context": " ", "tools": "[]", "history": [], "images": [], "document": ""}, "i"),
    "context": ({"context": "c"}, "i\nc"),
    "both": ({"context": "c", "input": "x"}, "i\nx\nc"),
    "system": ({"system": "Be kind."}, "Be kind.\n\nHuman: i"),
    "system prompt": ({"system_prompt": "Be kind.", "input": "x"}, "Be kind.\n\nHuman: i\nx"),
    "history": ({"history": [["q", "a"]]}, "Human: q\n\nAssistant: a\n\nHuman: i"),
    "turns": ({"history": [user("q"), reply("a")]}, "Human: q\n\nAssistant: a\n\nHuman: i"),
    "tools": ({"tools": [{"name": "w"}]}, 'Tools: [{"name": "w"}]\n\nHuman: i'),
    "there already": ({"input": "i", "document": "i", "question": "i"}, "i"),
}


LONG = "A text of more than forty characters, which no text has by chance."


@pytest.mark.parametrize("name", BESIDE)
def test_a_part_of_the_question_is_shown_with_it(name: str) -> None:
    more, wanted = BESIDE[name]
    for row in (
        OURS, {"instruction": "i", "chosen": "a", "rejected": "b"}, {"prompt": "i", "chosen": "a", "rejected": "b"},
        {"prompt": [user("i")], "chosen": [reply("a")], "rejected": [reply("b")]},
        {"instruction": "i", "generations": ["a", "b"]}, {"instruction": "i", "output_1": "a", "output_2": "b"},
        {"instruction": "i", "completions": [{"response": "a"}, {"response": "b"}]},
        {"prompt": "i", "responses": ["a", "b"]},
    ):  # fmt: skip
        shape = recognised(row | more)
        found = shape.take(row | more)
        assert [found.row[name] for name in NAMES[:3]] == [wanted, "a", "b"]
        assert {*found.used, *found.shown, *found.carried} == {*row, *more}
        shown = {name: value for name, value in more.items() if wanted != "i"}
        assert found.shown == tuple(sorted(shown, key=SHOWN.index))
        left = [name for name in row | more if name in found.row and name not in NAMES]
        assert left == [name for name in more if name not in shown]
    assert taken({"instruction": "i", "output": "a", **more}, score=True) == (wanted, "a")
    assert taken({"instruction": "i", "responses": ["a", "b"], **more}, rank=True) == (wanted, "a", "b")
    by_fields = field_mapping("instruction=q,response_0=a.0,response_1=a.1")
    assert by_fields({"q": "i", "a": ["a", "b"], **more})["instruction"] == wanted


def test_an_empty_instruction_is_its_input_or_stays_one() -> None:
    for row in (OURS | {"instruction": " "}, {"prompt": "", "chosen": "a", "rejected": "b"}):
        assert recognised(row)(row | {"input": "x", "system": "Be kind."})["instruction"] == "Be kind.\n\nHuman: x"
        for more in ({}, {"context": "x"}, {"system": "x"}):
            assert not recognised(row)(row | more)["instruction"].strip(), "for the contract's check to refuse"


@pytest.mark.parametrize("name", ["document", "passage", "article", "question", "prompt", "query", "contexts"])
def test_what_may_belong_to_the_question_is_not_passed_by(name: str) -> None:
    for value in ("x", ["x", "y"], LONG):
        row = OURS | {name: value}
        with pytest.raises(ValueError, match=f"has a column {name} that may belong to the question: .*--carry {name}"):
            OWN(row)
        assert OWN.take(row, [name]).row == row
    assert OWN(OURS | {"instruction": f"Sum up: {LONG}", name: LONG})["instruction"] == f"Sum up: {LONG}"
    assert OWN(OURS | {name: 17}) == OURS | {name: 17}, "a number of something"
    joined = field_mapping(f"instruction=instruction+{name}")
    assert joined.take(OURS | {name: "x"}).row == OURS | {"instruction": "i\nx"}


@pytest.mark.parametrize("name", ["images", "image", "videos", "audio"])
def test_what_is_no_text_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=f"^has {name}, which a judge of texts cannot be shown"):
        OWN(OURS | {name: ["x"]})
    assert OWN.take(OURS | {name: ["x"]}, [name]).carried == (name,)
    for message in (user("i") | {name: ["x"]}, user("i") | {"content": [{"type": name, name: "x"}]}):
        with pytest.raises(ValueError, match=f"^prompt has .*{name}, which a judge of texts cannot be shown"):
            TRL({"prompt": [message], "chosen": "a", "rejected": "b"})


@pytest.mark.parametrize("value", [{"a": 1}, [1], True])
@pytest.mark.parametrize("name", ["input", "context", "system"])
def test_a_part_that_is_no_text_is_not_guessed(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"has a column {name} that is no text: .*--carry {name}"):
        OWN(OURS | {name: value})


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({"chat_history": [user("q"), reply("a")]}, "Human: q\n\nAssistant: a\n\nHuman: i"),
        ({"chatHistory": [["q", "a"]]}, "Human: q\n\nAssistant: a\n\nHuman: i"),
        ({"system_instruction": "Be kind."}, "Be kind.\n\nHuman: i"),
        ({"Sys-Prompt": "Be kind."}, "Be kind.\n\nHuman: i"),
        ({"available_tools": [{"name": "w"}]}, 'Tools: [{"name": "w"}]\n\nHuman: i'),
        ({"Input": "x", "Context": "c"}, "i\nx\nc"),
        ({"source": "web", "title": "T", "text": "short", "code": "en", "schema": "v1", "table": None}, "i"),
        ({"messages": [user("i"), reply("another answer")]}, "i"),
        ({"instruction": "One of these?\nNeon\nIron\nYes or no.", "input": "Neon"},
         "One of these?\nNeon\nIron\nYes or no.\nNeon"),
        ({"instruction": "Sum up.\n\nInput: Neon\n\nBe short.", "input": "Neon"},
         "Sum up.\n\nInput: Neon\n\nBe short."),
        ({"instruction": "Which is it?\nA. Neon\nB. Iron", "choices": ["Neon", "Iron"]},
         "Which is it?\nA. Neon\nB. Iron"),
    ],
)  # fmt: skip
def test_columns_by_other_names(more: Row, wanted: str) -> None:
    assert taken(OURS | more) == (wanted, "a", "b")


@pytest.mark.parametrize(
    "more",
    [
        {"text": LONG}, {"initial_reason_steps": "Step 1: 2"}, {"starter_code": "def f():"}, {"dialog": "A: hi"},
        {"choices": ["Neon", "Iron"]}, {"options": {"text": ["Neon", "Iron"]}}, {"post": LONG}, {"code": "a\nb"},
        {"table": [[1, "x"]]}, {"turns": [user("Q?"), reply("A")]}, {"raw": json.dumps([user("Q?")])},
        {"conversations": [user("What is X?"), reply("Y"), user("i")]}, {"image_path": "x.png"}, {"Images": ["x"]},
    ],
)  # fmt: skip
def test_columns_by_other_names_are_not_passed_by(more: Row) -> None:
    (name,) = more
    with pytest.raises(ValueError, match=f"^has .*--carry {name}"):
        OWN(OURS | more)
    assert OWN.take(OURS | more, [name]).row == OURS | more


@pytest.mark.parametrize("form", [dict, json.dumps])
def test_tools_beside_the_messages_of_a_field_are_shown(form: Any) -> None:
    shape = field_mapping("instruction=input.messages,response_0=yes,response_1=no")
    row = {"input": form({"messages": [user("i")], "tools": [{"name": "w"}], "n": 1}), "yes": [reply("a")],
           "no": [reply("b")]}  # fmt: skip
    found = shape.take(row)
    assert found.row["instruction"] == 'Tools: [{"name": "w"}]\n\nHuman: i' and found.shown == ("input.tools",)
    assert found.used == ("input", "yes", "no") and "input" in found.row
    assert shape.take(row, ["input.tools"]).row["instruction"] == "i"

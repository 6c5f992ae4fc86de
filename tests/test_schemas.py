"""Rows as data sets have them become the contract's rows, or say what they lack."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif_fast.rows import candidates
from rlaif_fast.rows.samples import SAMPLES
from rlaif_fast.schemas import NAMES, OWN, TRL, Row, RowSchema, field_mapping, recognise
from rlaif_fast.schemas.human_labels import is_judged
from rlaif_fast.schemas.question_columns import SHOWN


def user(text: str) -> Row:
    return {"role": "user", "content": text}


def reply(text: str) -> Row:
    return {"role": "assistant", "content": text}


OURS = {"instruction": "i", "response_0": "a", "response_1": "b"}
SHAPES: dict[str, tuple[Row, Row]] = {
    "own": (OURS | {"id": 3, "note": 1}, OURS | {"id": 3, "note": 1}),
    "trl": ({"prompt": "i", "chosen": "a", "rejected": "b", "note": 1}, OURS | {"label": 0, "note": 1}),
    "notebook": ({"instruction": "i", "chosen": "a", "rejected": "b"}, OURS | {"label": 0}),
    "ultrafeedback": ({"instruction": "i", "completions": [{"response": "a", "x": 1}, {"response": "b"}]}, OURS),
    "distilabel": ({"prompt": "i", "generations": ["a", "b"]}, OURS),
    "alpacaeval": ({"instruction": "i", "output_1": "a", "output_2": "b", "preference": 2.0},
                   OURS | {"label": 1, "preference": 2.0}),
}  # fmt: skip


def recognised(row: Row) -> RowSchema:
    shape = recognise(row)
    assert shape is not None
    return shape


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


# People's choice


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


# Conversations


@pytest.mark.parametrize(
    ("row", "instruction", "responses"),
    [
        ({"prompt": [user("i")], "chosen": [reply("a")], "rejected": [reply("b")]}, "i", ("a", "b")),
        ({"chosen": [user("i"), reply("a")], "rejected": [user("i"), reply("b")]}, "i", ("a", "b")),
        ({"prompt": "i", "chosen": [user("i"), reply("a")], "rejected": [user("i"), reply("b")]}, "i", ("a", "b")),
        ({"prompt": "i", "chosen": [reply("a")], "rejected": [reply("b")]}, "i", ("a", "b")),
        ({"prompt": [user("i"), reply("j"), user("k")], "chosen": [reply("a")], "rejected": [reply("b")]},
         "Human: i\n\nAssistant: j\n\nHuman: k", ("a", "b")),
        ({"chosen": [user("i"), reply("j"), user("k"), reply("a")],
          "rejected": [user("i"), reply("j"), user("k"), reply("b")]},
         "Human: i\n\nAssistant: j\n\nHuman: k", ("a", "b")),
        ({"chosen": [user("i"), reply("a"), user("more"), reply("c")], "rejected": [user("i"), reply("b")]},
         "i", ("Assistant: a\n\nHuman: more\n\nAssistant: c", "b")),
        ({"chosen": [{"role": "system", "content": "Be kind."}, user("i"), reply("a")],
          "rejected": [{"role": "system", "content": "Be kind."}, user("i"), reply("b")]},
         "Be kind.\n\nHuman: i", ("a", "b")),
        ({"chosen": [user("i"), reply("a")], "rejected": [user("i"), reply("a")]}, "i", ("a", "a")),
        ({"prompt": [{"role": "tool", "content": "5"}, user("i")], "chosen": [reply("a")], "rejected": [reply("b")]},
         "Tool: 5\n\nHuman: i", ("a", "b")),
    ],
    ids=["explicit", "implicit", "twice", "text prompt", "turns", "shared turns", "longer", "system", "same", "tool"],
)  # fmt: skip
def test_a_conversation_becomes_text(row: Row, instruction: str, responses: tuple[str, str]) -> None:
    found = recognised(row)(row)
    assert (found["instruction"], found["response_0"], found["response_1"]) == (instruction, *responses)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "i", "chosen": [reply("a")], "rejected": "b"}, "one of chosen and rejected is text, the other"),
        ({"chosen": [reply("a")], "rejected": [reply("b")]}, "has no prompt, and chosen and rejected begin with no"),
        ({"chosen": [], "rejected": [reply("b")]}, "chosen is no list of messages with a role and a text"),
        ({"chosen": [user("i")], "rejected": [{"role": "user"}]}, "rejected is no list of messages"),
        ({"chosen": [user("i")], "rejected": [{"role": "user", "content": [{}]}]}, "rejected is no list"),
        ({"prompt": ["i"], "chosen": [reply("a")], "rejected": [reply("b")]}, "prompt is no list of messages"),
        ({"prompt": 5, "chosen": [reply("a")], "rejected": [reply("b")]}, "prompt is neither text nor messages"),
        ({"chosen": "a", "rejected": "b"}, "has no prompt"),
    ],
)  # fmt: skip
def test_what_a_conversation_lacks_is_said(row: Row, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}"):
        TRL(row)


@pytest.mark.parametrize(
    ("kind", "row", "reason"),
    [
        ("ultrafeedback", {"instruction": "i"}, "has no list completions"),
        ("ultrafeedback", {"instruction": "i", "completions": [{}]}, "has completions without response"),
        ("ultrafeedback", {"instruction": "i", "completions": ["a", "b"]}, "has completions without response"),
        (
            "distilabel",
            {"instruction": "i", "generations": ["a", "b", "c"]},
            "has 3 generations, two are needed; rank them with rlaif-fast rank",
        ),
        ("distilabel", {"generations": ["a", "b"]}, "has no instruction"),
        ("alpacaeval", {"instruction": "i", "output_1": "a"}, "has no output_2"),
        ("notebook", {"instruction": "i", "chosen": "a"}, "has no chosen or no rejected"),
    ],
)  # fmt: skip
def test_a_later_row_says_what_it_lacks(kind: str, row: Row, reason: str) -> None:
    shape = recognised(SHAPES[kind][0])
    with pytest.raises(ValueError, match=f"^{reason}$"):
        shape(row)


# What belongs to the question

CALL = {"type": "function", "function": {"name": "weather", "arguments": '{"in": "Rome"}'}}
SYSTEM = {"role": "system", "content": "Be kind."}


def parts(*texts: str) -> list[Row]:
    return [{"type": "text", "text": text, "image_url": None} for text in texts]


def taken(row: Row, *, score: bool = False, rank: bool = False) -> tuple[str, ...]:
    """(instruction, responses …)"""
    shape = SAMPLES if score else candidates.recognise(row) if rank else recognise(row)
    assert shape is not None
    found = shape(row)
    if score:
        return found["instruction"], found["response"]
    return (found["instruction"], *(found["responses"] if rank else (found["response_0"], found["response_1"])))


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


SAID: dict[str, tuple[list[Row], str]] = {
    "parts": ([{"role": "assistant", "content": parts("a")}], "a"),
    "several": ([{"role": "assistant", "content": parts("a", "b")}], "a\nb"),
    "with blanks": ([{"role": "assistant", "content": parts("a ", "b")}], "a b"),
    "strings": ([{"role": "assistant", "content": ["a", "b"]}], "a\nb"),
    "a call": ([reply("Wait.") | {"tool_calls": [CALL]}], 'Wait.\n\nTool call: weather {"in": "Rome"}'),
    "only a call": ([{"role": "assistant", "content": None, "tool_calls": [CALL]}],
                    'Tool call: weather {"in": "Rome"}'),
    "an object": ([{"role": "assistant", "function_call": {"name": "f", "arguments": {"x": 1, "y": None}},
                    "content": ""}], 'Tool call: f {"x": 1}'),
    "no calls": ([reply("a") | {"tool_calls": None, "function_call": None}], "a"),
    "calls and answers": ([{"role": "assistant", "content": None, "tool_calls": [CALL]},
                           {"role": "tool", "name": "weather", "content": "sun"}, reply("Fine.")],
                          'Assistant: Tool call: weather {"in": "Rome"}\n\nTool: weather: sun\n\nAssistant: Fine.'),
    "sharegpt": ([{"from": "function_call", "value": "f()"}, {"from": "observation", "value": "5"},
                  {"from": "gpt", "value": "Five."}],
                 "Assistant: Tool call: f()\n\nTool: 5\n\nAssistant: Five."),
    "a thought": ([reply("a") | {"reasoning_content": "hm"}], "<think>\nhm\n</think>\n\na"),
    "a thought twice": ([reply("<think>hm</think>a") | {"thinking": "hm"}], "<think>hm</think>a"),
    "a refusal": ([{"role": "assistant", "content": None, "refusal": "No."}], "No."),
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_all_that_a_message_says_is_text(name: str) -> None:
    messages, wanted = SAID[name]
    b = [reply("b")]
    for prompt in ([user("i")], "i", {"role": ["user"], "content": ["i"]}, json.dumps([user("i")])):
        assert taken({"prompt": prompt, "chosen": messages, "rejected": b}) == ("i", wanted, "b")
        if all("content" in message for message in messages):
            assert taken({"prompt": prompt, "chosen": json.dumps(messages), "rejected": repr(b)}) == ("i", wanted, "b")
    whole = [user("i"), *messages]
    assert taken({"chosen": whole, "rejected": [user("i"), *b]}) == ("i", wanted, "b")
    assert taken({"instruction": [user("i")], "response_0": b, "response_1": messages}) == ("i", "b", wanted)
    assert taken({"instruction": "i", "generations": [messages, b]}) == ("i", wanted, "b")
    assert taken({"prompt": "i", "responses": [messages, b, b]}, rank=True) == ("i", wanted, "b", "b")
    assert taken({"prompt": "i", "response": messages}, score=True) == ("i", wanted)
    if len(messages) == 1:
        assert taken({"messages": whole}, score=True) == ("i", wanted)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"role": "assistant", "content": None}, "chosen has a message whose content is null"),
        (reply("a") | {"tool_calls": [{}]}, "chosen has tool calls without a function's name"),
        (reply("a") | {"tool_calls": {"x": 1}}, "chosen has tool calls that are no list"),
        (reply("a") | {"thinking": ["x"]}, "chosen has a message whose thinking is no text"),
        ({"role": "assistant", "content": [{"type": "tool_use", "id": 1}]}, "chosen has content of type tool_use"),
        ({"role": "assistant", "content": [{"type": "image_url", "image_url": {"url": "x"}}]},
         "chosen has content of type image_url, which a judge"),
        ({"role": "assistant", "content": [*parts("a"), {"type": "text"}]}, "chosen is no list of messages"),
        ({"role": "assistant", "content": 5}, "chosen is no list of messages"),
        (user("a"), "chosen has a user's turn where its response should begin"),
    ],
)  # fmt: skip
def test_what_a_message_cannot_say_is_refused(message: Row, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}"):
        TRL({"prompt": [user("i")], "chosen": [message], "rejected": [reply("b")]})


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ({"prompt": "i. ", "chosen": [user("i."), reply("a")], "rejected": [user("i."), reply("b")]}, ("i.", "a", "b")),
        ({"prompt": "i", "chosen": [user("i") | {"weight": 1}, reply("a")], "rejected": [user(" i\n"), reply("b")]},
         ("i", "a", "b")),
        ({"prompt": [SYSTEM, user("i")], "chosen": [user("i"), reply("a")],
          "rejected": [SYSTEM, user("i"), reply("b")]}, ("Be kind.\n\nHuman: i", "a", "b")),
        ({"prompt": "i", "chosen": [SYSTEM, user("i"), reply("a")], "rejected": [SYSTEM, user("i"), reply("b")]},
         ("Be kind.\n\nHuman: i", "a", "b")),
        ({"prompt": "i", "chosen": [{"from": "human", "value": "i"}, {"from": "gpt", "value": "a"}],
          "rejected": [user("i"), reply("b")]}, ("i", "a", "b")),
        ({"conversations": [{"from": "human", "value": "i"}], "chosen": {"from": "gpt", "value": "a"},
          "rejected": {"from": "gpt", "value": "b"}}, ("i", "a", "b")),
        ({"prompt": [user("x"), reply("y"), user("i")], "chosen": [user("i"), reply("a")],
          "rejected": [user("i"), reply("b")]}, ("Human: x\n\nAssistant: y\n\nHuman: i", "a", "b")),
        ({"prompt": "Human: x\n\nAssistant: y\n\nHuman: i", "chosen": [user("x"), reply("y"), user("i"), reply("a")],
          "rejected": [user("x"), reply("y"), user("i"), reply("b")]},
         ("Human: x\n\nAssistant: y\n\nHuman: i", "a", "b")),
        ({"prompt": "Name a gas.", "chosen": "Name a gas.\nNeon.", "rejected": "Name  a gas. Iron."},
         ("Name a gas.", "Neon.", "Iron.")),
        ({"prompt": [user("Name a gas.")], "chosen": "Name a gas. Neon.", "rejected": "Name a gas. Iron."},
         ("Name a gas.", "Neon.", "Iron.")),
        ({"instruction": "Why?", "chosen": "Why? So.", "rejected": "Why?\nNo."}, ("Why?", "So.", "No.")),
        ({"prompt": "Hello", "chosen": "Hello! Yes?", "rejected": "Hello there."},
         ("Hello", "Hello! Yes?", "Hello there.")),
        ({"prompt": "Why is it?", "chosen": "Why is it? So.", "rejected": "No."},
         ("Why is it?", "Why is it? So.", "No.")),
        ({"prompt": "a cat is", "chosen": "a cat island", "rejected": "a cat is in"},
         ("a cat is", "a cat island", "a cat is in")),
        ({"chosen": "\n\nHuman: Hi?\n\nAssistant: Yes.", "rejected": "\n\nHuman: Hi?\n\nAssistant: No."},
         ("Human: Hi?", "Yes.", "No.")),
        ({"chosen": "\n\nHuman: x\n\nAssistant: y\n\nHuman: i\n\nAssistant: a",
          "rejected": "\n\nHuman: x\n\nAssistant: y\n\nHuman: i\n\nAssistant: b"},
         ("Human: x\n\nAssistant: y\n\nHuman: i", "a", "b")),
        ({"chosen": "\n\nHuman: i\n\nAssistant: a\n\nHuman: j\n\nAssistant: c",
          "rejected": "\n\nHuman: i\n\nAssistant: b"}, ("Human: i", "a\n\nHuman: j\n\nAssistant: c", "b")),
        ({"prompt": "\n\nHuman: i\n\nAssistant:", "chosen": "\n\nHuman: i\n\nAssistant: a",
          "rejected": "\n\nHuman: i\n\nAssistant: b"}, ("\n\nHuman: i\n\nAssistant:", "a", "b")),
        ({"system": "Be kind.", "question": "i", "chosen": "a", "rejected": "b"}, ("Be kind.\n\nHuman: i", "a", "b")),
        ({"question": "i", "response_j": "a", "response_k": "b"}, ("i", "a", "b")),
        ({"prompt": [user("i"), reply("Sure:")], "chosen": [reply("a")], "rejected": [reply("b")]},
         ("Human: i\n\nAssistant: Sure:", "a", "b")),
        ({"prompt": [], "chosen": [user("i"), reply("a")], "rejected": [user("i"), reply("b")]}, ("i", "a", "b")),
        ({"conversations": [user("i"), reply("a")], "chosen": [user("i"), reply("a")],
          "rejected": [user("i"), reply("b")]}, ("i", "a", "b")),
        ({"input": "x", "chosen": [user("i"), reply("a")], "rejected": [user("i"), reply("b")]}, ("i\nx", "a", "b")),
        ({"instruction": "i", "generations": '["a", "b"]'}, ("i", "a", "b")),
        ({"instruction": "i", "completions": {"response": ["a", "b"], "model": ["x", "y"]}}, ("i", "a", "b")),
    ],
)  # fmt: skip
def test_question_and_responses_are_each_shown_once(row: Row, wanted: tuple[str, str, str]) -> None:
    assert taken(row) == wanted


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "i", "chosen": json.dumps([reply("a")]), "rejected": "b"}, "one of chosen and rejected is text"),
        ({"prompt": "i", "chosen": "[{'role': 'user', 'content': 'i'}\n {'role': 'assistant', 'content': 'a'}]",
          "rejected": "b"}, "chosen looks like messages, but is neither JSON nor"),
        ({"prompt": "i", "chosen": "array([{'content': 'a', 'role': 'assistant'}], dtype=object)", "rejected": "b"},
         "chosen looks like messages"),
        ({"prompt": "i", "chosen": "{'role': array(['user']), 'content': array(['a'])}", "rejected": "b"},
         "chosen looks like messages"),
        ({"prompt": "i", "chosen": json.dumps([reply("a")])[:-4], "rejected": "b"}, "chosen looks like messages"),
        ({"chosen": "Human: i\n\nAssistant: a", "rejected": "Human: j\n\nAssistant: b"},
         "has no prompt, and chosen and rejected have no beginning up to an answer in common"),
        ({"prompt": "x", "chosen": "Human: i\n\nAssistant: a", "rejected": "Human: i\n\nAssistant: b"},
         "prompt is no part of the dialogue that chosen and rejected begin with"),
        ({"prompt": [user("i"), reply("a")], "chosen": [reply("a")], "rejected": [reply("b")]},
         "prompt ends with a response that is to be judged"),
        ({"prompt": "i", "chosen": [SYSTEM, reply("a")], "rejected": [SYSTEM | {"content": "No."}, reply("b")]},
         "chosen and rejected begin with different system turns"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_apart_is_refused(row: Row, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}"):
        recognised(row)(row)


# What is carried


def test_what_is_not_used_is_carried() -> None:
    row = {"prompt": "i", "chosen": "a", "rejected": "b", "response_0": "theirs", "input_response_0": 1, "id": "x"}
    assert TRL(row) == OURS | {"label": 0, "input_input_response_0": "theirs", "input_response_0": 1, "id": "x"}
    fields = field_mapping("instruction=q.text,response_0=a,response_1=b")
    row = {"q": {"text": "i", "n": 1}, "a": "x", "b": "y", "response_0": "theirs"}
    assert fields(row) == {"instruction": "i", "response_0": "x", "response_1": "y", "q": {"text": "i", "n": 1},
                           "input_response_0": "theirs"}  # fmt: skip


_NAMES = st.text(max_size=4) | st.sampled_from(["label", "id", "instruction", "input_label"])


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


# Fields


def test_a_path_leads_into_lists_and_objects() -> None:
    shape = field_mapping("instruction=chat.0.content, response_0=a.b,response_1 = out.10,id=key")
    row = {"chat": [user("i")], "a.b": "a name with a point", "a": {"b": "no"}, "out": list("0123456789x"), "key": 5}
    found = shape(row)
    assert [found[name] for name in NAMES] == ["i", "a name with a point", "x", 5]
    assert shape.describe() == (
        "reading chat.0.content as instruction, a.b as response_0, out.10 as response_1, key as id"
    )


def test_fields_not_named_have_their_own_names_and_conversations_become_text() -> None:
    shape = field_mapping("instruction=messages")
    assert shape({"messages": [user("i")], "response_0": [reply("a")], "response_1": "b"}) == OURS


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "'' is no NAME=PATH"), ("prompt", "'prompt' is no NAME=PATH"), ("instruction=", "'instruction=' is no"),
        ("instruction=a..b", "'instruction=a..b' is no NAME=PATH"), ("prompt=x", "'prompt' is none of instruction"),
        ("id=a,id=b", "id is named twice"), ("instruction=a,", "'' is no NAME=PATH"),
    ],
)  # fmt: skip
def test_what_is_no_mapping_is_said(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}"):
        field_mapping(text)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({}, r"has no a.0.b \('a' is not there\)"), ({"a": []}, r"has no a.0.b \('0' is not there\)"),
        ({"a": [{"c": 1}]}, r"has no a.0.b \('b' is not there\)"),
        ({"a": "text"}, r"has no a.0.b \('0' is not there\)"),
        ({"a": {"0": {"b": "x"}}}, "has no response_0$"),
    ],
)  # fmt: skip
def test_where_a_path_ends_is_said(row: Row, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}"):
        field_mapping("instruction=a.0.b")(row)


@pytest.mark.parametrize("part", ["-1", "01x", "1e1", "²", "9999999999"])
def test_an_odd_index_is_not_there(part: str) -> None:
    with pytest.raises(ValueError, match="is not there"):
        field_mapping(f"instruction=a.{part}")({"a": ["x", "y"]})


# More forms of the same

ASKED = "Name a noble gas."
RECORD = '{"from": "Rome", "to": "Paris", "value": "12"}'
IN_CELLS: dict[str, Any] = {
    "gemini": '[{"role": "user", "parts": [{"text": "Q?"}]}]',
    "langchain": '[{"type": "human", "content": "Q?"}]',
    "text": '[{"role": "user", "text": "Q?"}]',
    "an object": json.dumps({"messages": [user("Q?")]}),
    "an object itself": {"messages": [user("Q?")], "tools": None},
    "twice": json.dumps(json.dumps([user("Q?")])),
    "parts as text": [user('[{"type": "text", "text": "Q?"}]')],
    "a null image": [user("") | {"content": [{"type": "text", "text": "Q?", "image_url": {"url": None}}]}],
}  # fmt: skip


@pytest.mark.parametrize("name", IN_CELLS)
def test_messages_in_other_notations_are_messages(name: str) -> None:
    assert taken({"prompt": IN_CELLS[name], "chosen": "a", "rejected": "b"}) == ("Q?", "a", "b")


@pytest.mark.parametrize("call", [CALL, {"name": "weather", "args": {"in": "Rome"}}])
def test_a_message_may_be_a_call_alone(call: Row) -> None:
    turns = [user("Q?"), {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "content": "5"}]
    wanted = 'Human: Q?\n\nAssistant: Tool call: weather {"in": "Rome"}\n\nTool: 5'
    for prompt in (turns, json.dumps(turns)):
        assert taken({"prompt": prompt, "chosen": "a", "rejected": "b"}) == (wanted, "a", "b")


@pytest.mark.parametrize("text", [RECORD, '{"role": "teacher", "task": "Explain.", "content": "Neon"}',
                                  '[{"name": "Bob", "role": "user"}]', f"[{RECORD}]"])  # fmt: skip
def test_a_text_that_is_json_and_no_messages_is_text(text: str) -> None:
    assert taken({"prompt": text, "chosen": text + " ", "rejected": "b"}) == (text, text + " ", "b")
    assert taken({"instruction": "i", "response_0": text, "response_1": "b"}) == ("i", text, "b")


def test_an_object_that_is_no_message_is_refused() -> None:
    with pytest.raises(ValueError, match="chosen is no list of messages"):
        TRL({"prompt": "i", "chosen": json.loads(RECORD), "rejected": json.loads(RECORD)})


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ({"content": "Wait.", "function_calls": "w(in='Rome')"}, "Wait.\n\nTool call: w(in='Rome')"),
        ({"content": "Wait.", "tool_call": {"name": "w", "arguments": {"x": 1}}}, 'Wait.\n\nTool call: w {"x": 1}'),
        ({"content": [{"type": "refusal", "refusal": "No."}]}, "No."),
        ({"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}]},
         "<think>\nhm\n</think>\n\na"),
    ],
)  # fmt: skip
def test_other_keys_that_say_something_are_shown(message: Row, wanted: str) -> None:
    row = {"prompt": [user("i")], "chosen": [{"role": "assistant", **message}], "rejected": [reply("b")]}
    assert taken(row) == ("i", wanted, "b")


@pytest.mark.parametrize("key", ["tools", "functions"])
def test_tools_of_a_system_message_are_shown(key: str) -> None:
    row = {"prompt": [SYSTEM | {key: [{"name": "w"}]}, user("i")], "chosen": "a", "rejected": "b"}
    assert taken(row) == ('Be kind.\n\nTools: [{"name": "w"}]\n\nHuman: i', "a", "b")


@pytest.mark.parametrize("key", ["documents", "file", "experimental_attachments", "context"])
def test_what_stands_beside_a_content_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=f"^prompt has a message with {key} beside its content"):
        TRL({"prompt": [user("i") | {key: ["x"]}], "chosen": "a", "rejected": "b"})


@pytest.mark.parametrize(
    ("frame", "end"),
    [
        ("<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>"), ("Question: {}\n\nAnswer: ", ""),
        ("### Instruction:\n{}\n\n### Response:\n", ""), ("USER: {} ASSISTANT: ", "</s>"),
        ("### Human: {} ### Assistant: ", ""), ("[INST] {} [/INST] ", ""), ("{} ", ""),
    ],
)  # fmt: skip
def test_a_prompt_in_a_templates_frame_is_taken_off(frame: str, end: str) -> None:
    sides = [frame.format(ASKED) + text + end for text in ("Neon.", "Iron.")]
    row = {"prompt": ASKED, "chosen": sides[0], "rejected": sides[1]}
    assert taken(row) == (ASKED, "Neon.", "Iron.")
    assert taken(row | {"prompt": "Another question?"}) == ("Another question?", *sides) or "USER" in frame


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ({"prompt": ASKED[:-1], "chosen": f"{ASKED} Neon.", "rejected": f"{ASKED} Iron."},
         (ASKED[:-1], "Neon.", "Iron.")),
        ({"prompt": "Be kind.\n\nWhy?", "chosen": [SYSTEM, user("Why?"), reply("a")],
          "rejected": [SYSTEM, user("Why?"), reply("b")]}, ("Be kind.\n\nWhy?", "a", "b")),
        ({"prompt": "Write a chat.", "chosen": "User: hi\nAssistant: a", "rejected": "User: hi\nAssistant: b"},
         ("Write a chat.", "User: hi\nAssistant: a", "User: hi\nAssistant: b")),
        ({"chosen": "A chat.\n\nHuman: Q?\n\nAssistant: a", "rejected": "A chat.\n\nHuman: Q?\n\nAssistant: b"},
         ("A chat.\n\nHuman: Q?", "a", "b")),
    ],
)  # fmt: skip
def test_more_that_is_shown_once(row: Row, wanted: tuple[str, str, str]) -> None:
    assert taken(row) == wanted


def test_a_prompt_does_not_hold_an_answer_that_is_judged() -> None:
    turns = [user("Q?"), reply("a")]
    for name in ("prompt", "conversations"):
        with pytest.raises(ValueError, match=f"^{name} ends with a response that is to be judged"):
            TRL({name: turns, "chosen": "a", "rejected": "b"})
    fields = field_mapping("instruction=a,response_0=a,response_1=b")
    found = fields({"a": turns, "b": [user("Q?"), reply("b")]})
    assert [found[name] for name in NAMES[:3]] == ["Q?", "a", "b"]


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

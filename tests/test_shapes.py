"""Rows as data sets have them become the contract's rows, or say what they lack."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif_fast.shapes import NAMES, OWN, TRL, Row, Shape, is_judged, recognise, shape_of_fields


def user(text: str) -> Row:
    return {"role": "user", "content": text}


def reply(text: str) -> Row:
    return {"role": "assistant", "content": text}


OURS = {"instruction": "i", "response_0": "a", "response_1": "b"}
SHAPES: dict[str, tuple[Row, Row]] = {
    "own": (OURS | {"id": 3, "note": 1}, OURS | {"id": 3, "note": 1}),
    "trl": ({"prompt": "i", "chosen": "a", "rejected": "b", "note": 1}, OURS | {"label": 0, "note": 1}),
    "notebook": ({"instruction": "i", "chosen": "a", "rejected": "b"}, OURS),
    "ultrafeedback": ({"instruction": "i", "completions": [{"response": "a", "x": 1}, {"response": "b"}]}, OURS),
    "distilabel": ({"prompt": "i", "generations": ["a", "b"]}, OURS),
    "alpacaeval": ({"instruction": "i", "output_1": "a", "output_2": "b", "preference": 2.0},
                   OURS | {"label": 1, "preference": 2.0}),
}  # fmt: skip


def recognised(row: Row) -> Shape:
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
    assert TRL(row | {"label": 1})["label"] == 1, "a label of the row's own stands"
    of_a_judge = row | {"soft_label": 0.6, "margin": 0.2, "consistent": True}
    assert is_judged(of_a_judge) and "label" not in TRL(of_a_judge)
    assert TRL(row | {"margin": 2.0})["label"] == 0, "other data sets have margins"
    verdict = {"instruction": "i", "chosen": "a", "rejected": "b", "p1": 0.6, "label": 1}
    assert recognised(verdict)(verdict) == OURS | {"p1": 0.6, "input_label": 1}


@pytest.mark.parametrize(("preference", "label"), [(1, 0), (2, 1), (1.0, 0), (0, None), (1.5, None), (True, None),
                                                   (None, None), ("1", None)])  # fmt: skip
def test_alpacaevals_preference(preference: Any, label: int | None) -> None:
    row = {"instruction": "i", "output_1": "a", "output_2": "b", "preference": preference}
    assert recognised(row)(row).get("label") == label
    assert recognised(row)(row | {"label": 0})["label"] == 0


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


# What is carried


def test_what_is_not_used_is_carried() -> None:
    row = {"prompt": "i", "chosen": "a", "rejected": "b", "response_0": "theirs", "input_response_0": 1, "id": "x"}
    assert TRL(row) == OURS | {"label": 0, "input_input_response_0": "theirs", "input_response_0": 1, "id": "x"}
    fields = shape_of_fields("instruction=q.text,response_0=a,response_1=b")
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
    shape = shape_of_fields("instruction=chat.0.content, response_0=a.b,response_1 = out.10,id=key")
    row = {"chat": [user("i")], "a.b": "a name with a point", "a": {"b": "no"}, "out": list("0123456789x"), "key": 5}
    found = shape(row)
    assert [found[name] for name in NAMES] == ["i", "a name with a point", "x", 5]
    assert shape.describe() == (
        "reading chat.0.content as instruction, a.b as response_0, out.10 as response_1, key as id"
    )


def test_fields_not_named_have_their_own_names_and_conversations_become_text() -> None:
    shape = shape_of_fields("instruction=messages")
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
        shape_of_fields(text)


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
        shape_of_fields("instruction=a.0.b")(row)


@pytest.mark.parametrize("part", ["-1", "01x", "1e1", "²", "9999999999"])
def test_an_odd_index_is_not_there(part: str) -> None:
    with pytest.raises(ValueError, match="is not there"):
        shape_of_fields(f"instruction=a.{part}")({"a": ["x", "y"]})

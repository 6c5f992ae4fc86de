"""The names and paths of --fields."""

from __future__ import annotations

import pytest

from rlaif_fast.schemas.field_mapping import field_mapping
from rlaif_fast.schemas.schema import NAMES, Row
from tests.rows import OURS, reply, user


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
        ("", "'' is not NAME=PATH"), ("prompt", "'prompt' is not NAME=PATH"), ("instruction=", "'instruction=' is not"),
        ("instruction=a..b", "'instruction=a..b' is not NAME=PATH"), ("prompt=x", "'prompt' is none of instruction"),
        ("instrction=x", "'instrction' is none of .*; did you mean 'instruction'\\?$"),
        ("question=instruction", "'question' is none of .*; the judge's field comes first: instruction=question$"),
        ("id=a,id=b", "id is named twice"), ("instruction=a,", "'' is not NAME=PATH"),
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
        ({"a": {"0": {"b": "x"}}}, r"has no response_0 \(the row has 'a'\); add response_0=… to --fields$"),
    ],
)  # fmt: skip
def test_where_a_path_ends_is_said(row: Row, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}"):
        field_mapping("instruction=a.0.b")(row)


def test_an_id_that_is_named_is_there() -> None:
    row = {"instruction": "i", "response_0": "a", "response_1": "b", "id": 1}
    with pytest.raises(ValueError, match=r"^has no key$"):
        field_mapping("id=key")(row)


@pytest.mark.parametrize("part", ["-1", "01x", "1e1", "²", "9999999999"])
def test_an_odd_index_is_not_there(part: str) -> None:
    with pytest.raises(ValueError, match="is not there"):
        field_mapping(f"instruction=a.{part}")({"a": ["x", "y"]})

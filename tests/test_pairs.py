"""Rows in: what is a pair, what is not, and whether the message says where."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif_fast.errors import PairError
from rlaif_fast.judging.verdict import Verdict
from rlaif_fast.rows.fields import given_id
from rlaif_fast.rows.pairs import Pair, pair_from_row
from rlaif_fast.rows.reader import Rejects, open_pairs

ROW = {"instruction": "i", "response_0": "a", "response_1": "b"}
GOOD = json.dumps(ROW).encode()


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where pairs.jsonl is written and read by that name."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("pairs"))
    yield
    os.chdir(before)


def read(data: bytes) -> list[Pair]:
    Path("pairs.jsonl").write_bytes(data)
    with open_pairs("pairs.jsonl") as intake:
        return list(intake.pairs())


def read_or_reason(data: bytes) -> list[Pair] | str:
    try:
        return read(data)
    except PairError as error:
        return str(error)


def refusal(data: bytes) -> str:
    with pytest.raises(PairError) as caught:
        read(data)
    return str(caught.value)


def with_field(name: str, value: Any) -> bytes:
    return json.dumps(ROW | {name: value}).encode()


def test_a_row_is_a_pair() -> None:
    row = {"note": 1, **ROW, "id": "x", "label": 2}
    assert read(json.dumps(row).encode()) == [
        Pair("i", "a", "b", id="x", carried={"note": 1, "label": 2}, where="pairs.jsonl, line 1")
    ]
    assert list(read(json.dumps(row).encode())[0].carried) == ["note", "label"]


def test_texts_are_kept_as_they_are() -> None:
    texts = ["  led by blanks\r\n", "é 日本 \U0001f600 \u2028", "\x01 control\tand tab "]
    row = dict(zip(ROW, texts, strict=True))
    for ascii_only in (True, False):
        (pair,) = read(json.dumps(row, ensure_ascii=ascii_only).encode())
        assert [pair.instruction, pair.response_0, pair.response_1] == texts


@pytest.mark.parametrize("id", ["x", "0", 7, 0, -1.5, True, False])
def test_id_is_any_scalar(id: Any) -> None:
    (pair,) = read(b"\n" + with_field("id", id))
    assert pair.id is id or (pair.id == id and type(pair.id) is type(id))


@pytest.mark.parametrize("id", [None, "", " \t", float("nan"), float("inf")])
def test_what_is_no_id_is_the_line(id: Any) -> None:
    (pair,) = read(b"\n" + with_field("id", id))
    assert pair.id == 2 and pair.where == str(pair).partition(", id")[0] == "pairs.jsonl, line 2"


def test_id_defaults_to_the_line_and_blank_lines_count() -> None:
    pairs = read(GOOD + b"\n\n  \t\r\n" + GOOD + b"\r\n" + GOOD)
    assert [pair.id for pair in pairs] == [1, 4, 5]
    assert [pair.where for pair in pairs] == [f"pairs.jsonl, line {n}" for n in (1, 4, 5)]


@pytest.mark.parametrize("data", [b"", b"\n", b"\r\n \n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_nothing_is_no_pairs(data: bytes) -> None:
    assert read(data) == []


def test_byte_order_mark_and_crlf() -> None:
    assert read(b"\xef\xbb\xbf" + GOOD + b"\r\n" + GOOD + b"\r\n") == [
        Pair("i", "a", "b", id=n, where=f"pairs.jsonl, line {n}") for n in (1, 2)
    ]


def test_byte_order_mark_inside_is_not_json() -> None:
    assert refusal(GOOD + b"\n\xef\xbb\xbf" + GOOD).startswith("pairs.jsonl, line 2: not JSON (")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a" 1}', "not JSON (Expecting ':' delimiter at column 6)"),
        (b'{"a": 1} x', "not JSON (Extra data at column 10)"),
        (b"{'a': 1}", "not JSON (Expecting property name enclosed in double quotes at column 2)"),
        (with_field("response_0", float("nan")), "field 'response_0' is null, it must be a string"),
        (b"NaN", "a row is a JSON object, this is null"),
        (b"[" * 100_000, "not JSON (nested too deeply)"),
        (b'{"instruction": "\xff"}', "not UTF-8 at byte 17"),
        (b'"\xed\xa0\x80"', "not UTF-8 at byte 1"),  # a surrogate, encoded all the same
        (GOOD.decode().encode("utf-16"), "not UTF-8 at byte 0"),
        (b"null", "a row is a JSON object, this is null"),
        (b"[1]", "a row is a JSON object, this is an array"),
        (b'"text"', "a row is a JSON object, this is a string"),
        (b"true", "a row is a JSON object, this is a boolean"),
        (b"1.5", "a row is a JSON object, this is a number"),
        (b"{}", "field 'instruction' is missing (the row has none)"),
        (b'{"response_0": "a", "x": 1}', "field 'instruction' is missing (the row has 'response_0', 'x')"),
        (with_field("response_0", None), "field 'response_0' is null, it must be a string"),
        (with_field("response_0", ["a"]), "field 'response_0' is an array, it must be a string"),
        (with_field("response_1", 3), "field 'response_1' is a number, it must be a string"),
        (with_field("response_1", {}), "field 'response_1' is an object, it must be a string"),
        (with_field("instruction", True), "field 'instruction' is a boolean, it must be a string"),
        (with_field("instruction", ""), "field 'instruction' is empty, remove the row or fill it"),
        (with_field("response_0", " \n\u3000"), "field 'response_0' is empty, remove the row or fill it"),
        (with_field("response_1", "ab\ud800"), "field 'response_1' has a lone surrogate at character 2,"),
        (with_field("response_0", "a\0b"), "field 'response_0' has a NUL at character 1, remove it"),
        (with_field("response_1", "a"), "both responses are the same, there is nothing to prefer; remove the row"),
        (with_field("id", [1]), "id is an array, make it a string or a number"),
        (with_field("id", {"a": 1}), "id is an object, make it a string or a number"),
    ],
)
def test_what_is_no_pair_is_said_with_its_line(line: bytes, reason: str) -> None:
    """The third line of a file, the blank one counted."""
    for data in (GOOD + b"\n\n" + line, GOOD + b"\r\n\r\n" + line + b"\r\n" + GOOD):
        said = refusal(data)
        assert said.startswith(f"pairs.jsonl, line 3: {reason}")
        assert "\n" not in said


def test_a_row_with_an_id_is_said_with_it() -> None:
    row = json.dumps({"id": "x'y", "instruction": "i", "response_0": "a"}).encode()
    assert refusal(row).startswith("""pairs.jsonl, line 1, id "x'y": field 'response_1' is missing""")
    assert refusal(with_field("response_0", "")[:-1] + b', "id": 7}').startswith("pairs.jsonl, line 1, id 7: field")


def test_pairs_before_the_bad_row_come_first() -> None:
    Path("pairs.jsonl").write_bytes(GOOD + b"\nnot json\n")
    with open_pairs("pairs.jsonl") as intake:
        pairs = intake.pairs()
        assert next(pairs).id == 1
        with pytest.raises(PairError, match="line 2"):
            next(pairs)


def test_an_id_is_used_once() -> None:
    rows = [with_field("id", key) for key in ("x", 1, "1", True, "x")]
    assert [pair.id for pair in read(b"\n".join(rows[:4]))] == ["x", 1, "1", True]
    assert refusal(b"\n".join(rows)) == ("pairs.jsonl, line 5, id 'x': an earlier row has the same id; make ids unique")


@pytest.mark.parametrize(
    ("ids", "reason"),
    [
        ([2, None], "line 2: an earlier row has this one's number as its id; give each row an id"),
        (["2", None], "line 2: an earlier row has this one's number as its id"),
        ([None, 1], "line 2, id 1: its id is the number of an earlier row without an id; give each row an id"),
        ([None, "1"], "line 2, id '1': its id is the number of an earlier row without an id"),
        ([None, 1.0], "line 2, id 1.0: its id is the number of an earlier row without an id"),
        ([1, 1], "line 2, id 1: an earlier row has the same id; make ids unique"),
        ([1, 1.0], "line 2, id 1.0: an earlier row has the same id"),
        ([None, "", 2], "line 3, id 2: its id is the number of an earlier row without an id"),
    ],
)  # fmt: skip
def test_an_id_is_not_another_rows_number(ids: list[Any], reason: str) -> None:
    assert refusal(b"\n".join(with_field("id", key) for key in ids)).startswith(f"pairs.jsonl, {reason}")


def test_ids_and_numbers_that_differ_stand_side_by_side() -> None:
    ids = [7, None, "x", 4, "01", None]
    assert [pair.id for pair in read(b"\n".join(with_field("id", key) for key in ids))] == [7, 2, "x", 4, "01", 6]


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "[1, NaN]", '{"x": -1e999}'])
def test_what_is_no_number_is_carried_as_null(text: str) -> None:
    (pair,) = read(GOOD[:-1] + b', "margin": ' + text.encode() + b"}")
    assert pair.carried == {"margin": [1, None] if "[" in text else {"x": None} if "{" in text else None}
    assert json.loads(Verdict(pair, (0.5,)).to_json())["margin"] == pair.carried["margin"]


def test_rejected_rows_are_set_aside_in_order(tmp_path: Path) -> None:
    said: list[str] = []
    Path("pairs.jsonl").write_bytes(b"\n".join([GOOD, b"oops", with_field("id", [1]), GOOD, b"\xff"]))
    with open_pairs("pairs.jsonl") as intake:
        for _ in range(2):  # a second pass begins again
            rejects = Rejects(tmp_path / "errors.jsonl", said.append)
            assert [pair.id for pair in intake.pairs(rejected=rejects)] == [1, 4]
            errors = [json.loads(line) for line in (tmp_path / "errors.jsonl").read_text().splitlines()]
            assert [error["error"].split(":")[0] for error in errors] == [f"pairs.jsonl, line {n}" for n in (2, 3, 5)]
            assert errors[1]["row"] == json.loads(with_field("id", [1]))
            assert rejects.count == 3
        assert list(intake.pairs(rejected=Rejects(None, said.append)))[1].id == 4
    assert len(said) == 3 and said[0].startswith("skipped: pairs.jsonl, line 2: not JSON")


def test_a_shape_is_recognised_and_said_once() -> None:
    said: list[str] = []
    row = json.dumps({"prompt": "p", "chosen": "c", "rejected": "r"}).encode()
    Path("pairs.jsonl").write_bytes(row + b"\n" + row)
    with open_pairs("pairs.jsonl", announce=said.append) as intake:
        (pair, _) = list(intake.pairs())
        list(intake.pairs())
    assert (pair.instruction, pair.response_0, pair.response_1) == ("p", "c", "r")
    assert len(said) == 1 and "TRL" in said[0]


def test_fields_are_mapped() -> None:
    Path("pairs.jsonl").write_bytes(json.dumps({"q": "p", "answers": ["c", "r"]}).encode())
    with open_pairs("pairs.jsonl", fields="instruction=q,response_0=answers.0,response_1=answers.1") as intake:
        (pair,) = intake.pairs()
    assert (pair.instruction, pair.response_0, pair.response_1) == ("p", "c", "r")
    with pytest.raises(PairError, match=r"^--fields: "), open_pairs("pairs.jsonl", fields="nonsense"):
        pass


def test_rows_of_code_have_no_line() -> None:
    assert pair_from_row(ROW) == Pair("i", "a", "b")
    with pytest.raises(PairError, match=r"^rows, row 4: a row is a JSON object, this is null$"):
        pair_from_row(None, place=4, where="rows, row 4")


def test_message_of_a_row_without_place_starts_with_what_is_wrong() -> None:
    for row in (None, {}, {"id": "x"}, {"id": []}):
        with pytest.raises(PairError) as caught:
            pair_from_row(row)
        assert str(caught.value)[0].isalpha()


def test_a_pair_names_itself() -> None:
    assert str(Pair("i", "a", "b")) == "the pair"
    assert str(Pair("i", "a", "b", id="x")) == "id 'x'"
    assert str(Pair("i", "a", "b", id=0, where="f, line 1")) == "f, line 1, id 0"


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "none"
    with pytest.raises(PairError) as caught, open_pairs(path):
        pass
    reason = "No such file or directory"
    assert str(caught.value) == f"{path}: cannot be read ({reason}), give a file of rows, or - for stdin"


def test_an_error_of_the_block_is_not_the_files(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.touch()
    with pytest.raises(OSError, match="disk full"), open_pairs(path):
        raise OSError("disk full")


@settings(deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_pairs_or_a_pair_error(line: bytes) -> None:
    for data in (line, GOOD + b"\n" + line):
        found = read_or_reason(data)
        if isinstance(found, str):
            assert found.startswith("pairs.jsonl")
        else:
            assert all(isinstance(pair, Pair) for pair in found)


_ANY_TEXT = st.text(st.characters() | st.just("\ud800"), max_size=6)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([*ROW, "id", "note"]) | _ANY_TEXT, _JSON, max_size=3))
def test_any_row_that_is_read_can_be_written(more: dict[str, Any]) -> None:
    """What is accepted here must not fail hours later when its verdict is written."""
    row = ROW | more
    found = read_or_reason(json.dumps(row).encode())
    if isinstance(found, str):
        assert found.startswith("pairs.jsonl, line 1")
    else:
        written = Verdict(found[0], (0.5, 0.5)).to_json().encode()
        assert json.loads(written)["id"] == (1 if given_id(row) is None else row["id"])


@pytest.mark.parametrize(
    "more",
    [
        b'"id": 1e999', b'"note": 1e999', b'"note": [-1e999]', b'"id": "\\ud800"', b'"note": "\\udc00"',
        b'"\\ud800": 1', b'"note": ' + b"[" * 900 + b"]" * 900,
    ],
    ids=["id-inf", "inf", "inner-inf", "id-surrogate", "surrogate", "name-surrogate", "deep"],
)  # fmt: skip
def test_what_no_output_can_hold_is_refused_or_written(more: bytes) -> None:
    """An overflowing number, a lone surrogate, a deep nest: JSON to read, perhaps none to write."""
    found = read_or_reason(GOOD[:-1] + b", " + more + b"}")
    if isinstance(found, str):
        assert found.startswith("pairs.jsonl, line 1")
    else:
        json.loads(Verdict(found[0], (0.5,)).to_json().encode())

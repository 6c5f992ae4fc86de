"""Files that come back to us, changed by whatever: one line, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rlaif_fast.errors import EvalError, PairError, RlaifFastError, escaped
from rlaif_fast.evaluation.calibration import Calibration, read_calibration
from rlaif_fast.files.journal import journal_of
from tests.fuzz import row, schema, template

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
DEEP = b"[" * 100_000
QUICK = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

CALIBRATION = json.loads(Calibration("0" * 64, 0.5, 0.1, {"pairs": 9}).to_json())
JOURNAL = {"schema": 1, "bound": {"orders": "both"}, "verdicts": 1, "bytes": 3, "input": "0" * 64,
           "tally": {"judged": 1}, "complete": False}  # fmt: skip


def mutated(whole: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """The file with another value in one place, without it, or any bytes."""
    others = st.tuples(st.sampled_from(sorted(whole)), ANY).map(lambda at: json.dumps(whole | {at[0]: at[1]}).encode())
    fewer = st.sampled_from(sorted(whole)).map(
        lambda name: json.dumps({key: value for key, value in whole.items() if key != name}).encode()
    )
    return others | fewer | ANY.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40)


@QUICK
@given(content=mutated(CALIBRATION))
@example(content=DEEP)
@example(content=json.dumps(CALIBRATION | {"a": 10**400}).encode())
@example(content=json.dumps(CALIBRATION | {"b": float("nan")}).encode())
@example(content=json.dumps(CALIBRATION | {"schema": True}).encode())
@example(content=json.dumps(CALIBRATION | {"fitted": {"": float("inf")}}).encode())
@example(content=json.dumps(CALIBRATION | {"fitted": {"": 1.5}}).replace("1.5", "1e999").encode())
def test_a_calibration(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    path.write_bytes(content)
    try:
        found = read_calibration(path)
    except EvalError as error:
        reason = str(error)
    else:
        reason = "fine" if found.a > 0 and found.digest and found.to_json() else ""
    assert len(reason.splitlines()) == 1


def test_calibrations_that_are_none(tmp_path: Path) -> None:
    for content in (DEEP, json.dumps(CALIBRATION | {"a": 10**400}).encode(), b" " * (1 << 21)):
        (tmp_path / "c").write_bytes(content)
        with pytest.raises(EvalError):
            read_calibration(tmp_path / "c")


@QUICK
@given(content=mutated(JOURNAL))
@example(content=DEEP)
@example(content=json.dumps(JOURNAL | {"verdicts": -1}).encode())
@example(content=json.dumps(JOURNAL | {"bytes": -5}).encode())
@example(content=json.dumps(JOURNAL | {"verdicts": 0}).encode())
@example(content=json.dumps(JOURNAL | {"tally": {"judged": "x"}}).encode())
@example(content=json.dumps(JOURNAL | {"bytes": 2}).encode())
def test_a_journal(content: bytes, tmp_path: Path) -> None:
    """Taken up as a journal, or refused; what it vouches for is whole lines, and nothing is judged twice for it."""
    output = tmp_path / "out.jsonl"
    (tmp_path / "out.jsonl.partial").write_bytes(b"{}\n{}\n")
    (tmp_path / "out.jsonl.journal").write_bytes(content)
    try:
        with journal_of(output, {"orders": "both"}) as journal:
            assert journal.done > 0 or not journal.rows.read_bytes()
            assert journal.rows.read_bytes() in (b"", b"{}\n", b"{}\n{}\n")
            raise EvalError("stop here")
    except RlaifFastError as error:
        reason = str(error)
    assert len(reason.splitlines()) == 1


@pytest.mark.parametrize("change", [{"verdicts": -1}, {"bytes": -5}, {"verdicts": 0}, {"verdicts": True}, {"bytes": 2},
                                    {"tally": {"judged": "x"}}, {"schema": True}])  # fmt: skip
def test_journals_that_are_none(change: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "out.jsonl.partial").write_bytes(b"{}\n{}\n")
    (tmp_path / "out.jsonl.journal").write_bytes(json.dumps(JOURNAL | change).encode())
    with (
        pytest.raises(PairError, match="start over with --restart"),
        journal_of(tmp_path / "out.jsonl", {"orders": "both"}),
    ):
        pass


@QUICK
@given(st.binary(max_size=200) | st.tuples(st.sampled_from([b"\0", b"\1"]), ANY).map(
    lambda found: found[0] + json.dumps(found[1]).encode()))  # fmt: skip
def test_any_rows(content: bytes) -> None:
    row.check(content)


_FIELDS = st.sampled_from(["id", "instruction", "response_0", "response_1", "prompt", "chosen", "rejected", "p1",
                           "label", "generations", "completions", "output_1", "output_2", "preference"])  # fmt: skip


@QUICK
@given(st.lists(st.dictionaries(_FIELDS, ANY | st.text(min_size=1, max_size=3), max_size=6), max_size=3))
def test_any_values_of_the_usual_fields(rows: list[dict[str, Any]]) -> None:
    row.check(b"\0" + b"\n".join(json.dumps(value).encode() for value in rows))


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(schema.rows())
def test_any_form_of_a_row_shows_everything_once(drawn: tuple[dict[str, Any], list[str], str, str]) -> None:
    row, question, a, b = drawn
    pair = schema.pair_of(row)
    if isinstance(pair, str):
        named = [name for name in ("document", "passage", "question") if name in row]
        assert any(f"a column {name} that may" in pair or f"{name} is no part of" in pair for name in named), pair
        return
    assert (pair.response_0.strip(), pair.response_1.strip()) == (a, b)
    for word in question:
        assert pair.instruction.count(word) == 1, f"{word!r} in {pair.instruction!r}"


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(schema.rows(), st.data())
def test_a_damaged_row_is_right_or_refused(
    drawn: tuple[dict[str, Any], list[str], str, str], data: st.DataObject
) -> None:
    """A column that is gone, or has another value: what is judged all the same lacks that column's words alone."""
    row, question, a, b = drawn
    name = data.draw(st.sampled_from(sorted(row)))
    damaged = data.draw(st.sampled_from([None, *schema.DAMAGE]))
    without = {key: value for key, value in row.items() if key != name}
    pair = schema.pair_of(without if damaged is None and data.draw(st.booleans()) else without | {name: damaged})
    if isinstance(pair, str):
        assert pair.startswith("here, line 1") and len(pair.splitlines()) == 1
        return
    words = json.dumps(without)
    for word in question:
        assert pair.instruction.count(word) == (word in words) or (word in words and name in _FIRST), word
    responses = pair.response_0.strip(), pair.response_1.strip()
    assert responses == (a, b) or (name in _FIRST and all(map(str.endswith, responses, (a, b))))


_FIRST = ("prompt", "instruction")  # without it another column may be the question

_WORDS = (
    "name", "head", "body", "ending", "labels", "exemplars", "[[exemplars]]", "=", "\n", '"a"', "'''", "{instruction}",
    "{first}", "{second}", "{token:x}", "1", "[", "]", "{", "}", ".", ",", '"', "\\", "1979-05-27", "true", "label",
    "response_0", "é", "\r", "#",
)  # fmt: skip
_TOML = st.lists(st.sampled_from(_WORDS) | st.text(max_size=2), max_size=30).map("".join)


@QUICK
@given(_TOML)
def test_any_template(text: str) -> None:
    template.check(text.encode("utf-8", "surrogatepass"))


def test_a_terminal_is_not_steered() -> None:
    assert escaped("é\x1b[2Ja\x9b\u202e") == "é\\x1b[2Ja\\x9b\\u202e"

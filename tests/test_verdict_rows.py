"""Rows of verdicts as ``eval`` and ``diff`` read them, and what is said of bad ones."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from rlaif_fast.errors import EvalError
from rlaif_fast.evaluation.records import Record, is_verdict, record, record_of
from rlaif_fast.files.source import Row as Read
from tests.verdicts import Row, verdict_row

GOOD = verdict_row("x", [0.75, 0.5], 1, task="helpful")


def test_a_row_is_a_record() -> None:
    assert record(GOOD) == Record("x", "text x", "zero x", "one x", 0.625, (0.75, 0.5), 1, "helpful")
    other = record(verdict_row(7, [0.25], None))
    assert (other.response_0, other.label, other.human_label, other.task, other.key) == ("zero 7", 2, None, None, "7")
    assert is_verdict(GOOD) and not is_verdict({"p1": 1}) and not is_verdict(None)


def test_a_row_of_a_csv_file_is_the_same_record() -> None:
    cells = {name: value if isinstance(value, str) else json.dumps(value) for name, value in GOOD.items()}
    assert record(cells) == record(GOOD)
    assert record(cells | {"human_label": "", "task": ""}).human_label is None
    assert record(cells | {"task": ""}).task is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"p1": None}, "p1 is None, it must be a number"),
        ({"p1": "x"}, "p1 is 'x', it must be a number"),
        ({"p1": True}, "p1 is True, it must be a number"),
        ({"p1": "nan"}, "p1 is nan, it must be within 0 and 1"),
        ({"p1": math.nan}, "p1 is nan, it must be within 0 and 1"),
        ({"p1": 1.5}, "p1 is 1.5, it must be within 0 and 1"),
        ({"p1": 10**400}, "p1 is an integer beyond any float"),
        ({"p1": 0.7}, "p1 is not the mean of p1_by_order"),
        ({"p1_by_order": []}, "p1_by_order must be a list of one or two numbers"),
        ({"p1_by_order": [0.5] * 3}, "p1_by_order must be a list of one or two numbers"),
        ({"p1_by_order": "[0.5"}, "p1_by_order must be a list of one or two numbers"),
        ({"p1_by_order": "[" * 100_000}, "p1_by_order must be a list of one or two numbers"),
        ({"p1_by_order": [0.75, math.nan]}, "p1_by_order is nan, it must be within 0 and 1"),
        ({"p1_by_order": [[0.5], 0.5]}, r"p1_by_order is \[0.5\], it must be a number"),
        ({"label": 2}, "label 2 does not follow from p1 0.625"),
        ({"label": 0}, "label 0 does not follow from p1 0.625"),
        ({"label": "nan"}, "label nan does not follow"),
        ({"human_label": 2}, "the human label is 2; it is 0 or 1, the index of the preferred response"),
        ({"human_label": "A"}, "the human label is 'A'"),
        ({"human_label": True}, "the human label is True"),
        ({"chosen": None}, "instruction, chosen and rejected must be strings"),
        ({"chosen": "\ud800"}, "the id or a text has a lone surrogate"),
        ({"id": "\ud800"}, "the id or a text has a lone surrogate"),
    ],
)  # fmt: skip
def test_a_bad_row_is_said_with_its_place(change: Row, reason: str) -> None:
    with pytest.raises(EvalError, match=rf"^f, line 3, id .*: {reason}"):
        record_of(Read(3, "f, line 3", GOOD | change))


@pytest.mark.parametrize("name", ["id", "instruction", "chosen", "rejected", "label", "p1", "p1_by_order"])
def test_a_missing_field_is_named(name: str) -> None:
    row = {key: value for key, value in GOOD.items() if key != name}
    with pytest.raises(EvalError, match=f"field '{name}' is missing; give rows written by `rlaif-fast judge`"):
        record_of(Read(1, "f, line 1", row))


def test_what_is_no_row_is_said() -> None:
    with pytest.raises(EvalError, match=r"^f, line 1: not JSON$"):
        record_of(Read(1, "f, line 1", None, "not JSON"))
    with pytest.raises(EvalError, match=r"^f, line 1: a row is a JSON object$"):
        record_of(Read(1, "f, line 1", [1]))


@pytest.mark.parametrize(("value", "label"), [(0.0, 0), (" 1 ", 1), ("1.0", 1), (0.5, "tie"), ("tie", "tie"),
                                              (math.nan, None), ("", None), (None, None)])  # fmt: skip
def test_a_label_in_any_spelling(value: Any, label: Any) -> None:
    assert record(GOOD | {"human_label": value}).human_label == label

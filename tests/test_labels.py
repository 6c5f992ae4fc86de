"""Labels in the spellings that files have, and whose preferences they are."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif_fast.evaluation.records import record
from rlaif_fast.judging.verdict import Verdict
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.schemas.human_labels import LeftOut, label_name, maker, read_label, said_maker
from tests.conftest import Run
from tests.verdicts import verdict_row, write_rows

Cli = Callable[..., Run]
SPELLINGS: dict[Any, list[Any]] = {
    0: [0, 0.0, "0", "0.0", " 0 ", "0.", "-0", "+0", "00"],
    1: [1, 1.0, "1", "1.0", " 1\n", "1.", "+1", "01"],
    "tie": [0.5, "0.5", "tie", "Tie", "TIE", "tie (bothbad)", "tie (both bad)", "tie_bothbad", "both_bad", "both",
            "bothbad", "both bad", "draw", "equal", "neither"],
    None: [None, math.nan, "", "  ", "nan", "NaN", "null", "None", "NA", "N/A", "<NA>", -1, -1.0, "-1"],
}  # fmt: skip
NONE = [2, "2", 2.0, 1.5, "1.5", -2, True, False, "true", "A", "model_a", "response_0", [0], {"0": 1}, 0.7, "1e0",
        math.inf, "inf", 10**400, "1" * 5000, "1,0", "0 1", "\x1b[31m"]  # fmt: skip


@pytest.mark.parametrize(
    ("label", "value"), [(label, value) for label, values in SPELLINGS.items() for value in values]
)
def test_a_label_in_any_spelling(label: Any, value: Any) -> None:
    found = read_label(value)
    assert found == label and type(found) is type(label)


@pytest.mark.parametrize("value", NONE, ids=range(len(NONE)))
def test_what_is_none(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^the human label is .{1,60}; it is 0 or 1, the index of the") as caught:
        read_label(value)
    advised = "one that counts from 1 is read with --fields human_label_from_1=label" in str(caught.value)
    assert advised == (str(value) in ("2", "2.0", "1.5"))


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()))
def test_any_value_is_a_label_or_refused(value: Any) -> None:
    try:
        found = read_label(value)
    except ValueError:
        return
    if found in (0, 1):  # never a guess: the number itself, or its text
        assert not isinstance(value, bool) and float(value) == found


def test_what_is_left_out_is_counted() -> None:
    left_out = LeftOut()
    values = [0, "tie", "", None, 1.0, 0.5, 0.5]
    assert [left_out(read_label(value)) for value in values] == [False, True, True, True, False, True, True]
    assert (left_out.ties, left_out.gaps, str(left_out)) == (3, 2, "left out: 3 ties, 2 without a label")
    assert (str(LeftOut()), str(LeftOut(1))) == ("", "left out: 1 tie")


# Whose


@pytest.mark.parametrize(
    ("row", "who"),
    [
        ({"label": 1}, None),
        ({"annotator": "alpaca_eval_gpt4_turbo_fn"}, "model"),
        ({"annotator": "gpt-4"}, "model"),
        ({"judge": ["gpt-4", "pair-v2"]}, "model"),
        ({"judge": "expert_17"}, None),
        ({"annotator": 12}, None),
        ({"annotator": None}, None),
        ({"soft_label": 0.6, "margin": 0.2, "consistent": True}, "model"),
        ({"margin": 0.2}, None),
        ({"score_chosen": 8.5, "score_rejected": 3.0}, "file"),
        ({"chosen-rating": 4.2, "rejected-rating": 4.0, "chosen-model": "gpt-4"}, "file"),
        ({"model": "gpt-4"}, None),
    ],
)
def test_what_a_row_says_of_its_maker(row: dict[str, Any], who: str | None) -> None:
    assert said_maker(row) == who
    assert label_name(row) == ("human_label" if who is None else "file_label")


def test_whose_the_labels_of_a_file_are() -> None:
    assert maker([0, 1], [None, None]) == "people"
    assert maker([0, 0], [None, None]) == "file", "as rows of chosen and rejected are read"
    assert maker([0, 1], [None, "file"]) == "file" and maker([0, 1], ["file", "model"]) == "model"


def test_a_models_preference_is_not_called_a_persons() -> None:
    row = Verdict(Pair("i", "a", "b", 1, {"label": 0, "annotator": "gpt-4"}), (0.5, -0.25)).row()
    assert row["file_label"] == 0 and "human_label" not in row
    row = Verdict(Pair("i", "a", "b", 1, {"label": 0, "file_label": 5, "annotator": "gpt-4"}), (0.5,)).row()
    assert (row["file_label"], row["input_file_label"]) == (0, 5)


def test_a_table_has_both_columns_in_every_row() -> None:
    rows = [verdict_row(1, [0.6, 0.5]) | {"human_label": "", "file_label": "1.0"},
            verdict_row(2, [0.6, 0.5]) | {"human_label": 0, "file_label": None}]  # fmt: skip
    assert [record(row).human_label for row in rows] == [1, 0]


# As people call it

PAIRS = [("Name a gas.", "Neon.", "Iron."), ("Name a metal.", "Neon gas.", "Iron."), ("Say hi.", "Hi.", "Hello you.")]


def _file(folder: Path, kind: str, labels: list[Any]) -> Path:
    import pyarrow
    import pyarrow.parquet

    names = ("instruction", "response_0", "response_1")
    rows = [dict(zip(names, PAIRS[n % 3], strict=True)) | {"label": label} for n, label in enumerate(labels)]
    path = folder / f"pairs.{kind}"
    if kind == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif kind == "json":
        path.write_text(json.dumps(rows))
    elif kind == "jsonl":
        write_rows(path, rows)
    else:
        separator = {"csv": ",", "tsv": "\t"}[kind]
        lines = [[*names, "label"], *([*row.values()] for row in rows)]
        path.write_text("".join(separator.join("" if x is None else str(x) for x in line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "tsv", "parquet"])
def test_every_format_and_command_reads_them(kind: str, llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    path = _file(tmp_path, kind, [0.0, None, 1.0, 0.5, 1.0])
    done = rlaif_fast("eval", path, "-b", llama, "--json", tmp_path / "e.json")
    assert done.status == 0, done.err
    assert "3 pairs, 3 instructions; left out: 1 tie, 1 without a label; 95 %" in done.out.replace("\n", " ")
    found = json.loads((tmp_path / "e.json").read_text())
    assert found["arrays"]["human_label"] == [0, 1, 1]
    assert found["labels"] == {"made_by": "people", "ties": 1, "gaps": 1}
    # Judged first, and then looked at: the same.
    verdicts = tmp_path / f"v.{kind}"
    assert rlaif_fast("judge", path, "-b", llama, "-o", verdicts).status == 0
    done = rlaif_fast("eval", verdicts, "--json", tmp_path / "again")
    assert done.status == 0, done.err
    again = json.loads((tmp_path / "again").read_text())
    assert again["arrays"]["human_label"] == [0, 1, 1] and again["labels"] == found["labels"]
    assert again["accuracy"] == found["accuracy"]
    done = rlaif_fast("diff", verdicts, verdicts, "--json", tmp_path / "d.json")
    assert done.status == 0 and "of the labels left out: 1 tie" in done.out, done.err
    differences = json.loads((tmp_path / "d.json").read_text())
    assert (differences["human"]["pairs"], differences["labels"]) == (3, found["labels"])
    done = rlaif_fast("template", "check", "summary", "--exemplars", path, "--shots", 3)
    assert done.status == 0 and "(left out: 1 tie, 1 without a label)" in done.err


def test_a_verdict_judged_again_has_the_same_label(llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    first, again, third = _file(tmp_path, "jsonl", [0, 1, 0]), tmp_path / "w1.jsonl", tmp_path / "w2.jsonl"
    for source, out in ((first, again), (again, third)):
        assert rlaif_fast("judge", source, "-b", llama, "-o", out).status == 0
    preferred = []
    for path in (again, third):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        found = [record(row) for row in rows]
        preferred.append([(one.response_0, one.response_1)[int(one.human_label == 1)] for one in found])
    assert preferred[0] == preferred[1] == ["Neon.", "Iron.", "Hi."]


def test_label_one_beside_chosen_and_rejected_is_refused(llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    rows = [{"prompt": i, "chosen": a, "rejected": b, "label": 1} for i, a, b in PAIRS]
    path = write_rows(tmp_path / "p.jsonl", rows)
    done = rlaif_fast("eval", path, "-b", llama)
    assert done.status == 1 and "line 1, id 1: has label 1 beside responses that are not numbered from 0" in done.err
    assert rlaif_fast("judge", path, "-b", llama, "-o", tmp_path / "v.jsonl").status == 0
    assert not {"human_label", "file_label"} & {*json.loads((tmp_path / "v.jsonl").read_text().splitlines()[0])}


def test_labels_counted_from_one_are_refused(llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    path = _file(tmp_path, "csv", [1, 2, 1])
    done = rlaif_fast("eval", path, "-b", llama)
    assert (done.status, done.out) == (1, "")
    assert done.err == (
        f"error: {path}, line 3, id 3: the human label is '2'; it is 0 or 1, the index of the preferred response;"
        " one that counts from 1 is read with --fields human_label_from_1=label\n"
    )
    done = rlaif_fast("eval", path, "-b", llama, "--fields", "human_label_from_1=label", "--json", tmp_path / "e.json")
    assert done.status == 0, done.err
    assert json.loads((tmp_path / "e.json").read_text())["arrays"]["human_label"] == [0, 1, 0]


def test_nothing_but_ties_is_said(llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    done = rlaif_fast("eval", _file(tmp_path, "csv", ["tie", None, "both_bad"]), "-b", llama)
    assert done.status == 1 and "no labelled pairs to evaluate (left out: 2 ties, 1 without a label)" in done.err
    path = write_rows(tmp_path / "v.jsonl", [verdict_row(1, [0.6, 0.5]) | {"human_label": None}])
    done = rlaif_fast("eval", path)
    assert done.status == 1 and "no labelled pairs to evaluate (left out: 1 without a label)" in done.err


def test_a_report_on_a_models_preferences_never_speaks_of_people(llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    rows = [{"prompt": i, "chosen": a, "rejected": b, "score_chosen": 9.0, "score_rejected": 2.0} for i, a, b in PAIRS]
    path = write_rows(tmp_path / "p.jsonl", rows)
    for named, whose in (({}, "the file's preferences"), ({"annotator": "gpt-4"}, "a model's preferences")):
        write_rows(path, [row | named for row in rows])
        done = rlaif_fast("eval", path, "-b", llama, "--html", tmp_path / "e.html")
        assert done.status == 0 and f"agreement with {whose} (accuracy)" in done.out, done.err
        page = (tmp_path / "e.html").read_text().partition("<body>")[2]
        assert "people" not in done.out + done.err + page
        assert rlaif_fast("judge", path, "-b", llama, "-o", tmp_path / "v.jsonl", "--restart").status == 0
        done = rlaif_fast("eval", tmp_path / "v.jsonl")
        assert done.status == 0 and f"agreement with {whose} (accuracy)" in done.out and "people" not in done.out
        done = rlaif_fast("diff", tmp_path / "v.jsonl", tmp_path / "v.jsonl")
        assert done.status == 0 and f"agreement with {whose}" in done.out and "people" not in done.out

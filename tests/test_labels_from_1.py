"""``human_label_from_1``: people's label in the numbers of a verdict's own label, written and read."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlaif_fast.evaluation.labelled import label_of
from rlaif_fast.evaluation.records import record
from rlaif_fast.judging.verdict import Verdict
from rlaif_fast.rows.pairs import Pair, pair_from_row
from rlaif_fast.schemas.field_mapping import field_mapping
from rlaif_fast.schemas.labels_from_1 import counted_from_1, read_from_1
from tests.conftest import Run
from tests.rows import OURS, recognised
from tests.test_labels import NONE, SPELLINGS
from tests.verdicts import verdict_row, write_rows

Cli = Callable[..., Run]
NAME = "human_label_from_1"


def test_every_spelling_of_the_one_is_the_other() -> None:
    for label, values in SPELLINGS.items():
        for value in values:
            assert counted_from_1(value) == {0: 1, 1: 2}.get(label)
    assert [counted_from_1(value) for value in NONE] == [None] * len(NONE)


@pytest.mark.parametrize(
    ("value", "label"),
    [(1, 0), (2, 1), (1.0, 0), (2.0, 1), ("1", 0), (" 2 ", 1), ("2.0", 1), (1.5, "tie"), ("1.5", "tie"),
     ("both_bad", "tie"), (None, None), ("", None), (math.nan, None), ("nan", None), (-1, None)],
)  # fmt: skip
def test_what_is_read(value: Any, label: Any) -> None:
    found = read_from_1(value)
    assert found == label and type(found) is type(label)


@pytest.mark.parametrize("value", [0, "0", 0.5, 3, "A", True, False, [1]])
def test_what_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^human_label_from_1 is .+; it is 1 or 2, the number of the preferred resp"):
        read_from_1(value)


def test_a_verdicts_row_has_both_and_they_agree() -> None:
    for human, judged, odds in ((0, 1, 0.5), (1, 2, -0.5)):
        row = Verdict(Pair("i", "a", "b", 1, {"label": human, "note": "n"}), (odds,)).row()
        assert list(row)[-3:] == ["human_label", NAME, "note"]
        assert row["human_label"] == human and row["label"] == row[NAME] == judged, "both are right"
    assert Verdict(Pair("i", "a", "b", 1, {"label": "tie"}), (0.5,)).row()[NAME] is None
    models = Verdict(Pair("i", "a", "b", 1, {"label": 1, "annotator": "gpt-4"}), (0.5,)).row()
    assert (models["file_label"], models["file_label_from_1"]) == (1, 2) and NAME not in models
    assert NAME not in Verdict(Pair("i", "a", "b", 1), (0.5,)).row(), "nobody was asked"


def test_a_pair_may_have_its_label_so() -> None:
    for said, label in ((1, 0), ("2", 1), (None, None), (1.5, "tie")):
        found = pair_from_row(recognised(OURS | {NAME: said})(OURS | {NAME: said}))
        assert (label_of(found), found.carried) == (label, {"label": label})
    both = OURS | {"label": "1", NAME: 2}
    assert recognised(both)(both) == OURS | {"label": "1"}, "as it was spelled"
    with pytest.raises(ValueError, match=r"^has label 0 and human_label_from_1 2, which contradict; remove one$"):
        recognised(OURS)(OURS | {"label": 0, NAME: 2})
    with pytest.raises(ValueError, match=r"^human_label_from_1 is '3'; it is 1 or 2"):
        recognised(OURS)(OURS | {NAME: 3})


def test_fields_name_a_label_and_a_kind() -> None:
    row = {"input": "i", "one": "a", "two": "b", "label": 2, "kind": "k", "x": 1}
    names = "instruction=input,response_0=one,response_1=two"
    read = field_mapping(f"{names},human_label_from_1=label,task=kind").take(row)
    assert read.row == OURS | {"label": 1, "task": "k", "x": 1} and read.carried == ("x",)
    assert field_mapping(f"{names},label=gold.0")(row | {"gold": [0], "label": "no"})["label"] == 0
    chosen = field_mapping("instruction=prompt,response_0=chosen.0,response_1=rejected.1")
    assert chosen({"prompt": "i", "chosen": ["a"], "rejected": ["x", "b"]})["label"] == 0
    with_own = row | {"pref": None, "label": 1}
    assert field_mapping(f"{names},human_label_from_1=pref")(with_own) == OURS | {
        "label": None, "input_label": 1, "kind": "k", "x": 1
    }, "the column that is named, and no other"  # fmt: skip
    with pytest.raises(ValueError, match=r"^has label 'helpful' and human_label_from_1 2, which contradict"):
        recognised(OURS)(OURS | {"label": "helpful", NAME: 2})
    with pytest.raises(ValueError, match=r"^has no label$"):
        field_mapping("human_label_from_1=label")(OURS)
    with pytest.raises(ValueError, match=r"counted from 0 and from 1; name one of them$"):
        field_mapping("label=a,human_label_from_1=b")
    with pytest.raises(ValueError, match=r"^'label' is none of instruction, response, id$"):
        field_mapping("label=a", ("instruction", "response", "id"))


def test_a_choice_that_is_named_is_read_as_one_that_is_recognised() -> None:
    read = field_mapping("instruction=prompt,response_0=chosen,response_1=rejected")
    row = {"prompt": "i", "chosen": "a", "rejected": "b"}
    assert read(row)["label"] == 0
    assert read(row | {"score_chosen": 4.0, "score_rejected": 4.0})["label"] == "tie"
    assert "label" not in read(row | {"soft_label": 0.7, "margin": 0.4, "consistent": True}), "a judge chose"


def test_a_table_whose_ones_were_set_aside_is_refused(llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    """A 1 beside responses that count from 1 says of neither that it is preferred; the zeros alone would be left."""
    rows = [{"instruction": f"q {n}", "response_1": "a", "response_2": "b", "label": n % 2} for n in range(4)]
    write_rows(tmp_path / "p.jsonl", rows)
    assert rlaif_fast("judge", tmp_path / "p.jsonl", "-b", llama, "-o", tmp_path / "v.csv").status == 0
    done = rlaif_fast("eval", tmp_path / "v.csv")
    assert done.status == 1 and "v.csv, line 3, id '2': has input_label 1 in place of a human_label" in done.err


def test_verdicts_that_have_only_the_new_name_are_evaluated_and_turned_with_their_responses() -> None:
    row = verdict_row("r", [0.2, 0.3]) | {NAME: 2}  # the judge and people prefer response_1
    assert record(row).human_label == 1
    again = recognised(row)(row)  # its chosen is response_0 now
    assert (again["response_0"], again["human_label"], NAME in again) == ("one r", 0, False)
    models = verdict_row("r", [0.2, 0.3]) | {"file_label_from_1": 1}
    assert record(models).human_label == 0 and recognised(models)(models)["file_label"] == 1
    with pytest.raises(ValueError, match=r"^has human_label 0 and human_label_from_1 2, which contradict"):
        record(row | {"human_label": 0})
    table = row | {"human_label": "", NAME: "", "file_label": "", "file_label_from_1": "1"}
    assert record(table).human_label == 0, "in a table every row has all columns"


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_judged_twice_it_follows_the_responses(kind: str, llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    """Whatever the format: the file's text that people prefer is the same one after each run."""
    pairs = [{"instruction": f"Name gas {n}.", "response_0": f"Neon {n}.", "response_1": f"Iron {n}.", "label": label}
             for n, label in enumerate([0, 1, 0.5, None, 0])]  # fmt: skip
    source, again, third = write_rows(tmp_path / "p.jsonl", pairs), tmp_path / f"v1.{kind}", tmp_path / f"v2.{kind}"
    for read, written in ((source, again), (again, third)):
        done = rlaif_fast("judge", read, "-b", llama, "-o", written)
        assert done.status == 0, done.err
    from rlaif_fast.files.opening import open_rows

    for path in (again, third):
        with open_rows(str(path)) as opened:
            rows = [row.value for row in opened.rows()]
        preferred = []
        for row in rows:
            assert row[NAME] in ("", None) or (float(row["human_label"]) + 1 == float(row[NAME]))
            agrees = str(row[NAME]).removesuffix(".0") == str(row["label"])
            preferred.append(None if row[NAME] in ("", None) else row["chosen" if agrees else "rejected"])
        assert preferred == ["Neon 0.", "Iron 1.", None, None, "Neon 4."]
    lean = tmp_path / "lean.jsonl"
    kept = ("id", "instruction", "chosen", "rejected", "label", "p1", "p1_by_order", NAME)
    write_rows(lean, [{name: row[name] for name in kept} for row in rows])
    found = [rlaif_fast("eval", one, "--json", tmp_path / "e.json") for one in (third, lean)]
    assert [one.status for one in found] == [0, 0], found[1].err
    tables = [one.out.partition("\n")[2].partition("3 pairs")[0] for one in found]
    assert tables[0] == tables[1], "but for what the last line says was left out"
    assert "left out: 1 tie, 1 without a label;" in found[0].out.replace("\n", " ")
    assert json.loads((tmp_path / "e.json").read_text())["labels"] == {"made_by": "people", "ties": 0, "gaps": 2}


def test_labels_that_are_none_are_counted_and_said(llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    """A 2 means that they count from 1, where a 1 would be read as response_1."""
    texts = {"instruction": "q", "response_0": "A fox.", "response_1": "A dog."}
    rows = [texts | {"id": n, "label": label} for n, label in enumerate([1, 2, 0, "tie", None, 2])]
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = rlaif_fast("judge", path, "-b", llama, "-o", tmp_path / "v.jsonl")
    said = (
        "warning: 2 labels are neither 0 nor 1 (as '2'): human_label_from_1 is null there; where labels count from 1,"
        " --fields human_label_from_1=label reads them"
    )
    assert done.status == 0 and said in done.err.splitlines()
    rows = [row for row in rows if row["label"] in (1, 2)]
    write_rows(path, rows)
    read = rlaif_fast("judge", path, "-b", llama, "--fields", "human_label_from_1=label")
    assert "neither" not in read.err
    assert [json.loads(line)["human_label_from_1"] for line in read.out.splitlines()] == [1, 2, 2]


def test_a_label_that_may_mean_either_response_is_said(llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    path, verdicts = tmp_path / "p.jsonl", tmp_path / "v.jsonl"
    write_rows(path, [{"instruction": "q", "chosen": "A fox.", "rejected": "A dog.", "label": n % 2} for n in range(3)])
    said = (
        "warning: 1 label with the value 1 may mean either response: kept as input_label, not as human_label; name the"
        " label with --fields"
    )
    done = rlaif_fast("judge", path, "-b", llama, "-o", verdicts)
    assert done.status == 0 and said in done.err.splitlines()
    rows = [json.loads(line) for line in verdicts.read_text().splitlines()]
    assert [row.get("human_label") for row in rows] == [0, None, 0] and rows[1]["input_label"] == 1
    mapped = "response_0=chosen,response_1=rejected,label=label"
    assert "may mean" not in rlaif_fast("judge", path, "-b", llama, "--fields", mapped).err
    assert "may mean" not in rlaif_fast("judge", verdicts, "-b", llama).err

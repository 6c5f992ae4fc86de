"""Few-shot examples: rows that people labelled, balanced in the answer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif_fast.errors import PairError
from rlaif_fast.prompts.built_in import BUILT_IN, template_of
from rlaif_fast.prompts.few_shot import balance_line, read_labelled, with_exemplars, worked
from rlaif_fast.prompts.template import Wording
from rlaif_fast.prompts.template_file import read_template, to_toml
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.schemas.human_labels import LeftOut
from tests.conftest import ROOT


def rows(path: Path, *labels: object, **more: object) -> Path:
    lines = [
        {"instruction": f"t{n}", "response_0": f"a{n}", "response_1": f"b{n}", **more}
        | ({} if label is None else {"label": label})
        for n, label in enumerate(labels)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize("labels", [(0, 0, 0, 0), (1, 1, 1, 1), (0, 1, 0, 1), (1, 0, 0, 1)])
def test_the_right_answers_take_turns(tmp_path: Path, labels: tuple[int, ...]) -> None:
    shown = worked(read_labelled(rows(tmp_path / "x.jsonl", *labels), 4))
    assert [exemplar.right for exemplar in shown] == [0, 1, 0, 1]
    for number, (exemplar, label) in enumerate(zip(shown, labels, strict=True)):
        assert exemplar.instruction == f"t{number}"
        assert (exemplar.first, exemplar.second)[exemplar.right] == f"{'ab'[label]}{number}", "people's choice stays"


def test_rows_without_a_label_are_passed_over(tmp_path: Path) -> None:
    shown = read_labelled(rows(tmp_path / "x.jsonl", None, 0, "", 1, 1), 2)
    assert [pair.instruction for pair in shown] == ["t1", "t3"]
    with pytest.raises(PairError, match=r"x.jsonl: 3 rows have a label \(left out: 2 without a label\), 4 are to be"):
        read_labelled(tmp_path / "x.jsonl", 4)


def test_ties_are_passed_over_and_said(tmp_path: Path) -> None:
    left_out = LeftOut()
    pairs = read_labelled(rows(tmp_path / "x.jsonl", "tie", 0.0, -1, 0.5, "1.0", 1), 2, left_out)
    assert [pair.instruction for pair in pairs] == ["t1", "t4"]
    wording = with_exemplars(BUILT_IN["summary"], worked(pairs))
    assert "2 few-shot examples from x (left out: 2 ties, 1 without a label): " in balance_line(wording, "x", left_out)


@pytest.mark.parametrize("label", [2, -2, True, 0.7, "2", [0]])
def test_a_label_that_is_none(tmp_path: Path, label: object) -> None:
    with pytest.raises(PairError, match=r"x.jsonl, line 2, id 2: the human label is .*; it is 0 or 1") as caught:
        read_labelled(rows(tmp_path / "x.jsonl", 0, label), 2)
    assert "\n" not in str(caught.value)


def test_a_rationale_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(PairError, match="rationale must be a string"):
        worked(read_labelled(rows(tmp_path / "x.jsonl", 0, rationale=3), 1))


def test_any_format_that_pairs_come_in(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("instruction,response_0,response_1,label\nt,a,b,1\n")
    (tmp_path / "trl.jsonl").write_text(json.dumps({"prompt": "t", "chosen": "b", "rejected": "a"}))
    for name in ("x.csv", "trl.jsonl"):
        (exemplar,) = worked(read_labelled(tmp_path / name, 1))
        assert (exemplar.instruction, exemplar.first, exemplar.second) == ("t", "b", "a")


def test_the_shipped_ones() -> None:
    pairs = read_labelled(ROOT / "examples/exemplars.jsonl", 8)
    wording = with_exemplars(BUILT_IN["summary"], worked(pairs))
    template = template_of(wording)
    assert template.name.startswith("summary-8-shot-") and len(template.name) == len("summary-8-shot-") + 8
    assert template.head.count("Preferred Summary=1\n\n") == template.head.count("Preferred Summary=2\n\n") == 4
    assert template.head.startswith(BUILT_IN["summary"].head) and template.head.count("Rationale: ") == 4
    fewer = template_of(with_exemplars(BUILT_IN["summary"], worked(pairs[1:])))
    assert fewer.name != template.name
    assert "the right answers are 1, 2, 1, 2, 1, 2, 1, 2;" in balance_line(wording, "x")


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(*[st.text(min_size=1).filter(lambda t: t.strip() and "\0" not in t)] * 3), max_size=4),
       st.booleans())  # fmt: skip
def test_a_template_with_examples_reads_back(texts: list[tuple[str, str, str]], first: bool) -> None:
    rows: list[Pair] = []
    for k, (instruction, a, b) in enumerate(texts):
        if a != b:
            carried: dict[str, Any] = {"label": (k + first) % 2}
            rows.append(Pair(instruction, a, b, k, carried))
    wording: Wording = replace(with_exemplars(BUILT_IN["helpful"], worked(rows)), reply="[[" * first)
    with TemporaryDirectory() as made:
        path = Path(made, "t.toml")
        path.write_text(to_toml(wording), encoding="utf-8", newline="")
        assert read_template(str(path)).wording == wording

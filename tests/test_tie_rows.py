"""What becomes of a prompt's third label, for ties: rows, files, columns, the real commands."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rlaif_fast import BundleError, FrugalJudge, Judge, Pair, Ranker
from rlaif_fast.integrations import Labeler
from rlaif_fast.judging.label_odds import tie_shares, verdict_of
from rlaif_fast.judging.pair_run import PairRun
from rlaif_fast.judging.run_input import RunInput
from rlaif_fast.judging.verdict import COLUMNS, sigmoid
from rlaif_fast.prompts.template import SUMMARY
from tests.conftest import Run
from tests.stopping import interrupted
from tests.test_ties import HEAD, PAIRS, TIED, Folders, export

FILE = f'''name = "tied"
labels = ["A", "B", "C"]
head = """
{HEAD}"""
body = """
{{instruction}}
A: {{first}}
B: {{second}}
"""
ending = "Answer: "
'''


@pytest.fixture(scope="module")
def bundle(tiny_folder: Folders, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a prompt of two labels first."""
    return export(tiny_folder("llama"), tmp_path_factory.mktemp("ties") / "bundle", SUMMARY, TIED)


@pytest.fixture(scope="module")
def judge(bundle: Path) -> Judge:
    return Judge.load(bundle, template="tied")


def test_the_row() -> None:
    logits = np.array([[2.0, 1.0, 0.5], [1.0, 3.0, -1.0]])
    verdict = verdict_of(replace(PAIRS[0], carried={"p_tie": "theirs", "note": 1}), logits)
    row = verdict.row()
    assert list(row) == [*COLUMNS, "p_tie", "input_p_tie", "note"]
    assert row["p_tie"] == sum(tie_shares(logits)) / 2 and row["input_p_tie"] == "theirs"
    assert row["p2"] == 1 - row["p1"] and json.loads(verdict.to_json()) == row
    alone = verdict_of(PAIRS[0], logits[:1]).row()
    assert alone["p_tie"] == tie_shares(logits)[0] and alone["consistent"] is None
    two = verdict_of(replace(PAIRS[0], carried={"p_tie": 0.5}), logits[:, :2]).row()
    assert list(two) == [*COLUMNS, "input_p_tie"], "p_tie is the judge's wherever it stands"


def test_fewer_orders_are_refused(judge: Judge, bundle: Path, tmp_path: Path, rlaif_fast: Callable[..., Run]) -> None:
    said = (
        "llama (fp32, tied): its prompt has a label for ties, which --orders {} does not support; take --orders both or"
        " forward"
    )
    with pytest.raises(BundleError) as caught:
        FrugalJudge(judge, {}, "auto")
    assert str(caught.value) == said.format("auto")
    with pytest.raises(BundleError):
        PairRun(RunInput.of(PAIRS), judge, orders="prior")
    rows = _rows(tmp_path / "pairs.jsonl")
    done = rlaif_fast("judge", rows, "-b", bundle, "--template", "tied", "--orders", "prior", "-o", tmp_path / "out")
    assert (done.status, done.err) == (1, f"error: {said.format('prior')}\n")
    assert [*tmp_path.iterdir()] == [rows]


def test_ranking_and_columns(judge: Judge, bundle: Path) -> None:
    """A tie is half a win for each."""
    ranking = Ranker(judge).rank("A fox jumps.", ["The fox.", "A dog.", "It jumps."])
    for (i, j), verdict in ranking.verdicts.items():
        assert ranking.wins[i][j] == verdict.p1 and ranking.wins[i][j] + ranking.wins[j][i] == 1
    labeler = Labeler(bundle, template="tied")
    columns = {name: [getattr(pair, name) for pair in PAIRS] for name in ("instruction", "response_0", "response_1")}
    found = labeler({**columns, "p_tie": [5] * 4})
    assert found["p_tie"] == [verdict.p_tie for verdict in judge.judge_many(PAIRS, window=4)]
    assert found["input_p_tie"] == [5] * 4
    assert labeler({name: [] for name in columns}) == {name: [] for name in (*COLUMNS[1:], "p_tie")}
    plain = Labeler(bundle)({**columns, "p_tie": [5] * 4})
    assert [*plain] == list(COLUMNS[1:]), "what is not its own it does not repeat"


def _rows(path: Path) -> Path:
    rows = [{"id": p.id, "instruction": p.instruction, "response_0": p.response_0, "response_1": p.response_1,
             "label": p.id % 2, "p_tie": "theirs"} for p in PAIRS]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_from_a_file_to_rows(tiny_folder: Folders, tmp_path: Path, rlaif_fast: Callable[..., Run]) -> None:
    """The real command: check, export, judge into every kind of file, resume, evaluate, calibrate."""
    template, model, folder = tmp_path / "tied.toml", tiny_folder("llama"), tmp_path / "bundle"
    template.write_text(FILE)
    shown = rlaif_fast("template", "show", template)
    assert shown.err.endswith("answered with 'A', 'B' or 'C'\n"), shown.err
    checked = rlaif_fast("template", "check", template, "--model", model)
    assert "'A' is token 35, 'B' is token 36, 'C' is token 37 after the prompt" in checked.out, checked.err
    template.write_text(FILE.replace('"C"]', '"neither"]'))
    refused = rlaif_fast("template", "check", template, "--model", model)
    assert refused.err.count("\n") == 1 and refused.err.startswith(f"error: {template}, line 2: template tied-")
    assert "label 'neither' is not one token after the prompt with this tokenizer" in refused.err
    template.write_text(FILE)
    done = rlaif_fast("export", model, "-o", folder, "--precision", "fp32", "--template", template)
    assert done.status == 0, done.err
    inspected = rlaif_fast("inspect", folder, "--check", "--verbose", COLUMNS="200")
    assert "'A' = token 35, 'B' = token 36, 'C' = token 37" in inspected.out and "checked" in inspected.out

    rows, judge = _rows(tmp_path / "pairs.jsonl"), Judge.load(folder)
    verdicts = [v.row() for v in judge.judge_many(PAIRS, window=1024)]
    printed = rlaif_fast("judge", rows, "-b", folder)
    assert printed.status == 0, printed.err
    found = [json.loads(line) for line in printed.out.splitlines()]
    assert list(found[0]) == [*COLUMNS, "p_tie", "human_label", "human_label_from_1", "input_p_tie"]
    assert [{name: row[name] for name in (*COLUMNS, "p_tie")} for row in found] == verdicts
    assert {row["input_p_tie"] for row in found} == {"theirs"}

    command = ("judge", rows, "-b", folder, "-o", tmp_path / "out.jsonl", "--window", 1)
    interrupted(command, "write", 2)
    resumed = rlaif_fast(*command)
    assert resumed.status == 0 and "resuming after 2 rows" in resumed.err, resumed.err
    whole = rlaif_fast("judge", rows, "-b", folder, "-o", tmp_path / "whole.jsonl", "--window", 1)
    assert whole.status == 0 and (tmp_path / "whole.jsonl").read_bytes() == (tmp_path / "out.jsonl").read_bytes()

    assert rlaif_fast("judge", rows, "-b", folder, "-o", tmp_path / "out.csv").status == 0
    with open(tmp_path / "out.csv", newline="") as stream:
        cells = list(csv.DictReader(stream))
    assert [float(cell["p_tie"]) for cell in cells] == [row["p_tie"] for row in found]
    assert list(cells[0]) == [*COLUMNS, "p_tie", "human_label", "human_label_from_1", "input_p_tie"]
    from pyarrow import parquet

    for name, more in (("out.parquet", ()), ("empty.parquet", ("--min-margin", 1))):
        assert rlaif_fast("judge", rows, "-b", folder, "-o", tmp_path / name, *more).status == 0
        table = parquet.read_table(tmp_path / name)
        assert str(table.schema.field("p_tie").type) == "double"
        assert table["p_tie"].to_pylist() == ([] if more else [row["p_tie"] for row in found])
    trl = rlaif_fast("judge", rows, "-b", folder, "--to", "trl")
    assert [json.loads(line)["soft_label"] for line in trl.out.splitlines()] == [
        max(row["p1"], row["p2"]) for row in found
    ]


def test_a_calibration_is_of_p1(bundle: Path, judge: Judge, tmp_path: Path, rlaif_fast: Callable[..., Run]) -> None:
    words = ["fox", "wizard", "jam", "lazy dog", "coherent", "main idea", "quick", "seven"]
    pairs = [Pair(f"Text {n}", words[n % 8] + "!", words[n * 3 % 7] + "?", id=n) for n in range(60)]
    rows = tmp_path / "pairs.jsonl"
    rows.write_text(
        "".join(
            json.dumps({"id": p.id, "instruction": p.instruction, "response_0": p.response_0,
                        "response_1": p.response_1, "label": p.id % 2}) + "\n" for p in pairs
        )
    )  # fmt: skip
    fitted = rlaif_fast("eval", rows, "-b", bundle, "--template", "tied", "--fit", tmp_path / "c.json")
    assert fitted.status == 0, fitted.err
    options = ("-b", bundle, "--template", "tied")
    plain = [json.loads(line) for line in rlaif_fast("judge", rows, *options).out.splitlines()]
    assert rlaif_fast("judge", rows, *options, "-o", tmp_path / "out.jsonl").status == 0
    again = rlaif_fast("eval", tmp_path / "out.jsonl", "--json", tmp_path / "eval.json")
    assert again.status == 0, again.err
    assert json.loads((tmp_path / "eval.json").read_text())["arrays"]["p1"] == [row["p1"] for row in plain]
    calibrated = rlaif_fast("judge", rows, *options, "--calibration", tmp_path / "c.json", "-o", tmp_path / "c.csv")
    assert calibrated.status == 0, calibrated.err
    with open(tmp_path / "c.csv", newline="") as stream:
        cells = list(csv.DictReader(stream))
    assert list(cells[0]) == [*COLUMNS, "human_label", "human_label_from_1"], "no p_tie: nothing was fitted to it"
    a, b = (json.loads((tmp_path / "c.json").read_text())[name] for name in "ab")
    for cell, verdict, row in zip(cells, judge.judge_many(pairs, window=1024), plain, strict=True):
        forward, swapped = verdict.log_odds_by_order
        p1 = (sigmoid(a * forward + b) + sigmoid(a * swapped - b)) / 2
        assert float(cell["p1"]) == pytest.approx(p1, abs=1e-9)
        assert row["p_tie"] == verdict.p_tie

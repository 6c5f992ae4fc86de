"""``rlaif-fast select``: what a user types, and what an independent count makes of its files."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlaif_fast import Judge, Pair
from rlaif_fast.bundle.folder import read_manifest
from rlaif_fast.evaluation.records import half
from rlaif_fast.prompts.built_in import BUILT_IN, template_of
from rlaif_fast.prompts.template import SUMMARY
from tests.conftest import ROOT, Run
from tests.test_bundle_prompts import export

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "lazy", "dog", "while", "seven", "wizards", "brew", "jam"]


def _text(draw: random.Random, most: int) -> str:
    return " ".join(draw.choice(WORDS) for _ in range(draw.randint(2, most)))


def _rows(count: int) -> list[dict[str, Any]]:
    draw = random.Random(5)
    return [{"id": f"r{k}", "instruction": f"{k} {_text(draw, 9)}", "response_0": f"{_text(draw, 6)} 0",
             "response_1": f"{_text(draw, 6)} 1"} for k in range(count)]  # fmt: skip


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def model(tiny_folder: Callable[[str], Path]) -> Path:
    return tiny_folder("llama")


@pytest.fixture(scope="module")
def rows(model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Pairs, labelled by the model itself when it is asked which response is more helpful."""
    judge = Judge.load(export(model, tmp_path_factory.mktemp("labels") / "b", template_of(BUILT_IN["helpful"])))
    rows = _rows(140)
    verdicts = judge.judge_many(Pair(row["instruction"], row["response_0"], row["response_1"]) for row in rows)
    return [row | {"label": verdict.label - 1} for row, verdict in zip(rows, verdicts, strict=True)]


@pytest.fixture
def bundle(model: Path, tmp_path: Path) -> Path:
    return export(model, tmp_path / "bundle", SUMMARY)


def test_the_prompt_that_labelled_is_found_put_in_and_judges_by_its_profile(
    rlaif_fast: Callable[..., Run], model: Path, bundle: Path, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    labelled = _write(tmp_path / "labelled.jsonl", rows)
    graph = (bundle / "model.onnx").read_bytes()
    command = ("select", labelled, "-b", bundle, "--model", model, "--shots", "0,2", "--profile", tmp_path / "p.json",
               "--json", tmp_path / "s.json", "--html", tmp_path / "s.html")  # fmt: skip
    done = rlaif_fast(*command, home=tmp_path / "home")
    assert done.status == 0, done.err
    found = json.loads((tmp_path / "s.json").read_text())
    assert found["recommended"] and found["best"]["prompt"] == "helpful" and found["best"]["orders"] == "both"
    assert done.out.splitlines()[-1] == found["conclusion"]
    assert found["conclusion"].startswith("recommended: helpful. On ")
    assert f"helpful was put into {bundle}\n" in done.err
    names = {one["prompt"] for one in found["tried"]}
    assert set(BUILT_IN) <= names and any(name.startswith("helpful-2-shot-") for name in names)
    assert "left out: " in done.out and "has no chat template" in done.out, "what was not tried is said"

    # Its test, counted again from the rows of `judge`.
    assert [one.name for one in read_manifest(bundle).prompts] == ["summary", "helpful"]
    assert (bundle / "model.onnx").read_bytes() == graph
    tested = [row for row in rows if half(row["instruction"]) == 1]
    assert found["parts"]["tested_on"] == [row["id"] for row in tested]
    assert not {*found["parts"]["tested_on"]} & {*found["parts"]["chosen_on"], *found["parts"]["examples"]}
    done = rlaif_fast("judge", _write(tmp_path / "t.jsonl", tested), "--profile", tmp_path / "p.json", home=tmp_path)
    assert done.status == 0, done.err
    verdicts = [json.loads(line) for line in done.out.splitlines()]
    p1 = [row["p1"] for row in verdicts]
    assert p1 == pytest.approx(found["test"]["arrays"]["p1"], abs=1e-6)
    right = sum((p > 1 - p) == (row["label"] == 0) for p, row in zip(p1, tested, strict=True)) / len(tested)
    assert found["test"]["best"]["accuracy"]["value"] == pytest.approx(right, abs=1e-12) == 1.0
    done = rlaif_fast("judge", tmp_path / "t.jsonl", "-b", bundle, home=tmp_path)
    plain = [json.loads(line)["p1"] for line in done.out.splitlines()]
    assert plain == pytest.approx(found["test"]["arrays"]["current_p1"], abs=1e-6)

    # The same command reads nothing again.
    again = rlaif_fast(*command, home=tmp_path / "home")
    assert again.status == 0 and "to read" not in again.err
    assert json.loads((tmp_path / "s.json").read_text())["test"] == found["test"]
    kept = rlaif_fast("cache", "list", home=tmp_path / "home")
    assert re.search(r"readings: readings, \d+ prompts that select read through", kept.out)
    assert len(list((bundle / "prompts").iterdir())) == 2, "what was tried is taken out again"


def test_labels_drawn_at_random_recommend_nothing(
    rlaif_fast: Callable[..., Run], bundle: Path, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    draw = random.Random(3)
    labelled = _write(tmp_path / "labelled.jsonl", [row | {"label": draw.randrange(2)} for row in rows])
    done = rlaif_fast("select", labelled, "-b", bundle, "--model", tmp_path / "nowhere", "--profile",
                      tmp_path / "p.json", home=tmp_path)  # fmt: skip
    assert done.status == 0, done.err
    assert done.out.splitlines()[-1].startswith("nothing is recommended: ")
    assert "is not shown to be better than chance" in done.out
    assert "left out: prompts that the bundle lacks; " in done.out
    assert f"{tmp_path / 'p.json'} was not written: nothing is recommended" in done.err
    assert not (tmp_path / "p.json").exists()
    assert [one.name for one in read_manifest(bundle).prompts] == ["summary"]


def test_a_profile_is_held_to_its_bundle(
    rlaif_fast: Callable[..., Run], bundle: Path, llama: Path, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    pairs = _write(tmp_path / "pairs.jsonl", rows[:3])
    profile = {
        "schema": 1, "judge": {"bundle": str(bundle), "precision": "fp32", "digest": Judge.load(bundle).digest},
        "prompt": "summary", "orders": "forward", "calibration": {"a": 2.0, "b": 0.5, "fitted": {}}, "selected": {},
    }  # fmt: skip
    path = tmp_path / "p.json"
    path.write_text(json.dumps(profile))
    done = rlaif_fast("judge", pairs, "--profile", path, home=tmp_path)
    assert done.status == 0, done.err
    found = [json.loads(line) for line in done.out.splitlines()]
    by_hand = [2.0 * verdict.log_odds_by_order[0] + 0.5 for verdict in Judge.load(bundle).judge_many(
        (Pair(row["instruction"], row["response_0"], row["response_1"]) for row in rows[:3]), "forward")]  # fmt: skip
    from rlaif_fast.judging.verdict import sigmoid

    assert [row["p1"] for row in found] == pytest.approx([sigmoid(x) for x in by_hand], abs=1e-6)
    shown = rlaif_fast("judge", pairs, "--profile", path, "--show", "1", home=tmp_path)
    wanted = rlaif_fast("judge", pairs, "-b", bundle, "--orders", "forward", "--show", "1", home=tmp_path)
    assert shown.status == 0 and shown.out == wanted.out and wanted.out
    moved = tmp_path / "moved"
    shutil.move(bundle, moved)
    done = rlaif_fast("judge", pairs, "--profile", path, "-b", moved, home=tmp_path)
    assert done.status == 0 and [json.loads(line) for line in done.out.splitlines()] == found
    profile["judge"]["digest"] = "0" * 64  # type: ignore[index]
    path.write_text(json.dumps(profile))
    done = rlaif_fast("judge", pairs, "--profile", path, "-b", moved, home=tmp_path)
    assert done.status == 1 and "and this is another judge" in done.err
    for option, value in (("--template", "summary"), ("--orders", "both"), ("--calibration", "c.json")):
        done = rlaif_fast("judge", pairs, "--profile", path, option, value, home=tmp_path)
        assert done.status == 2 and f"--profile decides {option}; leave one of them out" in done.err
    for option in ("--exact", "--only-consistent"):
        done = rlaif_fast("judge", pairs, "--profile", path, option, home=tmp_path)
        assert done.status == 2 and f"{option} needs both orders, and the profile judges in one" in done.err


def test_a_template_in_two_files_is_tried_once_and_examples_that_are_not_shown_are_said(
    rlaif_fast: Callable[..., Run], model: Path, bundle: Path, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    text = (ROOT / "examples/judge.toml").read_text()
    files = [tmp_path / "a.toml", tmp_path / "b.toml"]
    for file in files:
        file.write_text(text)
    named = [word for file in files for word in ("--template", file)]
    done = rlaif_fast("select", _write(tmp_path / "labelled.jsonl", rows), "-b", bundle, "--model", model, *named,
                      "--chat", "no", "--shots", "2", "--json", tmp_path / "s.json", home=tmp_path)  # fmt: skip
    assert done.status == 0 and "\n1 prompt against summary: " in f"\n{done.err}", done.err
    found = json.loads((tmp_path / "s.json").read_text())
    (name,) = {one["prompt"] for one in found["tried"]} - {"summary"}
    assert found["warnings"][0] == f"left out: 2 examples; the best prompt, {name}, has examples of its own"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--shots", "a"), 2, "'a': give numbers from 0 to 64, as in 0,2,4"),
        (("--shots", "2,-1"), 2, "give numbers from 0 to 64"),
        (("--against", "mine"), 1, "no prompt 'mine' in this bundle, there is: summary;"),
        (("--template", "mine"), 1, "no template 'mine', there is: "),
        (("--template", "score-helpful"), 1, "the template 'score-helpful' asks about one response, this needs"),
        (("--limit", 12), 1, "choosing needs 10 instructions in each half"),
        (("--json", "x", "--html", "x"), 1, "two reports cannot be one file"),
        (("--template", ROOT / "LICENSE", "--json", ROOT / "LICENSE"), 1, "LICENSE: the input itself, give"),
        (("--json", "x.toml"), 1, "x.toml: .toml files are not written by --json; name it .json"),
    ],
)
def test_mistakes_are_one_line(
    arguments: tuple[object, ...], status: int, said: str, rlaif_fast: Callable[..., Run], llama: Path,
    rows: list[dict[str, Any]], tmp_path: Path,
) -> None:  # fmt: skip
    labelled = _write(tmp_path / "labelled.jsonl", rows)
    done = rlaif_fast("select", labelled, "-b", llama, *arguments, home=tmp_path)
    assert done.status == status and said in done.err, done.err
    assert len([line for line in done.err.splitlines() if "error: " in line]) == 1

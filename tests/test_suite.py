"""``rlaif-fast eval --suite``: its figures against plain loops, and what a user sees."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlaif_fast.evaluation import binomial
from rlaif_fast.evaluation.records import record
from rlaif_fast.evaluation.suite import SuiteReport, Verdicts, evaluate_suite
from rlaif_fast.reports.markdown import markdown
from rlaif_fast.reports.tables import print_tables
from rlaif_fast.schemas.human_labels import LeftOut
from tests.conftest import ROOT, Run
from tests.test_eval import labelled_pairs
from tests.verdicts import Row, random_rows, report, verdict_row, write_rows

Cli = Callable[..., Run]
FILES = {f"part{n}.jsonl": random_rows(n + 1, count, groups=groups) for n, (count, groups) in enumerate(
    [(40, 30), (120, 60), (200, 80)])}  # fmt: skip
SHOWN = (ROOT / "docs" / "suites.md").read_text(encoding="utf-8")
TABLE = """suite demo

                                                pick the      same
file           pairs  accuracy   95 % interval    longer  position     ECE
part0.jsonl       40    85.0 %  64.0 to 96.3 %    47.5 %    45.0 %  0.1910
part1.jsonl      120    74.2 %  63.9 to 83.0 %    54.2 %    39.2 %  0.1052
part2.jsonl      200    75.5 %  70.0 to 80.7 %    49.0 %    43.5 %  0.1029
all pairs        360    76.1 %  71.1 to 80.8 %    50.6 %    42.2 %  0.0995
mean of files    360    78.2 %  72.7 to 83.2 %    50.2 %    42.6 %  0.1330

warning: fewer than 100 pairs are in part0.jsonl: look at the intervals before
the figures
3 files, 360 pairs, 78 instructions; 95 % intervals by 2,000 resamples of
instructions, or Clopper and Pearson's for shares of fewer than 50 instructions
or near 0 or 100 %. All pairs: every pair counts the same; mean of files: every
file counts the same; instructions are resampled over all files together
"""


def of_judge(files: dict[str, list[Row]], judge: str | None) -> list[Verdicts]:
    return [Verdicts(name, judge, [record(row) for row in rows], LeftOut()) for name, rows in files.items()]


def suite(files: dict[str, list[Row]], judge: str | None = None) -> SuiteReport:
    return evaluate_suite("demo", of_judge(files, judge), command="rlaif-fast eval --suite demo")


def test_a_file_has_the_figures_of_its_own_eval_and_all_pairs_those_of_one_file() -> None:
    found = suite(FILES)
    for entry, rows in zip(found.entries, FILES.values(), strict=True):
        assert entry.figures == report(rows).figures
    together = [row for rows in FILES.values() for row in rows]
    (overall,) = found.overall
    assert overall.pairs == report(together).figures
    for name in ("accuracy", "kappa", "ece", "same_position_rate", "over_longer"):
        values = [getattr(entry.figures, name).value for entry in found.entries]
        assert overall.files[name].value == pytest.approx(np.mean(values), abs=1e-12), name


def test_the_interval_of_the_mean_resamples_instructions_in_all_files() -> None:
    """In plain loops, with the numbers that docs/eval.md names; the files share instructions."""
    (overall,) = suite(FILES).overall
    texts: dict[str, list[tuple[int, bool]]] = {}
    for number, rows in enumerate(FILES.values()):
        for row in rows:
            texts.setdefault(row["instruction"], []).append((number, row["label"] - 1 == row["human_label"]))
    groups = list(texts.values())
    draws = np.random.RandomState(0).randint(0, len(groups), (2000, len(groups)), dtype=np.int64)
    means = []
    for draw in draws.tolist():
        drawn = [pair for at in draw for pair in groups[at]]
        means.append(np.mean([np.mean([right for file, right in drawn if file == n]) for n in range(len(FILES))]))
    assert overall.files["accuracy"].interval == pytest.approx(list(np.percentile(means, [2.5, 97.5])), abs=1e-12)


def test_the_mean_of_small_files_has_the_interval_of_as_many_trials_as_it_varies_like() -> None:
    """Of 2 and 6 instructions the mean varies like a share of 2² / (1/2 + 1/6) = 6; of files that share them, of 4."""
    good = [verdict_row(k, [0.6 + k / 100, 0.7], 0) for k in range(8)]
    (overall,) = suite({"a": good[:2], "b": good[2:]}).overall
    assert overall.files["accuracy"].value == 1
    assert overall.files["accuracy"].interval == pytest.approx(binomial.interval(6, 6), abs=1e-12)
    assert overall.files["brier"].interval is None, "8 instructions are too few to resample"
    (overall,) = suite({"a": good[:4], "b": good[:4]}).overall
    assert overall.files["accuracy"].interval == pytest.approx(binomial.interval(4, 4), abs=1e-12)
    assert overall.files["accuracy"].interval == overall.pairs.accuracy.interval


def test_a_user_sees_a_table_and_gets_it_as_markdown_json_and_a_page(
    tmp_path: Path, rlaif_fast: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, rows in FILES.items():
        write_rows(tmp_path / name, rows)
    command = ["eval", "--suite", "demo", *FILES, "--markdown", "r.md", "--json", "r.json", "--html", "r.html"]
    done = rlaif_fast(*command, COLUMNS="80")
    assert (done.status, [line.rstrip() for line in done.out.splitlines()]) == (0, TABLE.splitlines()), done.err
    assert done.err == ""
    assert f"$ rlaif-fast eval --suite demo {' '.join(FILES)}\n{TABLE}```" in SHOWN
    raw = json.loads((tmp_path / "r.json").read_text())
    assert (raw["suite"], raw["schema"], raw["judges"]) == ("demo", 1, [])
    assert [one["file"] for one in raw["files"]] == list(FILES)
    assert raw["files"][0]["figures"]["accuracy"]["value"] == 0.85
    assert raw["overall"][0]["pairs"]["pairs"] == 360 and raw["overall"][0]["files"]["accuracy"]["interval"]
    assert raw["method"]["overall"] == {"pairs": "every pair counts the same", "files": "every file counts the same"}
    text = (tmp_path / "r.md").read_text()
    assert "| part0.jsonl | 40 | 85.0 % | 64.0 to 96.3 % | 47.5 % | 45.0 % | 0.1910 |\n" in text
    assert text.startswith("## suite demo\n\n| file | pairs | accuracy |") and text.endswith(
        "    rlaif-fast eval part0.jsonl part1.jsonl part2.jsonl --suite demo --json r.json --markdown r.md"
        " --html r.html\n"
    )
    page = (tmp_path / "r.html").read_text()
    ET.fromstring(page.removeprefix("<!DOCTYPE html>\n"))
    assert page.count("<svg") == 1 and "<script" not in page and "part2.jsonl: 75.5 %" in page
    single = rlaif_fast("eval", "part0.jsonl", "--markdown", "one.md")
    assert single.status == 0 and "| Brier score | " in (tmp_path / "one.md").read_text()


def test_several_judges_on_several_files(
    llama: Path, tiny_bundle: Callable[[str], Path], tmp_path: Path, rlaif_fast: Cli
) -> None:
    rows = labelled_pairs(40)
    one, other = write_rows(tmp_path / "one.jsonl", rows[:15]), write_rows(tmp_path / "other.jsonl", rows[15:])
    phi = tiny_bundle("phi")
    done = rlaif_fast("eval", "--suite", "two", one, other, "-b", llama, "-b", phi, "--json", tmp_path / "r.json",
                      "--html", tmp_path / "r.html", COLUMNS="200")  # fmt: skip
    assert done.status == 0, done.err
    raw = json.loads((tmp_path / "r.json").read_text())
    names = [judge["name"] for judge in raw["judges"]]
    assert len(set(names)) == 2 and [judge["digest"] for judge in raw["judges"]]
    assert [(entry["file"], entry["judge"]) for entry in raw["files"]] == [
        (file, name) for name in names for file in ("one.jsonl", "other.jsonl")
    ]
    assert [line.split(": ")[0] for line in done.err.splitlines()] == [
        f"{name} on {file}" for name in names for file in ("one.jsonl", "other.jsonl")
    ]
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert "file judge pairs accuracy 95 % interval pick the longer same position ECE" in lines
    assert [f"{name} {number}" in lines for number, name in enumerate(names, 1)] == [True, True]
    assert sum(line.startswith(("all pairs ", "mean of files ")) for line in lines) == 4
    alone = rlaif_fast("eval", one, "-b", phi, "--json", tmp_path / "alone.json")
    assert alone.status == 0
    accuracy = json.loads((tmp_path / "alone.json").read_text())["accuracy"]
    assert accuracy == raw["files"][2]["figures"]["accuracy"]
    again = rlaif_fast("eval", "--suite", "x", one, tmp_path / "v.jsonl", "-b", llama)
    assert again.status == 1 and f"{tmp_path / 'v.jsonl'}: cannot be read" in again.err
    write_rows(tmp_path / "v.jsonl", random_rows(1, 5))
    for arguments, said in {
        (one, tmp_path / "v.jsonl"): "--suite takes pairs or verdicts, and {v} holds verdicts: judge the others first",
        (tmp_path / "v.jsonl", "-b", llama): "-b judges pairs, and {v} holds verdicts; leave it out",
        (one, one, "-b", llama): "{one} is given twice",
        (one, f"{one.parent}/./{one.name}", "-b", llama): "{one.parent}/./{one.name} is given twice",
        (one, "-b", llama, "-b", f"{llama}/."): "-b {llama}/. is given twice",
        (one, "-b", llama, "--fit", tmp_path / "c.json"): "--fit takes one file and one bundle; leave --suite out",
    }.items():
        done = rlaif_fast("eval", "--suite", "x", *arguments)
        wanted = f"error: {said.format(one=one, v=tmp_path / 'v.jsonl', llama=llama)} (see rlaif-fast eval --help)\n"
        assert (done.status, done.err) == (2, wanted)


TWO = """judge                                  number
smollm2-135m-instruct (fp32, summary)       1
phi-1_5 (int8, helpful-chat)                2

                                                      pick the      same
file          judge  pairs  accuracy   95 % interval    longer  position     ECE
part0.jsonl       1     40    85.0 %  64.0 to 96.3 %    47.5 %    45.0 %  0.1910
part1.jsonl       1    120    74.2 %  63.9 to 83.0 %    54.2 %    39.2 %  0.1052
part2.jsonl       1    200    75.5 %  70.0 to 80.7 %    49.0 %    43.5 %  0.1029
part0.jsonl       2     40    85.0 %  64.0 to 96.3 %    47.5 %    45.0 %  0.1910
part1.jsonl       2    120    74.2 %  63.9 to 83.0 %    54.2 %    39.2 %  0.1052
part2.jsonl       2    200    75.5 %  70.0 to 80.7 %    49.0 %    43.5 %  0.1029
all pairs         1    360    76.1 %  71.1 to 80.8 %    50.6 %    42.2 %  0.0995
mean of           1    360    78.2 %  72.7 to 83.2 %    50.2 %    42.6 %  0.1330
files
all pairs         2    360    76.1 %  71.1 to 80.8 %    50.6 %    42.2 %  0.0995
mean of           2    360    78.2 %  72.7 to 83.2 %    50.2 %    42.6 %  0.1330
files
"""


def test_several_judges_fit_80_columns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of judges are longer than what a line leaves them, so their rows have their numbers."""
    monkeypatch.setenv("COLUMNS", "80")
    names = ("smollm2-135m-instruct (fp32, summary)", "phi-1_5 (int8, helpful-chat)")
    verdicts = [one for name in names for one in of_judge(FILES, name)]
    found = evaluate_suite("demo", verdicts, command="")
    print_tables(found.title, found.tables(), [], "")
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == ["suite demo", "", *TWO.splitlines(), "", ""]


def test_a_file_is_not_taken_for_the_suites_name(tmp_path: Path, rlaif_fast: Cli) -> None:
    files = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for file in files:
        file.touch()
    done = rlaif_fast("eval", "--suite", *files)
    assert (
        done.status == 2
        and f"--suite takes the suite's name, and {files[0]} is a file; give --suite NAME FILE…" in done.err
    )


@pytest.mark.parametrize(("more", "what"), [(["b.jsonl"], "files"), (["-b", "x", "-b", "y"], "bundles")])
def test_several_need_a_suite(more: list[str], what: str, rlaif_fast: Cli) -> None:
    done = rlaif_fast("eval", "a.jsonl", *more)
    assert (done.status, done.err) == (
        2, f"error: several {what} need --suite NAME, which puts them into one table (see rlaif-fast eval --help)\n"
    )  # fmt: skip


def test_whose_the_labels_are_is_said_by_file_and_two_of_a_name_have_their_folders(
    tmp_path: Path, rlaif_fast: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows: list[dict[str, Any]] = random_rows(1, 30)
    for folder, more in (("a", {}), ("b", {"annotator": "gpt-4"})):
        (tmp_path / folder).mkdir()
        write_rows(tmp_path / folder / "v.jsonl", [row | more for row in rows])
    done = rlaif_fast("eval", "--suite", "s", "a/v.jsonl", "b/v.jsonl")
    assert done.status == 0 and "\na/v.jsonl " in done.out and "\nb/v.jsonl " in done.out, done.err
    assert "warning: the labels of b/v.jsonl are a model's preferences\n" in done.out
    assert "a/v.jsonl are" not in done.out


def test_markdown_holds_what_names_hold() -> None:
    found = suite({"a|b\x1b.jsonl": random_rows(1, 20)}, judge="me|too")
    text = markdown(found.title, found.tables(), found.warnings, found.where, found.command)
    assert "| a\\|b" in text and "## suite demo: me|too\n" in text


def test_a_judge_that_is_no_better_than_a_ruler_is_told_so() -> None:
    found = suite({"a": random_rows(1, 60, skill=0.0), "b": random_rows(2, 60, skill=0.0)})
    assert "the judge is not shown to be better than picking the longer response (mean of files)" in found.warnings

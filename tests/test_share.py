"""One accuracy has one interval, wherever it is shown, and it is one that is possible."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from rlaif_fast.evaluation.figures import Figure
from tests.conftest import Run
from tests.verdicts import Row, report, verdict_row, write_rows

Cli = Callable[..., Run]
COUNTS = [3, 7, 40, 400]


def rows_of(count: int, wrong: int) -> list[Row]:
    """Sure verdicts, each on an instruction of its own, of which the first few are wrong."""
    return [verdict_row(k, [0.9, 0.8 + k / 10_000], int(k < wrong), task="one") for k in range(count)]


@pytest.mark.parametrize(("count", "wrong"), [(3, 0), (7, 1), (40, 1), (400, 150)])
def test_every_place_that_shows_an_accuracy_shows_its_interval(
    count: int, wrong: int, tmp_path: Path, rlaif_fast: Cli
) -> None:
    """The same pairs in the table, the only bin, the widest coverage, a suite of one file and `diff`."""
    file = write_rows(tmp_path / "v.jsonl", rows_of(count, wrong))
    made = {name: tmp_path / f"{name}.json" for name in ("eval", "suite", "diff")}
    done = rlaif_fast("eval", file, "--json", made["eval"], "--html", tmp_path / "v.html")
    of_suite = rlaif_fast("eval", "--suite", "s", file, "--json", made["suite"])
    of_diff = rlaif_fast("diff", file, file, "--json", made["diff"])
    assert (done.status, of_suite.status, of_diff.status) == (0, 0, 0), done.err + of_suite.err + of_diff.err
    found, suite, diff = (json.loads(path.read_text()) for path in made.values())
    low, high = found["accuracy"]["interval"]
    same = [
        found["by_margin"][-1], found["coverage"][-1], suite["files"][0]["figures"]["accuracy"],
        suite["overall"][0]["pairs"]["accuracy"], suite["overall"][0]["files"]["accuracy"],
    ]  # fmt: skip
    assert [one["interval"] for one in same] == [pytest.approx([low, high], abs=1e-12)] * len(same)
    assert diff["a"]["accuracy_interval"] == [low, high]
    assert low < found["accuracy"]["value"] <= high
    assert (high == 1) == (wrong == 0), "where one is wrong, 100 % is impossible"
    shown, span = f"{100 * low:.1f} % to {100 * high:.1f} %", f"{100 * low:.1f} to {100 * high:.1f}"
    assert len(re.findall(re.escape(shown), done.out)) >= 3, "agreement, by margin, by coverage"
    assert len(re.findall(re.escape(span), of_suite.out)) == 3 and f"({span})" in of_diff.out
    assert f"{span} %" in (tmp_path / "v.html").read_text()


@pytest.mark.parametrize("count", COUNTS)
def test_no_interval_is_a_point(count: int) -> None:
    """Where a judge is right about all, or its position decides all: no figure is claimed to be known."""
    for rows in (rows_of(count, 0), [verdict_row(k, [0.9, 0.2], k % 2) for k in range(count)]):
        found = report(rows)
        of: dict[str, object] = vars(found.figures) | vars(found.figures.baselines)
        spans = [one.interval for one in of.values() if isinstance(one, Figure)]
        spans += [one.interval for one in (*found.by_margin, *found.reliability)]
        spans += [one.interval for one in found.coverage]
        points = [one for one in spans if one is not None and not one[0] < one[1]]
        assert points == [] and sum(one is not None for one in spans) > 20


def test_few_instructions_are_as_few_trials_as_they_are() -> None:
    """A hundred pairs on four instructions say no more than four: pairs as trials would promise 96 to 100 %."""
    found = report([verdict_row(k, [0.9, 0.8], 0, instruction=f"text {k % 4}") for k in range(100)])
    assert found.figures.accuracy.interval == pytest.approx([0.3976, 1], abs=1e-4)
    assert found.coverage[-1].interval == found.figures.accuracy.interval


@pytest.mark.parametrize("count", [3, 9, 10, 40])
def test_a_judge_that_loses_to_the_longer_response_is_doubted_however_few_the_pairs(
    count: int, tmp_path: Path, rlaif_fast: Cli
) -> None:
    """Figures that are no shares have no interval for fewer than ten instructions: that is no proof."""
    rows = [
        verdict_row(k, [0.9, 0.8], human, **{f"response_{human}": "the longer one, which is right"})
        for k, human in enumerate([1, 0, 0] * 14)
    ][:count]
    files = [write_rows(tmp_path / f"{n}.jsonl", rows[n::2]) for n in range(2)]
    one, suite = rlaif_fast("eval", write_rows(tmp_path / "v.jsonl", rows)), rlaif_fast("eval", "--suite", "s", *files)
    doubt = "is not shown to be better than picking the longer response"
    assert doubt in " ".join(one.out.split()) and doubt in " ".join(suite.out.split())

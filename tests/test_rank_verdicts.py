"""What `rank` does with verdicts: calibrated, float32's where int8 is unsure, and which pairs are written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from rlaif_fast import Judge, Pair, Ranker
from rlaif_fast.evaluation.calibration import Calibration
from rlaif_fast.files.keeping import Keep
from rlaif_fast.judging.bradley_terry import strengths
from rlaif_fast.judging.preferences import Preferences
from rlaif_fast.wording import counted
from tests.conftest import Run

Cli = Callable[..., Run]
TEXTS = ["A fox jumps.", "Seven wizards brew hot jam, quickly!", "1 or 2?\n\nLazy dog", "output 12"]
ROWS: list[dict[str, Any]] = [
    {"id": f"r{n}", "instruction": "The quick brown fox. " * (n + 1), "responses": TEXTS[: 2 + n % 3]} for n in range(6)
]  # fmt: skip


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# Calibration


@pytest.mark.parametrize("orders", ["both", "forward"])
def test_a_calibrated_ranking_is_made_of_calibrated_verdicts(orders: Any, llama_judge: Judge) -> None:
    of = Calibration(llama_judge.digest, 3.0, -0.5, {})
    responses = [*TEXTS, TEXTS[1]]
    found = Ranker(llama_judge, of).rank("A fox.", responses, orders)
    for i, one in enumerate(responses):
        for j, other in enumerate(responses):
            if one == other:
                assert found.wins[i][j] == 0.5, "a tie by definition has nothing to calibrate"
            elif i < j:
                wanted = of(llama_judge.judge(Pair("A fox.", one, other), orders))
                if (i, j) in found.verdicts:
                    assert found.wins[i][j] == pytest.approx(wanted.p1, abs=1e-4)
                    assert found.wins_first[i][j] == pytest.approx(wanted.p1_by_order[0], abs=1e-4)
    assert found.strengths == strengths(found.wins)
    plain = Ranker(llama_judge).rank("A fox.", responses, orders)
    assert max(abs(a - b) for a, b in zip(plain.strengths, found.strengths, strict=True)) > 0.1


def test_the_command_calibrates(llama: Path, llama_judge: Judge, tmp_path: Path, rlaif_fast: Cli) -> None:
    rows, out, file = _write(tmp_path / "rows.jsonl", ROWS), tmp_path / "out.jsonl", tmp_path / "c.json"
    of = Calibration(llama_judge.digest, 2.0, 0.25, {"source": "f"})
    file.write_text(of.to_json())
    done = rlaif_fast("rank", rows, "-b", llama, "-o", out, "--calibration", file)
    assert done.status == 0, done.err
    ranker = Ranker(llama_judge, of)
    for row in _read(out):
        assert row["wins"] == ranker.rank(row["instruction"], row["responses"]).wins
    whole = out.read_bytes()
    out.unlink()
    broken = b"".join(rows.read_bytes().splitlines(keepends=True)[:3]) + b'{"instruction": "i"}\n'
    command = ("rank", "-", "-b", llama, "-o", out)
    assert rlaif_fast(*command, "--calibration", file, stdin=broken).status == 1
    other = tmp_path / "other.json"
    other.write_text(Calibration(llama_judge.digest, 2.0, 0.5, {}).to_json())
    for options in ((), ("--calibration", other)):
        refused = rlaif_fast(*command, *options, stdin=rows.read_bytes())
        assert refused.status == 1 and re.search(r"began (with|without) (another )?--calibration[,;]", refused.err)
    resumed = rlaif_fast(*command, "--calibration", file, stdin=rows.read_bytes())
    assert resumed.status == 0 and "resuming after 3 rows" in resumed.err and out.read_bytes() == whole


def test_a_calibration_that_cannot_be_used(llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    """Said as `judge` says it."""
    file = tmp_path / "c.json"
    file.write_text(Calibration("0" * 64, 2.0, 0.25, {}).to_json())
    pairs = _write(tmp_path / "pairs.jsonl", [{"instruction": "i", "response_0": "a", "response_1": "b"}])
    for name in (file, tmp_path / "none.json"):
        ranked = rlaif_fast("rank", pairs, "-b", llama, "--calibration", name)
        judged = rlaif_fast("judge", pairs, "-b", llama, "--calibration", name)
        assert ranked.status == judged.status == 1
        assert ranked.err.splitlines()[-1] == judged.err.rstrip("\n") != ""
    over = rlaif_fast("rank", pairs, "-b", llama, "--calibration", file, "-o", file)
    assert over.status == 1 and Calibration("0" * 64, 2.0, 0.25, {}).to_json() == file.read_text()


# Which pairs are written

LETTERS: dict[str, Any] = {
    "id": 7, "instruction": "i", "responses": ["a", "b", "c"], "ranking": [0, 1, 2],
    "wins": [[0.5, 0.8, 0.7], [0.2, 0.5, 0.55], [0.3, 0.45, 0.5]],
    "wins_first": [[None, 0.9, 0.8], [0.3, None, 0.8], [0.4, 0.7, None]],
}  # fmt: skip


def test_pairs_that_are_close_or_inconsistent_are_dropped() -> None:
    """0 beats 1 with a margin of 0.6 and 2 with 0.4; 1 beats 2 with 0.1, and only where it is shown first."""
    for keep, wanted in (
        (Keep(), ["7/0-1", "7/0-2", "7/1-2"]), (Keep(min_margin=0.39), ["7/0-1", "7/0-2"]),
        (Keep(min_margin=0.5), ["7/0-1"]), (Keep(only_consistent=True), ["7/0-1", "7/0-2"]),
        (Keep(min_margin=0.7, only_consistent=True), []),
    ):  # fmt: skip
        every = Preferences("all", keep)
        assert [row["id"] for row in every.sieve(every.of(LETTERS))] == wanted
        assert every.sieve.kept == len(wanted) and every.sieve.dropped.total() == 3 - len(wanted)
        assert len(every.figures(1)) == 1
    ends = Preferences("best-worst", Keep(min_margin=0.5))
    cycle = LETTERS | {"wins": [[0.5, 0.8, 0.3], [0.2, 0.5, 0.55], [0.7, 0.45, 0.5]]}
    assert ends.figures(2) == [], "nothing was written"
    assert list(ends.sieve(pair for row in (LETTERS, cycle) for pair in ends.of(row))) == []
    assert ends.figures(2) == ["0 preference pairs kept and 1 dropped (1 below the margin)", "1 row without one"]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("which", ["all", "best-worst"])
def test_the_command_drops(kind: str, which: str, llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    """What is left, and what is said to be left, whatever is written: a table is looked through twice."""
    rows, out = _write(tmp_path / "rows.jsonl", ROWS), tmp_path / f"out.{kind}"
    command = ("rank", rows, "-b", llama, "--to", "pairs", "--pairs", which)
    every = [json.loads(line) for line in rlaif_fast(*command).out.splitlines()]
    margins = sorted(row["margin"] for row in every)
    least = margins[len(margins) // 2]
    options = ("--min-margin", least, "--only-consistent")
    done = rlaif_fast(*command, *options, "-o", out)
    assert done.status == 0, done.err
    wanted = [row for row in every if row["margin"] >= least and row["consistent"]]
    assert 0 < len(wanted) < len(every)
    printed = rlaif_fast(*command, *options)
    assert [json.loads(line) for line in printed.out.splitlines()] == wanted
    if kind == "jsonl":
        assert _read(out) == wanted
    elif kind == "parquet":
        assert pq.read_table(out).to_pylist() == wanted
    else:
        assert len(out.read_text().splitlines()) > len(wanted)
    dropped = len(every) - len(wanted)
    for run in (done, printed):
        assert f" %, {counted(len(wanted), 'preference pair')} kept and {dropped} dropped (" in run.err
        counts = re.findall(r"(\d+) (?:below the margin|inconsistent)(?: and inconsistent)?[,)]", run.err)
        assert sum(map(int, counts)) == dropped
    marked = rlaif_fast(*command, *options, "--mark")
    found = [json.loads(line) for line in marked.out.splitlines()]
    assert [row.pop("kept") for row in found] == [row in wanted for row in every] and found == every
    assert f"{counted(len(wanted), 'preference pair')} kept and {dropped} marked (" in marked.err


def test_thresholds_may_change_before_a_run_is_resumed(llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    """And all pairs are counted, not only those of the rows that were left."""
    rows, out = _write(tmp_path / "rows.jsonl", ROWS), tmp_path / "out.jsonl"
    command = ("rank", "-", "-b", llama, "-o", out)
    broken = b"".join(rows.read_bytes().splitlines(keepends=True)[:3]) + b'{"instruction": "i"}\n'
    assert rlaif_fast(*command, stdin=broken).status == 1
    options = ("--to", "pairs", "--pairs", "all", "--min-margin", "0.0001")
    done = rlaif_fast(*command, *options, stdin=rows.read_bytes())
    assert done.status == 0 and "resuming after 3 rows" in done.err
    assert "20 pairs, " in done.err and f", {len(_read(out))} preference pairs kept and " in done.err
    assert len(_read(out)) > 15


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--min-margin", "0.1"), "--min-margin needs --to trl"),
        (("--only-consistent",), "--only-consistent needs --to trl"),
        (("--to", "trl", "--mark"), "--mark needs --min-margin or --only-consistent"),
        (("--to", "trl", "--only-consistent", "--orders", "forward"),
         "--only-consistent needs --orders both: one order cannot disagree"),
    ],
)  # fmt: skip
def test_what_does_not_go_together(options: tuple[str, ...], message: str, rlaif_fast: Cli) -> None:
    wrong = rlaif_fast("rank", "rows.jsonl", *options)
    assert wrong.status == 2 and wrong.err.startswith(f"error: {message}")

"""What `rank` does with verdicts: calibrated, float32's where int8 is unsure, and which pairs are written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlaif_fast import Judge, Pair, Ranker
from rlaif_fast.evaluation.calibration import Calibration
from rlaif_fast.judging.bradley_terry import strengths
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
        assert refused.status == 1 and "begun with another calibration" in refused.err
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

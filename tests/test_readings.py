"""What was read through a prompt is kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from rlaif_fast import Judge, PairError
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.selection.readings import Readings


def test_what_was_read_is_not_read_again(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor in another run, on other pairs too; a line that was cut off is read again, another prompt's is not taken."""
    monkeypatch.setenv("RLAIF_FAST_HOME", str(tmp_path))
    pairs = [Pair(f"text {k}", "one response", "another one", k) for k in range(6)]
    told: list[tuple[int, bool]] = []

    def readings(of: Sequence[Pair]) -> Readings:
        told.clear()
        return Readings(of, lambda prompt: Judge.load(llama), lambda count, now: told.append((count, now)))

    first = readings(pairs).read("summary", [0, 1, 2])
    wanted = [verdict.log_odds_by_order for verdict in Judge.load(llama).judge_many(pairs[:3])]
    assert np.abs(first - wanted).max() < 1e-4 and sum(count for count, now in told if now) == 3
    (file,) = (tmp_path / "readings").iterdir()
    file.write_text(file.read_text()[:-9])
    again = readings([pairs[5], *pairs[:3]]).read("summary", [1, 2, 3, 0])
    assert np.abs(again[:3] - first).max() < 1e-4 and (again[:2] == first[:2]).all()
    assert sum(count for count, now in told if now) == 2, "what was cut off, and the new pair"
    readings(pairs).read("summary", [0])
    assert sum(count for count, now in told if now) == 0


def test_a_text_that_was_cut_off_is_another_text(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read of a pair that was made to fit is no answer on the whole pair, which does not fit."""
    monkeypatch.setenv("RLAIF_FAST_HOME", str(tmp_path))
    judge = Judge.load(llama)
    pairs = [Pair("jam " * judge.manifest.maximum_length, "one response", "another one")]

    def readings(shorten: bool) -> Readings:
        return Readings(pairs, lambda prompt: judge, lambda count, now: None, shorten=shorten)

    wanted = judge.judge(judge.shortened(pairs[0])).log_odds_by_order
    assert np.abs(readings(True).read("summary", [0]) - wanted).max() < 1e-4
    for refused in (readings(False).check, readings(False).read):
        with pytest.raises(PairError, match=r"the pair: the prompt has [\d,]+ tokens"):
            refused("summary", [0])

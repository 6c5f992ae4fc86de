"""rlaif-fast itself: a pair at a time through the public Judge, tokenizing included."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.peers.base import Peer, Setup, Task, Unavailable
from rlaif_fast.pairs import Pair


class RlaifFast(Peer):
    """From text to verdict: the time holds its own tokenizer, which the peers are spared."""

    name = "rlaif-fast"
    what = "rlaif-fast, fp32 bundle, one pair at a time"

    def prepare(self, setup: Setup) -> None:
        if setup.bundle.exists():
            return
        command = [sys.executable, "-m", "rlaif_fast", "export", setup.model, "-o", str(setup.bundle)]
        done = subprocess.run(command, text=True, capture_output=True)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
            raise Unavailable(f"the export failed: {lines[-1]}")

    def load(self, setup: Setup) -> None:
        from rlaif_fast.judge import Judge

        self._judge = Judge.load(setup.bundle, threads=setup.threads)

    def log_odds(self, task: Task) -> tuple[float, float]:
        forward, swapped = self._judge.judge(task.pair).log_odds_by_order
        return forward, swapped

    def tokens(self, pair: Pair) -> list[list[int]]:
        return self._judge.prompt_tokens(pair)

    def files(self, setup: Setup) -> list[Path]:
        return [setup.bundle]

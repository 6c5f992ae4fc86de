"""rlaif-fast itself: a pair at a time through the public Judge, tokenizing included."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from benchmarks.peers.base import Peer, Setup, Task, Unavailable
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.runtime.engines import DEFAULT


class RlaifFast(Peer):
    """From text to verdict: the time holds its own tokenizer, which the peers are spared."""

    def __init__(self, precision: str, engine: str = DEFAULT) -> None:
        self._precision, self._engine = precision, engine
        self.name = f"rlaif-fast-{precision}" + (f"-{engine}" if engine != DEFAULT else "")
        self.what = f"rlaif-fast, {precision} bundle by {engine}, one pair at a time"

    def available(self) -> str | None:
        runtime = self._engine.partition("-")[0]
        return None if find_spec(runtime) else f"{runtime} is not installed"

    def _bundle(self, setup: Setup) -> Path:
        return setup.bundle.with_name(f"{setup.bundle.name}-{self._precision}")

    def prepare(self, setup: Setup) -> None:
        bundle = self._bundle(setup)
        if bundle.exists():
            return
        command = [sys.executable, "-m", "rlaif_fast", "export", setup.model, "-o", str(bundle)]
        command += ["--precision", self._precision]
        done = subprocess.run(command, text=True, capture_output=True)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
            raise Unavailable(f"the export failed: {lines[-1]}")

    def load(self, setup: Setup) -> None:
        from rlaif_fast.judging.judge import Judge

        self._judge = Judge.load(
            self._bundle(setup), template=setup.template, threads=setup.threads, engine=self._engine
        )

    def log_odds(self, task: Task) -> tuple[float, float]:
        forward, swapped = self._judge.judge(task.pair).log_odds_by_order
        return forward, swapped

    def tokens(self, pair: Pair) -> list[list[int]]:
        return self._judge.prompt_tokens(pair)

    def files(self, setup: Setup) -> list[Path]:
        return [self._bundle(setup)]


class RlaifFastIds(Peer):
    """A bundle that is there already, on prompts as token ids: they need not be of its own template.

    Its threads sleep while they wait, so that the processor's time is that of the work.
    """

    name = "rlaif-fast-ids"
    what = "a bundle of rlaif-fast, both prompts of a pair in one pass"

    def load(self, setup: Setup) -> None:
        from rlaif_fast.judging.judge import Judge

        self._judge = Judge.load(setup.bundle, template=setup.template, threads=setup.threads, spin=False)

    def log_odds(self, task: Task) -> tuple[float, float]:
        forward, swapped = self._judge.log_odds_of(task.prompts).tolist()
        return forward, -swapped

    def files(self, setup: Setup) -> list[Path]:
        return [setup.bundle]

"""Every peer on the same pairs, taking turns pair by pair: ``python -m benchmarks.compare PAIRS``."""

from __future__ import annotations

import hashlib
import json
import signal
import sys
import time
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.figures import figures, markdown, write
from benchmarks.machine import head, machine, memory_left
from benchmarks.models import find_setup
from benchmarks.peers import ALL, BASELINE
from benchmarks.peers.base import Setup, Task
from benchmarks.workers import PeerError, Worker, omp_wait_policy
from rlaif_fast.bundle.home import DEFAULT_MODEL
from rlaif_fast.errors import RlaifFastError
from rlaif_fast.rows.reader import open_pairs
from rlaif_fast.runtime.cpu import usable_cores

_SPARE = 1 << 30  # bytes that must stay free, or the peers would measure swapping


@dataclass
class Entrant:
    """A peer that takes part, and what it has said so far."""

    worker: Worker
    disk_mb: float
    seconds: list[float] = field(default_factory=list)
    log_odds: list[list[float]] = field(default_factory=list)
    own_tokens: bool = False  # its own tokenizer was found to give the same ids


class Comparison:
    """The peers that are still in, and why the others are not."""

    def __init__(self, setup: Setup, tasks: list[Task]) -> None:
        self._setup = setup
        *self._tasks, self._neutral = (task.to_dict() for task in tasks)
        self._longest = max(self._tasks, key=lambda task: sum(map(len, task["prompts"])))
        self.entrants: dict[str, Entrant] = {}
        self.skipped: dict[str, str] = {}

    def enter(self, name: str) -> None:
        """Prepare a peer in one process, load and warm it in another; skip it where that fails."""
        say(f"{name}: preparing")
        if self._leave_on_failure(name, Worker(name, self._log(f"{name}-prepare")), self._prepare):
            say(f"{name}: loading, warming up")
            self._leave_on_failure(name, Worker(name, self._log(name)), self._load)

    def require_baseline(self) -> None:
        """End the run where there is nothing to divide by."""
        if BASELINE not in self.entrants:
            raise click.ClickException(f"nothing to compare with: {BASELINE} failed ({self.skipped.get(BASELINE)})")

    def measure(self) -> None:
        """Every pair by every peer; who goes first moves on from pair to pair."""
        started = time.monotonic()
        for number, task in enumerate(self._tasks):
            names = list(self.entrants)
            first = number % len(names)
            for name in [*names[first:], *names[:first]]:
                self._judge(name, task)
            self.require_baseline()
            spent = time.monotonic() - started
            left = spent / (number + 1) * (len(self._tasks) - number - 1)
            say(f"pair {number + 1} of {len(self._tasks)}, {spent / 60:.1f} min, {left / 60:.1f} min left")

    def results(self) -> dict[str, Any]:
        """Figures of each peer that judged every pair; ends the processes."""
        base_ms, base = self._arrays(BASELINE)
        found = {}
        for name, entrant in self.entrants.items():
            ms, log_odds = self._arrays(name)
            found[name] = {
                "what": ALL[name].what,
                **figures(ms, log_odds, base_ms, base),
                **entrant.worker.ask("end"),
                "disk_mb": entrant.disk_mb,
                "own_tokenizer_agrees": entrant.own_tokens,
                "ms": ms.tolist(),
                "log_odds": log_odds.tolist(),
            }
        return found

    def kill(self) -> None:
        """End every process that is left."""
        for entrant in self.entrants.values():
            entrant.worker.kill()

    def _prepare(self, worker: Worker) -> None:
        worker.ask("prepare", setup=self._setup.to_dict())
        worker.kill()

    def _load(self, worker: Worker) -> None:
        """Load, hold its own tokenizer to the common ids, and judge three pairs untimed.

        The longest puts memory in place. The neutral one goes last: a peer that keeps what prompts
        share must not find the first timed pair already begun.
        """
        entrant = Entrant(worker, worker.ask("load", setup=self._setup.to_dict())["disk_mb"])
        for number, task in enumerate(self._tasks):
            own = worker.ask("tokens", pair=task["pair"])["tokens"]
            if own is None:
                break
            if own != task["prompts"]:
                raise PeerError(f"its own tokenizer gives other ids for pair {number + 1}")
            entrant.own_tokens = True
        for task in (self._tasks[0], self._longest, self._neutral):
            worker.ask("judge", **task)
        left = memory_left()
        if left is not None and left < _SPARE:
            raise PeerError(f"only {left / 1e9:.1f} GB of memory are left with it, name fewer --peers")
        self.entrants[worker.name] = entrant

    def _judge(self, name: str, task: dict[str, Any]) -> None:
        entrant = self.entrants[name]
        try:
            answer = entrant.worker.ask("judge", **task)
        except PeerError as error:
            self._leave(name, entrant.worker, str(error))
            return
        entrant.seconds.append(answer["seconds"])
        entrant.log_odds.append(answer["log_odds"])

    def _leave_on_failure(self, name: str, worker: Worker, step: Any) -> bool:
        try:
            step(worker)
        except PeerError as error:
            self._leave(name, worker, str(error))
            return False
        except BaseException:
            worker.kill()
            raise
        return True

    def _leave(self, name: str, worker: Worker, reason: str) -> None:
        worker.kill()
        self.entrants.pop(name, None)
        self.skipped[name] = reason
        say(f"{name}: left out, {reason} (what it said: {self._log(name).parent})")

    def _arrays(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        entrant = self.entrants[name]
        return np.array(entrant.seconds) * 1e3, np.array(entrant.log_odds)

    def _log(self, name: str) -> Path:
        return self._setup.cache / "logs" / f"{name}.log"


@click.command()
@click.argument("pairs_file", metavar="PAIRS")
@click.option(
    "--model", default=DEFAULT_MODEL, show_default=True, help="The embedded default or a Hugging Face folder."
)
@click.option("--limit", type=click.IntRange(min=1), help="The first N pairs only.")
@click.option("--threads", type=click.IntRange(min=0), default=0, help="[default: the usable physical cores]")
@click.option("--peers", help=f"Names with commas between, {BASELINE} is always in. [default: {','.join(ALL)}]")
@click.option("--bundle", type=click.Path(path_type=Path), help="rlaif-fast's bundle. [default: the cached one]")
@click.option("--cache", type=click.Path(path_type=Path), help="Where peers prepare. [default: in rlaif-fast's cache]")
@click.option("--output", type=click.Path(path_type=Path), help="Write NAME.json and NAME.md.", metavar="NAME")
def main(
    pairs_file: str, model: str, limit: int | None, threads: int, peers: str | None, bundle: Path | None,
    cache: Path | None, output: Path | None,
) -> None:  # fmt: skip
    """Time and hold every peer against the seed's way, on the pairs of PAIRS."""
    names = _names(peers)
    threads = threads or usable_cores()
    host = {**machine(threads), "omp_wait_policy": omp_wait_policy()}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the workers are ended too
    try:
        with open_pairs(pairs_file) as intake:
            pairs = list(islice(intake.pairs(), limit))
        if not pairs:
            raise click.ClickException(f"{pairs_file}: there are no pairs")
        say(f"{model}: looking for its files")
        setup, tasks = find_setup(model, bundle, cache, threads, pairs)
    except RlaifFastError as error:
        raise click.ClickException(str(error)) from None
    comparison = Comparison(setup, tasks)
    try:
        for name in names:
            comparison.enter(name)
        comparison.require_baseline()
        comparison.measure()
        results = comparison.results()
    finally:
        comparison.kill()
    prompts = [task.prompts for task in tasks[: len(pairs)]]
    report = {
        **head(model, "benchmarks.compare", host),
        "set": {
            "source": Path(pairs_file).name,
            "pairs": len(pairs),
            "sha256": hashlib.sha256(json.dumps(prompts).encode()).hexdigest(),  # of the token ids
            "mean_tokens": float(np.mean([len(ids) for of_pair in prompts for ids in of_pair])),
        },
        "peers": results,
        "skipped": comparison.skipped,
    }
    page = markdown(report)
    if output is not None:
        write(output, report, page)
    click.echo(page)


def say(message: str) -> None:
    """Progress, on standard error."""
    print(message, file=sys.stderr, flush=True)


def _names(peers: str | None) -> list[str]:
    wanted = list(ALL) if peers is None else [name.strip() for name in peers.split(",")]
    unknown = [name for name in wanted if name not in ALL]
    if unknown:
        raise click.UsageError(f"no peer {', '.join(unknown)}; there is {', '.join(ALL)}")
    return [name for name in ALL if name in wanted or name == BASELINE]


if __name__ == "__main__":
    main()

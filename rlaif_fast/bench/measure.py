"""Time, start and memory. What is timed is what a user calls; what is fresh runs in a process of its own."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rlaif_fast.errors import BenchError
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.runtime import processor
from rlaif_fast.runtime.cpu import usable_cores
from rlaif_fast.runtime.engines import DEFAULT

Side = Callable[[Pair], Sequence[float]]  # a judge: log-odds of response_0, forward and swapped
Progress = Callable[[str, float], None]

# Threads of onnxruntime and of OpenMP spin for a while when their work is done, and would take cores
# from the other side's turn.
_SETTLE = 0.1  # seconds between turns of different sides
_BUSY = 0.5  # load average a core that raises a doubt
_DRIFT = 0.2  # change of the matrix rate that raises one
_STARTS = 3  # fresh judges that are timed; the median counts


@dataclass(frozen=True)
class Timed:
    """What the sides said, and how long they took."""

    seconds: npt.NDArray[np.float64]  # [sides, pairs, repeats]
    log_odds: npt.NDArray[np.float64]  # [sides, pairs, 2], of the first repeat


@dataclass(frozen=True)
class Fresh:
    """A process from start to end."""

    start_s: float  # wall time from its start to its end, one pair judged
    load_s: float  # of these, opening the model; imports are not in it
    peak_mb: float | None  # largest resident memory, 10^6 bytes; None where the system does not tell


def interleave(sides: Sequence[Side], pairs: Sequence[Pair], repeat: int, progress: Progress) -> Timed:
    """Time every side on every pair, one pair at a time, the sides taking turns at going first.

    Whatever slows the machine for a while slows all sides alike, so their ratio keeps. Each side
    judges the first and the longest pair once before, untimed: memory is in place then.
    """
    longest = max(pairs, key=lambda pair: len(pair.instruction) + len(pair.response_0) + len(pair.response_1))
    for side in sides:
        for pair in (pairs[0], longest):
            side(pair)
    seconds = np.zeros((len(sides), len(pairs), repeat))
    log_odds = np.zeros((len(sides), len(pairs), 2))
    for turn in range(repeat):
        for number, pair in enumerate(pairs):
            progress("judging pair by pair", (turn * len(pairs) + number) / (repeat * len(pairs)))
            first = (turn + number) % len(sides)
            for which in [*range(first, len(sides)), *range(first)]:
                if len(sides) > 1:
                    time.sleep(_SETTLE)
                started = time.perf_counter()
                answer = sides[which](pair)
                seconds[which, number, turn] = time.perf_counter() - started
                if turn == 0:
                    log_odds[which, number] = answer
    return Timed(seconds, log_odds)


def fresh_judge(
    folder: Path, template: str, first: Pair, longest: Pair, threads: int, engine: str = DEFAULT
) -> Fresh:  # fmt: skip
    """A fresh ``rlaif-fast judge`` of one pair. Time is taken on ``first``, memory on ``longest``.

    Memory goes first, untimed: the files are in the page cache then, as for whoever judges twice.
    """
    judge = [sys.executable, "-m", "rlaif_fast", "judge"]
    options = ["-b", str(folder), "--template", template, "--threads", str(threads), "--engine", engine]
    load = [sys.executable, "-c", _LOAD, str(folder), template, str(threads), engine]
    with tempfile.TemporaryDirectory() as scratch:
        a, b = _row_file(first, Path(scratch, "first")), _row_file(longest, Path(scratch, "longest"))
        peak = _run([*judge, b, *options]).peak_mb
        starts = [_run([*judge, a, *options]) for _ in range(_STARTS)]
        loads = [float(_run(load).out) for _ in range(_STARTS)]
    return Fresh(float(np.median([s.seconds for s in starts])), float(np.median(loads)), peak)


def fresh_reference(
    model: str, folder: Path, template: str, first: Pair, longest: Pair, threads: int
) -> Fresh:  # fmt: skip
    """The same of a fresh PyTorch, which tells itself how long it took to load the model."""
    module = "rlaif_fast_export.reference.seed_way"
    judge = [sys.executable, "-m", module, model, str(folder), template, str(threads)]
    with tempfile.TemporaryDirectory() as scratch:
        a, b = _row_file(first, Path(scratch, "first")), _row_file(longest, Path(scratch, "longest"))
        peak = _run([*judge, b]).peak_mb
        start = _run([*judge, a])  # once: it takes long, and more so for a large model
    return Fresh(start.seconds, float(start.out.split()[-1]), peak)


_LOAD = """
import sys, time
from rlaif_fast.judging.judge import Judge
started = time.perf_counter()
Judge.load(sys.argv[1], template=sys.argv[2], threads=int(sys.argv[3]), engine=sys.argv[4])
print(time.perf_counter() - started)
"""

# A process inherits the peak memory of the one that started it (Linux counts it until exec), so a small
# one stands between this, which may hold two models, and the one that is measured.
_LAUNCHER = """
import json, subprocess, sys, time
started = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, capture_output=True)
seconds = time.perf_counter() - started
try:
    import resource
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
except ImportError:
    peak = None
text = {name: value.decode(errors="replace") for name, value in (("out", done.stdout), ("err", done.stderr))}
print(json.dumps({"status": done.returncode, "seconds": seconds, "peak": peak, **text}))
"""


@dataclass(frozen=True)
class _Run:
    seconds: float
    peak_mb: float | None
    out: str


def _run(command: list[str]) -> _Run:
    done = subprocess.run([sys.executable, "-c", _LAUNCHER, *command], stdout=subprocess.PIPE)
    if done.returncode:
        raise BenchError("a process to measure could not be started; see above")
    found = json.loads(done.stdout)
    if found["status"]:
        said = found["err"].strip().splitlines() or [f"status {found['status']}"]
        raise BenchError(f"a fresh process of {' '.join(command[1:3])} failed: {said[-1]}")
    return _Run(found["seconds"], found["peak"] and found["peak"] / 1e6, found["out"])


def _row_file(pair: Pair, path: Path) -> str:
    row = {"instruction": pair.instruction, "response_0": pair.response_0, "response_1": pair.response_1}
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    return str(path)


def machine(threads: int) -> dict[str, Any]:
    """What the figures hold for: the machine without its name."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "cpu": processor.name(),
        "architecture": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "cores": usable_cores(),
        "logical_cpus": os.cpu_count(),
        "threads": threads,
        "load_average": None if load is None else round(load, 2),
    }


def doubts(load: float | None, cores: int, rates: tuple[float, float] | None) -> list[str]:
    """Why times may not be trusted: others at work when the run began, or a matrix rate that moved meanwhile."""
    found = []
    if load is not None and load > _BUSY * cores:
        found.append(
            f"the machine was busy before the run began (load {load:g} on {cores} cores): quote no times of it"
        )
    if rates is not None and max(rates) / min(rates) - 1 > _DRIFT:
        before, after = rates
        found.append(f"the matrix rate moved from {before:,.0f} to {after:,.0f} GOP/s during the run: only ratios hold")
    return found

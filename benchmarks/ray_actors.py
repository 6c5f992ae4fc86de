"""What Ray costs beside the judging, and how much sooner several actors are done than one process with their threads.

    python -m benchmarks.ray_actors BUNDLE PAIRS COUNT ACTORS [ROUNDS]

Processor seconds of a plain judge, of the actors, and of Ray's other processes: on a machine in use the clock says more
of the others. The clock is read as well, from the first pair to the last, of a plain judge with a thread for each actor
and of the actors in turns, so that both meet the same others. Linux only.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ray
from ray.data import DataContext

from rlaif_fast import Judge
from rlaif_fast.integrations import ray as integration
from rlaif_fast.rows.pairs import Pair, pair_from_row

TEXTS = ("instruction", "response_0", "response_1")


def pairs_of(path: str, count: int) -> list[dict[str, Any]]:
    """``count`` rows, those of the file over and over, each with an id of its own."""
    rows = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    return [{name: rows[n % len(rows)][name] for name in TEXTS} | {"id": str(n)} for n in range(count)]


def below(pid: int) -> dict[int, tuple[float, str]]:
    """(processor seconds, command) of the processes that ``pid`` started, and of those that they started."""
    parents, found = {}, {}
    for process in (path for path in Path("/proc").iterdir() if path.name.isdecimal()):
        try:
            stat = (process / "stat").read_text().rpartition(")")[2].split()
            seconds = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
            parents[int(process.name)], found[int(process.name)] = int(stat[1]), (
                seconds, (process / "cmdline").read_text(),
            )  # fmt: skip
        except OSError:
            continue

    def ours(one: int) -> bool:
        while one not in (0, pid):
            one = parents.get(one, 0)
        return one == pid

    return {one: what for one, what in found.items() if ours(one)}


def plain(bundle: str, rows: list[dict[str, Any]], threads: int) -> tuple[float, float]:
    """(processor seconds, seconds of the clock) of one process that judges the rows."""
    judge = Judge.load(bundle, threads=threads, engine="onnxruntime")
    list(judge.judge_many(map(pair_from_row, rows[:2])))
    used, began = time.process_time(), time.perf_counter()
    list(judge.judge_many(map(pair_from_row, rows)))
    return time.process_time() - used, time.perf_counter() - began


class Timed(integration.PairWorker):
    """Notes, for its process: processor seconds since the bundle was open, those of judging, first and last batch."""

    notes: Path

    def __init__(self, plan: integration.Plan) -> None:
        super().__init__(plan)
        warm = {name: "A fox jumps." + name for name in TEXTS}
        list(super()._answers([pair_from_row(warm)]))
        self._used, self._judging, self._first = time.process_time(), 0.0, 0.0

    def _answers(self, items: list[Pair]) -> Iterable[Any]:
        began = time.process_time()
        found = list(super()._answers(items))
        self._judging += time.process_time() - began
        return found

    def __call__(self, table: Any) -> Any:
        self._first = self._first or time.time()
        found = super().__call__(table)
        noted = [time.process_time() - self._used, self._judging, self._first, time.time()]
        (self.notes / str(os.getpid())).write_text(json.dumps(noted), encoding="utf-8")
        return found


def actors_of(bundle: str, rows: list[dict[str, Any]], actors: int) -> tuple[float, float, float]:
    """(processor seconds of the actors, of them judging, seconds of the clock from their first batch to the last)."""
    Timed.notes = Path(tempfile.mkdtemp())
    ds = ray.data.from_items(rows, override_num_blocks=max(4 * actors, len(rows) // 16))
    found = integration.judge_dataset(ds, bundle, actors=actors, cpus=1, batch_size=8).take_all()
    assert len({row["id"] for row in found}) == len(rows)
    whole, judging, first, last = zip(*(json.loads(f.read_text()) for f in Timed.notes.iterdir()), strict=True)
    assert len(whole) == actors, "an actor had nothing to do"
    return sum(whole), sum(judging), max(last) - min(first)


def main(bundle: str, path: str, count: int, actors: int, rounds: int = 1) -> None:
    rows = pairs_of(path, count)
    integration.PairWorker = Timed  # type: ignore[misc]
    ray.init(num_cpus=actors, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    DataContext.get_current().enable_progress_bars = False
    ratios = []
    for _ in range(rounds):
        used, clock = plain(bundle, rows, actors)
        print(f"plain judge, threads {actors}: {used:.1f} s of the processor, {clock:.1f} s of the clock", flush=True)
        if actors > 1:
            print(f"plain judge, 1 thread: {plain(bundle, rows, 1)[0]:.1f} s of the processor")
        before, began = below(os.getpid()), time.perf_counter()
        whole, judging, theirs = actors_of(bundle, rows, actors)
        others = {one: what for one, what in below(os.getpid()).items() if "MapWorker" not in what[1]}
        seconds = sum(what[0] - before.get(one, (0.0, ""))[0] for one, what in others.items())
        print(f"actors {actors}, 1 thread each: {whole:.1f} s of the processor ({judging:.1f} judging), {theirs:.1f} s")
        print(f"Ray's other processes: {seconds:.1f} s in {time.perf_counter() - began:.0f} s of the clock", flush=True)
        ratios.append(clock / theirs)
    print(f"plain judge / actors by the clock: median {statistics.median(ratios):.2f}", *(f"{r:.2f}" for r in ratios))
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))

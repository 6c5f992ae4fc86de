"""What Ray costs beside the judging: processor seconds of a plain judge, of the actors, and of Ray's other processes.

    python -m benchmarks.ray_actors BUNDLE PAIRS COUNT ACTORS

Seconds of the processor and not of the clock: on a machine in use the clock says more of the others. Linux only.
"""

from __future__ import annotations

import json
import os
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


def main(bundle: str, path: str, count: int, actors: int) -> None:
    rows = pairs_of(path, count)
    judge = Judge.load(bundle, threads=1, engine="onnxruntime")
    list(judge.judge_many(map(pair_from_row, rows[:2])))
    began = time.process_time()
    list(judge.judge_many(map(pair_from_row, rows)))
    print(f"plain judge, 1 thread: {time.process_time() - began:.1f} s for {count} pairs")

    noted = Path(tempfile.mkdtemp())

    class Timed(integration.PairWorker):
        """Notes what it took since the bundle was open: all of it, and the judging."""

        def __init__(self, plan: integration.Plan) -> None:
            super().__init__(plan)
            list(super()._answers([pair_from_row(row) for row in rows[:2]]))
            self._began, self._judging = time.process_time(), 0.0

        def _answers(self, items: list[Pair]) -> Iterable[Any]:
            began = time.process_time()
            found = list(super()._answers(items))
            self._judging += time.process_time() - began
            return found

        def __call__(self, table: Any) -> Any:
            found = super().__call__(table)
            text = json.dumps([time.process_time() - self._began, self._judging])
            (noted / str(os.getpid())).write_text(text, encoding="utf-8")
            return found

    integration.PairWorker = Timed  # type: ignore[misc]
    ray.init(num_cpus=actors, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    DataContext.get_current().enable_progress_bars = False
    began_at, before = time.perf_counter(), below(os.getpid())
    ds = ray.data.from_items(rows, override_num_blocks=max(4 * actors, count // 16))
    found = integration.judge_dataset(ds, bundle, actors=actors, cpus=1, batch_size=16).take_all()
    assert len({row["id"] for row in found}) == count
    others = {one: what for one, what in below(os.getpid()).items() if "MapWorker" not in what[1]}
    seconds = sum(what[0] - before.get(one, (0.0, ""))[0] for one, what in others.items())
    whole, judging = (sum(column) for column in zip(*(json.loads(f.read_text()) for f in noted.iterdir()), strict=True))
    print(f"{actors} actors, 1 thread each: {whole:.1f} s, {judging:.1f} of them judging")
    print(f"Ray's other processes: {seconds:.1f} s in {time.perf_counter() - began_at:.0f} s of the clock")
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))

"""The judge on a Ray cluster of this machine: two actors, one of which is killed in the middle."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rlaif_fast import Judge
from rlaif_fast.errors import ArgumentError, BundleError
from rlaif_fast.rows.pairs import pair_from_row
from rlaif_fast.rows.samples import Sample
from tests.conftest import ROOT

ray = pytest.importorskip("ray", reason="the extra ray is not installed")
pa = pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Two CPUs, whatever the machine has: two actors are two processes."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    ray.init(
        num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False, object_store_memory=128 << 20,
        _temp_dir=str(tmp_path_factory.mktemp("r")), runtime_env={"env_vars": {"PYTHONPATH": path}},
    )  # fmt: skip
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


def rows(count: int) -> list[dict[str, Any]]:
    return [
        {"id": f"row-{number}", "instruction": f"Say what {number // 4} is.", "response_0": f"It is {number}.",
         "response_1": "It is a number.", "label": number % 2, "note": {"n": number}}
        for number in range(count)
    ]  # fmt: skip


def expected(judge: Judge, some: list[dict[str, Any]]) -> dict[Any, float]:
    return {verdict.pair.id: verdict.p1 for verdict in judge.judge_many(map(pair_from_row, some))}


def test_killed_actor_loses_and_doubles_nothing(
    cluster: None, llama: Path, llama_judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once in the middle of a batch, and once while the session is opened."""
    from rlaif_fast.integrations import ray as ours

    class Killed(ours.PairWorker):
        def __init__(self, plan: ours.Plan) -> None:
            self._kill("opening")
            super().__init__(plan)

        def _answers(self, items: list[Any]) -> Iterator[Any]:
            for number, verdict in enumerate(super()._answers(items)):
                yield verdict
                if number == 10 and any(item.id == "row-300" for item in items):
                    self._kill("batch")

        def _kill(self, name: str) -> None:
            """The process ends like one that the system ended, the first time."""
            try:
                (tmp_path / name).touch(exist_ok=False)
            except FileExistsError:
                return
            (tmp_path / name).write_text(f"{os.getpid()}")
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(ours, "PairWorker", Killed)
    some = rows(600)
    got = ours.judge_dataset(
        ray.data.from_items(some, override_num_blocks=12), llama, actors=2, batch_size=25
    ).take_all()
    assert len({(tmp_path / name).read_text() for name in ("opening", "batch")}) == 2
    assert Counter(row["id"] for row in got) == Counter(row["id"] for row in some)
    p1 = expected(llama_judge, some)
    assert max(abs(row["p1"] - p1[row["id"]]) for row in got) < 1e-4
    assert all(row["error"] is None and row["human_label"] == row["note"]["n"] % 2 for row in got)
    assert list(got[0]) == [
        "id", "instruction", "chosen", "rejected", "label", "p1", "p2", "p1_by_order", "consistent", "truncated",
        "human_label", "note", "human_label_from_1", "error",
    ]  # fmt: skip


def test_bad_rows_are_a_column(cluster: None, llama: Path, llama_judge: Judge) -> None:
    """Also where a block has no good row at all, and where they are too long."""
    from rlaif_fast.integrations.ray import judge_dataset

    some = rows(6)
    some[1]["response_1"] = some[1]["response_0"]
    some[3]["instruction"] = "word " * 100_000
    some[4]["response_0"] = None
    some[5]["instruction"] = " "
    found = judge_dataset(ray.data.from_items(some, override_num_blocks=3), llama, orders="forward").take_all()
    by_id = {row["id"]: row for row in found}
    assert len(found) == len(by_id) == 6
    for number, said in ((1, "both responses are the same"), (3, "the prompt has"), (4, "'response_0' is null"),
                         (5, "'instruction' is empty")):  # fmt: skip
        row = by_id[f"row-{number}"]
        assert said in row["error"] and row["p1"] is None and row["note"] == {"n": number}
    for number in (0, 2):
        assert by_id[f"row-{number}"]["error"] is None and len(by_id[f"row-{number}"]["p1_by_order"]) == 1
    short = judge_dataset(ray.data.from_items([some[3]]), llama, on_long="truncate").take_all()
    assert short[0]["truncated"] and short[0]["error"] is None


def test_a_bad_first_row_spoils_no_batch(llama: Path) -> None:
    """Where a batch begins is chance: its rows have the shape of the first that has one."""
    from rlaif_fast.integrations import ray as ours

    worker = ours.PairWorker(ours._plan(llama, Judge, None, "both", "error", "onnxruntime", 1))
    two = [{"response": "A fox."}, {"response": "A dog."}]
    some = [{"instruction": "Say it.", "completions": rows} for rows in (None, two)]
    bad, good = worker(pa.Table.from_pylist(some)).to_pylist()
    assert bad["error"] and good["error"] is None and {good["chosen"], good["rejected"]} == {"A fox.", "A dog."}


def test_labels_that_a_shape_reads_are_kept(llama: Path) -> None:
    from rlaif_fast.integrations import ray as ours

    worker = ours.PairWorker(ours._plan(llama, Judge, None, "both", "error", "onnxruntime", 1))
    row = {"prompt": "Say it.", "chosen": "A fox.", "rejected": "A dog.", "label": 0, "input_label": "x", "note": 1}
    (found,) = worker(pa.Table.from_pylist([row])).to_pylist()
    assert (found["input_input_label"], found["input_label"], found["note"], found["error"]) == (0, "x", 1, None)
    assert found["label"] in (1, 2) and "human_label" not in found


def test_scores(cluster: None, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    from rlaif_fast import Rater
    from rlaif_fast.integrations.ray import score_dataset
    from tests.test_score import export_score

    bundle = export_score(tiny_folder("llama"), tmp_path / "bundle")

    some = [{"id": n, "prompt": f"Say what {n} is.", "response": f"It is {n}."} for n in range(4)]
    some.append({"id": 4, "prompt": "Say what 4 is.", "response": ""})
    found = {row["id"]: row for row in score_dataset(ray.data.from_items(some), bundle).take_all()}
    wanted = Rater.load(bundle).rate_many([Sample(r["prompt"], r["response"], r["id"]) for r in some[:4]])
    for rating in wanted:
        assert found[rating.sample.id]["score"] == pytest.approx(rating.score, abs=1e-5)
        assert len(found[rating.sample.id]["distribution"]) == 10
    assert "is empty" in found[4]["error"] and found[4]["score"] is None


def test_other_schema_and_no_id(cluster: None, llama: Path) -> None:
    from rlaif_fast.integrations.ray import judge_dataset

    some = [{"prompt": "Say what it is.", "chosen": f"It is {n}.", "rejected": "No.", "note": n} for n in range(3)]
    found = judge_dataset(ray.data.from_items(some), llama).take_all()
    assert sorted(row["note"] for row in found) == [0, 1, 2]
    assert all(row["id"] is None and row["error"] is None and 0 < row["p1"] < 1 for row in found)


def test_wrong_arguments_are_said_before_an_actor_starts(cluster: None, llama: Path, tmp_path: Path) -> None:
    from rlaif_fast.integrations.ray import judge_dataset

    ds = ray.data.from_items(rows(1))
    for arguments in ({"orders": "bth"}, {"on_long": "cut"}, {"cpus": 0}):
        with pytest.raises(ArgumentError):
            judge_dataset(ds, llama, **arguments)
    with pytest.raises(BundleError, match="no such folder"):
        judge_dataset(ds, tmp_path / "none")
    with pytest.raises(BundleError, match="no prompt 'none'"):
        judge_dataset(ds, llama, template="none")

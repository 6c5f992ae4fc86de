"""How many cores may be used: affinity, hyper-threads once, the cgroup's quota."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rlaif_fast.runtime import cgroup, cpu
from rlaif_fast.runtime.engines import EngineOptions

NOWHERE = Path("/none")  # no file says which group the process is in: its root is looked at


def granted(root: Path) -> float | None:
    return cgroup.cpu_quota(root, NOWHERE)


def version_2(root: Path, content: str) -> Path:
    (root / "cpu.max").write_text(content)
    return root


def version_1(root: Path, quota: str, period: str) -> Path:
    (root / "cpu").mkdir()
    (root / "cpu/cpu.cfs_quota_us").write_text(quota)
    (root / "cpu/cpu.cfs_period_us").write_text(period)
    return root


@pytest.mark.parametrize(
    ("content", "cores"),
    [
        ("max 100000\n", None),
        ("400000 100000\n", 4),
        ("150000 100000\n", 1.5),
        ("50000 100000\n", 0.5),
        ("20000 10000\n", 2),
    ],
)
def test_quota_of_cgroup_2(content: str, cores: float | None, tmp_path: Path) -> None:
    assert granted(version_2(tmp_path, content)) == cores


@pytest.mark.parametrize(
    ("quota", "period", "cores"),
    [("-1\n", "100000\n", None), ("300000\n", "100000\n", 3), ("10000\n", "100000\n", 0.1), ("1000\n", "0\n", None)],
)
def test_quota_of_cgroup_1(quota: str, period: str, cores: float | None, tmp_path: Path) -> None:
    assert granted(version_1(tmp_path, quota, period)) == cores


def test_the_strictest_group_counts(tmp_path: Path) -> None:
    """Of both versions, and of the groups above the process's own."""
    own = tmp_path / "own"
    own.write_text("4:cpuacct,cpu:/a/b\n0::/c/d\n")
    root = tmp_path / "root"
    for path, limit in {"c/d": "400000 100000", "c": "300000 100000", "x": "100000 100000"}.items():
        (root / path).mkdir(parents=True, exist_ok=True)
        version_2(root / path, limit)
    assert cgroup.cpu_quota(root, own) == 3
    for path, limit in {"cpu/a/b": "200000", "cpu/a": "250000", "cpu/x": "100000"}.items():
        (root / path).mkdir(parents=True, exist_ok=True)
        (root / path / "cpu.cfs_quota_us").write_text(limit)
        (root / path / "cpu.cfs_period_us").write_text("100000")
    assert cgroup.cpu_quota(root, own) == 2
    own.write_text("0::/../../outside\nnot a line\n")
    assert cgroup.cpu_quota(root, own) is None


@pytest.mark.parametrize(("version", "limit"), [("2", "1000000"), ("1", "1000000"), ("2", "max"), ("1", str(2**63))])
def test_memory_of_the_group(version: str, limit: str, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("2:memory:/job\n" if version == "1" else "0::/job\n")
    folder = tmp_path / ("memory/job" if version == "1" else "job")
    folder.mkdir(parents=True)
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if version == "1" else ("memory.max", "memory.current")
    for name, content in zip(names, (limit, "600000"), strict=True):
        (folder / name).write_text(content + "\n")
    wanted = (1_000_000, 400_000) if limit == "1000000" else (None, None)
    assert (cgroup.memory_limit(tmp_path, own), cgroup.memory_left(tmp_path, own)) == wanted
    if limit == "1000000":
        prefix = "total_" if version == "1" else ""
        (folder / "memory.stat").write_text(f"anon 5\n{prefix}inactive_file 100000\n")
        assert cgroup.memory_left(tmp_path, own) == 500_000
        (folder / names[1]).write_text("2000000")
        assert cgroup.memory_left(tmp_path, own) == 0


def test_no_cgroup_is_no_limit(tmp_path: Path) -> None:
    assert granted(tmp_path) is None
    assert granted(tmp_path / "none") is None


@pytest.mark.parametrize("content", ["", "max", "1 2 3", "100000 x", "x 100000"])
def test_what_cannot_be_read_is_no_limit(content: str, tmp_path: Path) -> None:
    assert granted(version_2(tmp_path, content)) is None


@pytest.mark.parametrize(("quota", "period"), [("", ""), ("100000", ""), ("100000", "x"), ("x", "100000")])
def test_what_cannot_be_read_of_cgroup_1_is_no_limit(quota: str, period: str, tmp_path: Path) -> None:
    assert granted(version_1(tmp_path, quota, period)) is None


@pytest.mark.parametrize(
    ("cpus", "quota", "cores"),
    [
        ({0, 1, 2, 3}, None, 2),  # two cores of two threads
        ({0, 1}, None, 1),
        ({0, 2}, None, 2),
        ({3}, None, 1),
        ({0, 1, 2, 3}, 1, 1),
        ({0, 1, 2, 3}, 0.1, 1),
        ({0, 1, 2, 3}, 1.1, 2),
        ({0, 1, 2, 3}, 8, 2),
        (set(), None, 1),
    ],
)
def test_usable_cores(cpus: set[int], quota: float | None, cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "affinity", lambda: cpus)
    monkeypatch.setattr(cpu, "_core", lambda number: f"{number // 2 * 2}-{number // 2 * 2 + 1}")
    monkeypatch.setattr(cpu, "cpu_quota", lambda: quota)
    assert cpu.usable_cores() == cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_affinity_is_respected() -> None:
    allowed = os.sched_getaffinity(0)
    assert cpu.affinity() == allowed
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert cpu.affinity() == {min(allowed)}
        assert cpu.usable_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_system_without_affinity_counts_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cpu.affinity() == set(range(6))
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cpu.affinity() == {0}


def test_cpu_the_system_says_nothing_of_is_a_core() -> None:
    assert cpu._core(10**6) == "1000000"


def test_threads_default_to_the_usable_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlaif_fast.runtime.engines.base.usable_cores", lambda: 3)
    assert EngineOptions().thread_count == 3
    assert EngineOptions(threads=5).thread_count == 5


@pytest.mark.skipif(not hasattr(os, "nice"), reason="this system has no priorities")
@pytest.mark.parametrize(
    ("nice", "busy", "lowered"), [(None, False, 0), (None, True, 5), (0, True, 0), (3, False, 3), (3, True, 3)]
)
def test_priority(nice: int | None, busy: bool, lowered: int) -> None:
    """In a process of its own: what is given away does not come back."""
    code = (
        "import os; from rlaif_fast.runtime import cpu; from rlaif_fast.commands.options import give_way\n"
        f"cpu.busy = lambda: {busy}; before = os.nice(0); print(give_way({nice}), before, os.nice(0))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert told[0] == str(busy)
    assert int(told[2]) == min(19, int(told[1]) + lowered)


def test_threads_that_were_tried_are_gone_again() -> None:
    before = threading.active_count()
    cpu.require_threads(8)
    assert threading.active_count() == before

"""How many cores may be used: affinity, hyper-threads once, the cgroup's quota."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rlaif_fast import cpu
from rlaif_fast.engines import EngineOptions


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
        ("150000 100000\n", 1),  # a thread more would wait
        ("50000 100000\n", 1),
        ("20000 10000\n", 2),
    ],
)
def test_quota_of_cgroup_2(content: str, cores: int | None, tmp_path: Path) -> None:
    assert cpu._quota(version_2(tmp_path, content)) == cores


@pytest.mark.parametrize(
    ("quota", "period", "cores"),
    [("-1\n", "100000\n", None), ("300000\n", "100000\n", 3), ("10000\n", "100000\n", 1), ("1000\n", "0\n", None)],
)
def test_quota_of_cgroup_1(quota: str, period: str, cores: int | None, tmp_path: Path) -> None:
    assert cpu._quota(version_1(tmp_path, quota, period)) == cores


def test_cgroup_2_comes_first(tmp_path: Path) -> None:
    version_1(tmp_path, "100000", "100000")
    assert cpu._quota(tmp_path) == 1
    assert cpu._quota(version_2(tmp_path, "200000 100000")) == 2


def test_no_cgroup_is_no_limit(tmp_path: Path) -> None:
    assert cpu._quota(tmp_path) is None
    assert cpu._quota(tmp_path / "none") is None


@pytest.mark.parametrize("content", ["", "max", "1 2 3", "100000 x", "x 100000"])
def test_what_cannot_be_read_is_no_limit(content: str, tmp_path: Path) -> None:
    assert cpu._quota(version_2(tmp_path, content)) is None


@pytest.mark.parametrize(("quota", "period"), [("", ""), ("100000", ""), ("100000", "x"), ("x", "100000")])
def test_what_cannot_be_read_of_cgroup_1_is_no_limit(quota: str, period: str, tmp_path: Path) -> None:
    assert cpu._quota(version_1(tmp_path, quota, period)) is None


@pytest.mark.parametrize(
    ("cpus", "quota", "cores"),
    [
        ({0, 1, 2, 3}, None, 2),  # two cores of two threads
        ({0, 1}, None, 1),
        ({0, 2}, None, 2),
        ({3}, None, 1),
        ({0, 1, 2, 3}, 1, 1),
        ({0, 1, 2, 3}, 8, 2),
        (set(), None, 1),
    ],
)
def test_usable_cores(cpus: set[int], quota: int | None, cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "_affinity", lambda: cpus)
    monkeypatch.setattr(cpu, "_core", lambda number: f"{number // 2 * 2}-{number // 2 * 2 + 1}")
    monkeypatch.setattr(cpu, "_quota", lambda: quota)
    assert cpu.usable_cores() == cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_affinity_is_respected() -> None:
    allowed = os.sched_getaffinity(0)
    assert cpu._affinity() == allowed
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert cpu._affinity() == {min(allowed)}
        assert cpu.usable_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_system_without_affinity_counts_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cpu._affinity() == set(range(6))
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cpu._affinity() == {0}


def test_cpu_the_system_says_nothing_of_is_a_core() -> None:
    assert cpu._core(10**6) == "1000000"


def test_threads_default_to_the_usable_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlaif_fast.engines.base.usable_cores", lambda: 3)
    assert EngineOptions().thread_count == 3
    assert EngineOptions(threads=5).thread_count == 5

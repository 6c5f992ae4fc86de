"""How many cores this process may really use."""

from __future__ import annotations

import os
from pathlib import Path


def usable_cores() -> int:
    """Physical cores this process may run on: its affinity, hyper-threads once, the cgroup's quota."""
    cpus = _affinity()
    cores = len({_core(cpu) for cpu in cpus}) or 1
    quota = _quota()
    return max(1, min(cores, quota)) if quota else cores


def busy() -> bool:
    """Whether others keep half of the usable cores busy, by the last minute's load; False where none is told."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] >= 0.5 * usable_cores()


def _affinity() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def _core(cpu: int) -> str:
    """A name of the physical core of a logical CPU (Linux); the CPU itself elsewhere."""
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text().strip()
    except OSError:
        return str(cpu)


def _quota(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Whole cores the cgroup grants (v2, then v1), or None where it sets no limit that can be read."""
    try:
        quota, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (root / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (root / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not (quota.isdigit() and period.isdigit() and int(period)):
        return None
    return max(1, int(quota) // int(period))

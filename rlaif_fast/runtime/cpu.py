"""How many cores this process may really use.

By hand, because psutil counts the physical cores of the whole machine, not those within the affinity.
"""

from __future__ import annotations

import math
import os
import threading
from pathlib import Path

from rlaif_fast.errors import REMEDY, JudgeError
from rlaif_fast.runtime.cgroup import cpu_quota


def usable_cores() -> int:
    """Physical cores this process may run on: its affinity, hyper-threads once, the cgroup's quota rounded up."""
    quota = cpu_quota()
    return physical_cores() if quota is None else max(1, min(physical_cores(), math.ceil(quota)))


def physical_cores() -> int:
    """Physical cores within the affinity."""
    return len({_core(cpu) for cpu in affinity()}) or 1


def require_threads(count: int) -> None:
    """Raises JudgeError where this process cannot start so many threads: onnxruntime would wait for them forever."""
    done = threading.Event()
    started: list[threading.Thread] = []
    try:
        for _ in range(count):
            thread = threading.Thread(target=done.wait)
            thread.start()
            started.append(thread)
    except RuntimeError as error:
        raise JudgeError(f"{len(started)} of {count} threads could be started ({error}); {REMEDY}") from None
    finally:
        done.set()
        for thread in started:
            thread.join()


def busy() -> bool:
    """Whether others keep half of the usable cores busy, by the last minute's load; False where none is told."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] >= 0.5 * usable_cores()


def affinity() -> set[int]:
    """Logical CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def _core(cpu: int) -> str:
    """A name of the physical core of a logical CPU (Linux); the CPU itself elsewhere."""
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text().strip()
    except OSError:
        return str(cpu)

"""What Linux control groups let this process have: version 2, version 1, and both at once.

By hand, because psutil and py-cpuinfo tell what the machine has, whatever the group may use of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_NO_LIMIT = 1 << 60  # bytes; version 1 writes a huge number where there is none


def cpu_quota(root: Path = ROOT, own: Path = OWN) -> float | None:
    """CPUs' worth of time granted, or None where no limit can be read. The strictest group counts."""
    found = []
    for folder in _folders("", root, own):
        quota, _, period = _read(folder / "cpu.max").partition(" ")
        found.append(_ratio(quota, period))
    for folder in _folders("cpu", root, own):
        found.append(_ratio(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")))
    return min((quota for quota in found if quota is not None), default=None)


def memory_limit(root: Path = ROOT, own: Path = OWN) -> int | None:
    """Bytes the process's groups may hold together, or None where no limit can be read."""
    return min((limit for limit, _ in _memory(root, own)), default=None)


def memory_left(root: Path = ROOT, own: Path = OWN) -> int | None:
    """Bytes until the first limit; what the system can drop (old file pages) counts as free."""
    return min((max(0, limit - used) for limit, used in _memory(root, own)), default=None)


def _memory(root: Path, own: Path) -> Iterator[tuple[int, int]]:
    """(limit, used) of each group that has a limit."""
    for version, limit_name, used_name, droppable in (
        ("", "memory.max", "memory.current", "inactive_file"),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        for folder in _folders(version, root, own):
            limit, used = _read(folder / limit_name), _read(folder / used_name)
            if limit.isdecimal() and used.isdecimal() and int(limit) < _NO_LIMIT:
                stat = dict(
                    line.split(maxsplit=1) for line in _read(folder / "memory.stat").splitlines() if " " in line
                )
                free = stat.get(droppable, "0").strip()
                yield int(limit), int(used) - (int(free) if free.isdecimal() else 0)


def _folders(controller: str, root: Path, own: Path) -> list[Path]:
    """Folders of the process's group and those above it; ``controller`` is empty for version 2.

    In a container the group's path may be the host's, of which nothing is seen here but the root.
    """
    path = ""
    for line in _read(own).splitlines():
        _, controllers, found = [*line.split(":", 2), "", ""][:3]
        if controller in controllers.split(","):
            path = found
    tops = [root / controller] if controller else [root, root / "unified"]
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    return [top.joinpath(*parts[:depth]) for top in tops for depth in range(len(parts), -1, -1)]


def _ratio(quota: str, period: str) -> float | None:
    if quota.isdecimal() and period.isdecimal() and int(period):
        return int(quota) / int(period)
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""

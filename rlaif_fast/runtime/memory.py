"""How much memory a bundle takes, and how much there is.

By hand, because of psutil only three lines of /proc/meminfo would be used, and it would be a compiled dependency of
everyone's.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rlaif_fast.bundle.manifest import WEIGHTS, WIDENED, Manifest
from rlaif_fast.errors import REMEDY, JudgeError
from rlaif_fast.runtime import cgroup

_HEAD = 64  # width of an attention head; where it is more, a pass takes less than is said here
_INTERPRETER = 150_000_000  # bytes, libraries and their threads included
_SLACK = 64_000_000  # bytes that stay free: the tokenizer does not fail where it gets none, it aborts the process


def of_pass(manifest: Manifest, tokens: int, prefix: int | None = None) -> int:
    """Bytes a pass of so many new tokens takes beside the weights, about; ``prefix``: tokens before them, P.

    The bias, twice, and of the scores of all heads a third at a time, twice; then the activations. Keys and values
    before them are not counted. Measured with the embedded default at 512 to 4,096 tokens (docs/performance.md).
    """
    layers = sum(manifest.passes.get(name, 0) for name in ("fused_attention", "attention_of_judged"))
    width = manifest.cost.per_token_pair // (2 * max(1, layers))
    bias = 4 * tokens * ((len(manifest.prompt.prefix_ids) if prefix is None else prefix) + tokens)
    return bias * (6 + 2 * width // _HEAD) // 3 + 96 * width * tokens


def of_bundle(manifest: Manifest) -> int:
    """Bytes a process takes that has the bundle open, about."""
    return of_weights(loaded(manifest, manifest.files[WEIGHTS].bytes))


def loaded(manifest: Manifest, size: int) -> int:
    """Bytes in memory of weights that take ``size`` in the file."""
    half = manifest.precision == "fp32" and manifest.passes.get(WIDENED, 0) > 0
    return size + 2 * manifest.cost.per_token * half


def of_weights(size: int) -> int:
    """Bytes a process takes that has a bundle with so many bytes of weights open: they are mapped, then packed."""
    return _INTERPRETER + size


def left() -> int | None:
    """Bytes this process can still have: of the machine, its control group, its own limit; None where nobody tells."""
    there = (_machine(), cgroup.memory_left(), _address_space())
    return min((found for found in there if found is not None), default=None)


def total() -> int | None:
    """Bytes the machine or the control group has; None where nobody tells."""
    return min((found for found in (_meminfo("MemTotal"), cgroup.memory_limit()) if found is not None), default=None)


def require(wanted: int, what: str) -> None:
    """Raises JudgeError where ``wanted`` bytes, and some beside them, are not left.

    Said beforehand, because a control group kills who takes more.
    """
    there = left()
    wanted += _SLACK
    if there is not None and wanted > there:
        raise JudgeError(f"{what} needs about {wanted / 1e6:,.0f} MB, {there / 1e6:,.0f} MB are left; {REMEDY}")


def _machine() -> int | None:
    free = _meminfo("MemAvailable")
    return None if free is None else free + (_meminfo("SwapFree") or 0)


def _address_space() -> int | None:
    """Bytes that ``ulimit -v`` leaves to this process."""
    if sys.platform != "linux":
        return None
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    return max(0, limit - int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize())


def _meminfo(key: str) -> int | None:
    if sys.platform != "linux":
        return None
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = next((line.split()[1] for line in lines if line.startswith(f"{key}:")), None)
    return int(found) * 1024 if found else None

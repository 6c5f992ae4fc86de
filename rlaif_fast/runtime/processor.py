"""What the processor is, and which of its instructions matter here.

By hand, because py-cpuinfo reads the same files on Linux, knows no instructions of Apple's processors and is not kept
up any more.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from functools import cache
from pathlib import Path

# What decides which kernels the runtime takes: (what people call it, Linux's flags, macOS's names); any one will do.
_FEATURES = (
    ("AVX2", {"avx2"}, {"avx2"}),
    ("AVX-512", {"avx512f"}, {"avx512f"}),
    ("VNNI", {"avx512_vnni", "avx_vnni"}, {"avx512vnni"}),
    ("AMX int8", {"amx_int8"}, set[str]()),
    ("bf16", {"avx512_bf16", "amx_bf16", "bf16"}, {"feat_bf16"}),
    ("NEON dot product", {"asimddp"}, {"feat_dotprod"}),
    ("NEON i8mm", {"i8mm"}, {"feat_i8mm"}),
    ("SVE", {"sve"}, set[str]()),
)
_OF = {"x86": ("AVX2", "AVX-512", "VNNI", "AMX int8", "bf16"), "arm": ("NEON dot product", "NEON i8mm", "SVE", "bf16")}
_INT8 = {"VNNI", "AMX int8", "NEON dot product", "NEON i8mm"}


def name() -> str:
    """The processor's name as its maker has it."""
    found = _cpuinfo().get("model name") or _sysctl("machdep.cpu.brand_string")
    return found or platform.processor() or platform.machine()


def features() -> dict[str, bool] | None:
    """Which instructions it has, by name; None where the system does not tell."""
    known = _OF.get(_kind())
    if known is None:
        return None
    info = _cpuinfo()
    if sys.platform == "darwin":
        flags = _darwin_flags()
        has = {title: bool(names & flags) for title, _, names in _FEATURES}
    else:
        flags = set((info.get("flags") or info.get("Features") or "").split())
        has = {title: bool(names & flags) for title, names, _ in _FEATURES}
    return {title: has[title] for title in known} if flags else None


def int8_is_fast(has: dict[str, bool]) -> bool:
    """Whether there are instructions for products of int8; without them they are exact too, and hardly faster."""
    return any(has.get(title) for title in _INT8)


def _kind() -> str:
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64", "i686"):
        return "x86"
    return "arm" if machine in ("arm64", "aarch64") else machine


def _darwin_flags() -> set[str]:
    lines = _sysctl("hw.optional", all_below=True).lower().splitlines()
    pairs = (line.partition(":") for line in lines)
    return {key.rpartition(".")[2].removesuffix("_0") for key, _, value in pairs if value.strip() == "1"}


@cache
def _cpuinfo() -> dict[str, str]:
    """Of the first processor, as Linux has it; empty elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _sysctl(key: str, all_below: bool = False) -> str:
    if sys.platform != "darwin":
        return ""
    options = [] if all_below else ["-n"]  # type: ignore[unreachable,unused-ignore]
    try:
        return subprocess.run(["sysctl", *options, key], capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""

"""What the figures hold for: the machine without its name, and the versions of what ran."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rlaif_fast.runtime.cpu import usable_cores

# What decides which kernels a library takes: 8-bit and bfloat16 products.
_MATTERS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16")
_PACKAGES = (
    "rlaif-fast", "torch", "transformers", "optimum-onnx", "onnx", "onnxruntime", "openvino", "nncf",
    "onnxruntime-genai", "llama-cpp-python", "ctranslate2", "numpy",
)  # fmt: skip


def cpu_flags() -> set[str]:
    """Instruction sets as Linux names them; empty elsewhere."""
    return set(_cpuinfo("flags").split())


def has_bf16() -> bool:
    """Whether the chip multiplies bfloat16 itself; where that cannot be known, it is not claimed."""
    return bool({"avx512_bf16", "amx_bf16"} & cpu_flags())


def machine(threads: int) -> dict[str, Any]:
    """The processor, its cores and flags, the load before the run."""
    flags = cpu_flags()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "cpu": _cpuinfo("model name") or platform.processor() or platform.machine(),
        "family_model": "/".join(filter(None, (_cpuinfo("cpu family"), _cpuinfo("model")))),
        "cores": usable_cores(),
        "flags": [flag for flag in _MATTERS if flag in flags],
        "system": f"{platform.system()} {platform.machine()}",
        "threads": threads,
        "load_before": None if load is None else round(load, 2),
    }


def versions() -> dict[str, str]:
    """Of everything a peer is made of, where it is installed."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def head(model: str, module: str, host: dict[str, Any]) -> dict[str, Any]:
    """What every report begins with: of what, when, how, where, by which versions."""
    return {
        "model": Path(model).name,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": command(module),
        "machine": host,
        "versions": versions(),
    }


def command(module: str) -> str:
    """The command line with folders left out: they are this machine's."""
    words = [Path(word).name if "/" in word else word for word in sys.argv[1:]]
    return shlex.join(["python", "-m", module, *words])


def memory_left() -> int | None:
    """Bytes that can still be had without swapping, or None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = next((line for line in lines if line.startswith("MemAvailable:")), None)
    return int(found.split()[1]) * 1024 if found else None


def peak_memory() -> float | None:
    """Largest resident memory of this process so far, 10^6 bytes, mapped weights included."""
    try:  # not getrusage: its figure begins with that of the process that started this one
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    return None


def _cpuinfo(key: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == key), "")

"""What tells this machine from another, for what is remembered of it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from pathlib import Path
from typing import Any

# What limits the instructions an engine may use: behind it the machine is another one.
_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")


def fingerprint(of: Any) -> str:
    """A name for ``of`` (JSON) on this machine: 32 hex digits."""
    limits = [os.environ.get(name, "").upper() for name in _LIMITS]
    machine = [platform.machine(), platform.system(), _cpu(), *limits]
    return hashlib.sha256(json.dumps([of, machine]).encode()).hexdigest()[:32]


def _cpu() -> str:
    """Model and instruction sets, where the system tells; a virtual machine may hide some of them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").split("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or os.environ.get("PROCESSOR_IDENTIFIER", "")
    return "\n".join(line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part")))

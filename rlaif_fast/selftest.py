"""Does this machine compute what the bundle computed where it was exported?

The manifest holds probe pairs with the bundle's own answers. Integer arithmetic that saturates (int8
products on CPUs without VNNI may), or a runtime whose kernel changed, gives others. The probes are
judged the first time a bundle meets a machine and a runtime; that it passed is remembered in the
cache folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path

import onnxruntime as ort

from rlaif_fast.errors import BundleError
from rlaif_fast.home import CHECKED, home
from rlaif_fast.manifest import Manifest, Probe

EXACT = 1e-3  # log-odds: what a float32 bundle's answers may differ by, between machines
_SHARE = 0.5  # of the bundle's mean error to PyTorch: what an int8 bundle's may, on average


def run_once(manifest: Manifest, answer: Callable[[Probe], Sequence[float]]) -> None:
    """Check the probes unless they passed before with this bundle, machine and runtime.

    Raises:
        BundleError: the answers are not the bundle's.
    """
    record = record_of(manifest)
    if record.is_file():
        return
    worst = check(manifest, answer)
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps({"bundle": manifest.name, "onnxruntime": ort.__version__, "max": worst}) + "\n")
    except OSError:
        pass  # a read-only cache folder: the next process checks again


def record_of(manifest: Manifest) -> Path:
    """The file that remembers that the bundle passed on this machine, with this runtime."""
    return home() / CHECKED / f"{_key(manifest)}.json"


def check(manifest: Manifest, answer: Callable[[Probe], Sequence[float]]) -> float:
    """Largest difference to the stored answers, in log-odds. Raises BundleError where it is too large."""
    differences = [
        abs(now - then) for p in manifest.probes for now, then in zip(answer(p), p.answer, strict=True)
    ]  # fmt: skip
    if not differences:
        return 0.0
    mean, worst = sum(differences) / len(differences), max(differences)
    found, limit = deviation(manifest, differences)
    if not found <= limit:  # a NaN differs as well
        raise BundleError(
            f"{manifest.name}: this machine answers the bundle's probes differently, by {mean:.2g} in log-odds on"
            f" average and up to {worst:.2g} (limit {limit:.2g}); its int8 arithmetic or onnxruntime {ort.__version__}"
            " is not what the bundle was verified with, export the model again on this machine or with"
            " --precision fp32"
        )
    return worst


def deviation(manifest: Manifest, differences: Sequence[float]) -> tuple[float, float]:
    """(what counts of differences between two machines' log-odds, its limit): at float32 the largest, else the mean."""
    if manifest.precision == "fp32":
        return max(differences), EXACT
    return sum(differences) / len(differences), max(EXACT, _SHARE * manifest.fidelity.mean)


def _key(manifest: Manifest) -> str:
    files = sorted((name, entry.sha256) for name, entry in manifest.files.items())
    machine = [platform.machine(), platform.system(), _cpu()]
    return hashlib.sha256(json.dumps([files, machine, ort.__version__]).encode()).hexdigest()[:32]


def _cpu() -> str:
    """Model and instruction sets, where the system tells; a virtual machine may hide some of them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").split("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or os.environ.get("PROCESSOR_IDENTIFIER", "")
    return "\n".join(line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part")))

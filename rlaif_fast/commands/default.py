"""What a command judges with: the bundle that was named, else the embedded default."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from rlaif_fast.bundle.home import DEFAULT_MODEL, default_bundle, find_bundle
from rlaif_fast.errors import ExportError, Interrupted
from rlaif_fast.reports.terminal import say


def bundle_folder_of(bundle: str | None) -> Path:
    """The bundle's folder; the embedded default is exported where it is missing, at fp32: that is done soonest."""
    if bundle is not None:
        return find_bundle(bundle)
    if (found := default_bundle()) is not None:
        return found
    say(f"the default judge {DEFAULT_MODEL} is not exported yet; exporting it once, in float32, takes about a minute")
    # A process of its own: PyTorch stays out of the judging process.
    command = [sys.executable, "-m", "rlaif_fast", "export", DEFAULT_MODEL, "--precision", "fp32", "--chat", "no"]
    done = _run_and_leave_ctrl_c_to_it(command)
    found = default_bundle()
    if done.returncode in (130, -signal.SIGINT):
        raise Interrupted("the default judge is not exported yet; the same command begins anew")
    if done.returncode or found is None:
        raise ExportError("the default judge could not be exported; see above, or give a bundle with -b")
    say(f"an int8 bundle may be faster on this machine; to make one: rlaif-fast export {DEFAULT_MODEL}"
        " --precision int8 (minutes)")  # fmt: skip
    return found


def _run_and_leave_ctrl_c_to_it(command: list[str]) -> subprocess.CompletedProcess[bytes]:
    """Ctrl-C reaches every process of the terminal: the export says so and ends, and is not left behind."""
    before = signal.signal(signal.SIGINT, lambda *_: None)  # a function is not inherited, SIG_IGN would be
    try:
        return subprocess.run(command, stdout=subprocess.DEVNULL)
    finally:
        signal.signal(signal.SIGINT, before)

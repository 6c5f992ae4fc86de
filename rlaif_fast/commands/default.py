"""What a command judges with: the bundle that was named, else the embedded default."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from rlaif_fast.bundle.home import DEFAULT_MODEL, default_bundle, find_bundle
from rlaif_fast.errors import ExportError, Interrupted
from rlaif_fast.reports.terminal import say

_PATIENCE = 5  # seconds for the export to end by itself


def bundle_folder_of(bundle: str | None) -> Path:
    """The bundle's folder; the embedded default is exported where it is missing, at fp32: that is done soonest."""
    if bundle is not None:
        return find_bundle(bundle)
    if (found := default_bundle()) is not None:
        return found
    say(f"the default judge {DEFAULT_MODEL} is not exported yet; exporting it once, in float32, takes about a minute")
    status, found = _exported(), default_bundle()
    if status in (130, -signal.SIGINT):
        raise Interrupted("the default judge is not exported yet; the same command begins anew")
    if status or found is None:
        raise ExportError("the default judge could not be exported; see above, or give a bundle with -b")
    say(f"an int8 bundle may be faster on this machine; to make one: rlaif-fast export {DEFAULT_MODEL}"
        " --precision int8 (minutes)")  # fmt: skip
    return found


def _exported() -> int:
    """The exit status of the export, which has a process of its own: PyTorch stays out of the judging process.

    Ctrl-C in a terminal reaches both: the export says that it was interrupted, and is not left behind.
    """
    command = [sys.executable, "-m", "rlaif_fast", "export", DEFAULT_MODEL, "--precision", "fp32", "--chat", "no"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as export:
        try:
            return export.wait()
        except KeyboardInterrupt:
            with suppress(subprocess.TimeoutExpired):
                export.wait(_PATIENCE)
            export.terminate()  # where this process alone was told
            return -signal.SIGINT

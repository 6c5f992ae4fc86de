"""What a command judges with: the bundle that was named, else the embedded default."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from rlaif_fast.bundle.folder import lacking, read_manifest
from rlaif_fast.bundle.home import DEFAULT_MODEL, default_bundle, find_bundle, name_of
from rlaif_fast.bundle.names import no_such_prompt
from rlaif_fast.errors import BundleError, ExportError, Interrupted
from rlaif_fast.prompts.built_in import BUILT_IN
from rlaif_fast.prompts.kinds import Kinds
from rlaif_fast.prompts.score_template import SCORE_TEMPLATES
from rlaif_fast.reports.terminal import say

_PATIENCE = 5  # seconds for the export to end by itself


def bundle_folder_of(bundle: str | None, template: str | None = None) -> Path:
    """The bundle's folder; the embedded default is exported where it is missing, at fp32: that is done soonest.

    Raises BundleError before that where it will have no prompt called ``template``.
    """
    if bundle is not None:
        return find_bundle(bundle)
    if (found := default_bundle()) is not None:
        return found
    there = [*BUILT_IN, *SCORE_TEMPLATES]
    if template not in (None, *there):
        raise BundleError(f"{DEFAULT_MODEL}: {no_such_prompt(str(template), there, DEFAULT_MODEL)}")
    say(f"the default judge {DEFAULT_MODEL} is not exported yet; exporting it once, in float32")
    status, found = _exported(), default_bundle()
    if status in (130, -signal.SIGINT):
        raise Interrupted("the default judge is not exported yet; the same command begins anew")
    if status or found is None:
        raise ExportError("the default judge could not be exported; see above, or give a bundle with -b")
    say(f"an int8 bundle may be faster on this machine; to make one: rlaif-fast export {DEFAULT_MODEL}"
        " --precision int8 (minutes)")  # fmt: skip
    return found


def require_bundle(bundle: str | None, template: str | None, kinds: Kinds) -> None:
    """Raise BundleError where the bundle that was named is not there, not whole by its files' sizes, or without the
    prompt: before the work that others cost, of which it is one. The embedded default is made where it is missing."""
    if bundle is None:
        return
    folder = find_bundle(bundle)
    manifest = read_manifest(folder).through(template, kinds, name_of(folder))
    if faults := lacking(folder, manifest):
        raise BundleError(f"{folder}: {faults[0]}; export the model again")


def _exported() -> int:
    """The exit status of the export, which has a process of its own: PyTorch stays out of the judging process.

    Ctrl-C in a terminal reaches both: the export says that it was interrupted, and is not left behind.
    """
    command = [sys.executable, "-m", "rlaif_fast", "export", DEFAULT_MODEL, "--precision", "fp32", "--chat", "no"]
    command.append("--force")  # another `judge` may export the same meanwhile
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as export:
        try:
            return export.wait()
        except KeyboardInterrupt:
            for stop in (signal.SIGINT, signal.SIGTERM):  # where this process alone was told: the first leaves no files
                with suppress(subprocess.TimeoutExpired):
                    export.wait(_PATIENCE)
                    break
                export.send_signal(stop)
            return -signal.SIGINT

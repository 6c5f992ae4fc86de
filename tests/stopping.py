"""Runs of the real command that stop at a set place of their work, however fast or busy the machine is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

# The process sends itself the signal: another one would notice too late, or too early, how far it is.
_INTERRUPTED = """
import signal, sys
from rlaif_fast.cli import main
from rlaif_fast.files.journal import Journal

step, count = sys.argv[1], int(sys.argv[2])
method, calls = getattr(Journal, step), 0

def counted(self, *arguments):
    global calls
    method(self, *arguments)
    calls += 1
    if calls == count:
        signal.raise_signal(signal.SIGINT)

setattr(Journal, step, counted)
signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it would be ignored
main(sys.argv[3:])
"""


def interrupted(arguments: Sequence[object], step: str, count: int) -> str:
    """Run ``rlaif-fast ARGUMENTS`` until Ctrl-C behind the ``count``-th ``Journal.step``; what it said."""
    command = [sys.executable, "-c", _INTERRUPTED, step, str(count), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 130, done.stderr
    return done.stderr

"""What runs on the emulated processor: a bundle's answers to its own probes, by the lean runtime alone.

By hand, on this machine's own: ``python -m tests.cpus.answers 2 BUNDLE...``. A JSON line
a bundle, in their order.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlaif_fast.bundle.folder import Bundle
from rlaif_fast.bundle.prompt import Probe
from rlaif_fast.errors import RlaifFastError
from rlaif_fast.judging.judge import Judge
from rlaif_fast.runtime.engines import EngineOptions


def shortest(probes: Sequence[Probe], limit: int) -> list[Probe]:
    """The ``limit`` probes that take the least time."""
    return sorted(probes, key=lambda probe: len(probe.instruction + probe.response_0 + probe.response_1))[:limit]


def answers(folder: Path, limit: int) -> dict[str, Any]:
    """Log-odds of the ``limit`` shortest probes, or why there are none.

    Made by the constructor, as ``Judge.load`` would refuse the answers that are to be shown. Threads that wait awake
    would take the core from those that work: emulated, there is no time to win.
    """
    started = time.monotonic()
    try:
        judge = Judge(Bundle(folder), EngineOptions(spin=False))
        found = [judge.answer(probe) for probe in shortest(judge.manifest.prompt.probes, limit)]
    except RlaifFastError as error:
        return {"error": str(error)}
    return {"answers": found, "seconds": time.monotonic() - started}


def main(arguments: Sequence[str]) -> None:
    """The number of probes, then folders. Each line is flushed, so a crash shows which bundle it came with."""
    limit, *folders = arguments
    for folder in folders:
        print(json.dumps(answers(Path(folder), int(limit))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

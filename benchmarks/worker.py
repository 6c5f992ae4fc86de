"""The process a peer lives in: ``python -m benchmarks.worker PEER``, one JSON object a line in and out.

``{"do": "prepare" | "load" | "tokens" | "judge" | "end", ...}`` -> an object, with ``error`` where it failed.
Whatever libraries print goes to standard error.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import peak_memory
from benchmarks.peers import BY_NAME
from benchmarks.peers.base import Peer, Setup, Task, Unavailable
from rlaif_fast.rows.pairs import Pair

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(name: str) -> None:
    """Serve until ``end`` or the end of the input."""
    _die_with_parent()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    peer = BY_NAME[name]
    for line in sys.stdin:
        message = json.loads(line)
        try:
            answer = _answer(peer, message)
        except Unavailable as error:
            answer = {"error": str(error)}
        except Exception as error:  # any library's own: a peer that fails is left out with the reason
            lines = str(error).strip().splitlines() or [""]
            answer = {"error": f"{type(error).__name__}: {lines[0][:200]}"}
        print(json.dumps(answer), file=answers, flush=True)
        if message["do"] == "end":
            break
    answers.flush()
    os._exit(0)  # runtimes that were killed while they tidied up would be reported as a failure


def _die_with_parent() -> None:
    """A stopped process would not notice that nobody is left to wake it; on Linux the kernel can end it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _answer(peer: Peer, message: dict[str, Any]) -> dict[str, Any]:
    do = message["do"]
    if do == "judge":
        task = Task(Pair(*message["pair"]), message["prompts"])
        started, used = time.perf_counter(), time.process_time()
        log_odds = peer.log_odds(task)
        seconds, cpu = time.perf_counter() - started, time.process_time() - used
        return {"seconds": seconds, "cpu_seconds": cpu, "log_odds": log_odds}
    if do == "tokens":
        return {"tokens": peer.tokens(Pair(*message["pair"]))}
    if do == "end":
        return {"peak_mb": peak_memory()}
    setup = Setup.from_dict(message["setup"])
    if reason := peer.available():
        return {"error": reason}
    if do == "prepare":
        peer.prepare(setup)
        return {}
    peer.load(setup)
    return {"disk_mb": sum(map(_bytes, peer.files(setup))) / 1e6}


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


if __name__ == "__main__":
    main(sys.argv[1])

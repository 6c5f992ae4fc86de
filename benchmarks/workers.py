"""Worker processes driven over pipes. Only the one that is asked runs: the others are stopped by signal."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

# Threads of OpenMP (PyTorch, llama.cpp, CTranslate2) spin for one another, and where anything else wants a core,
# for most of their time: 5 times slower was measured, which would pass for our speed. A user's own setting wins.
_ENVIRONMENT = {"OMP_WAIT_POLICY": "passive", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
_FOLDERS = re.compile(r"(/[\w.+-]+){2,}/")  # this machine's, in what libraries say
_SETTLE = 0.3  # seconds for idle threads to stop spinning, where a process cannot be stopped


def omp_wait_policy() -> str:
    """What the workers run with."""
    return os.environ.get("OMP_WAIT_POLICY", _ENVIRONMENT["OMP_WAIT_POLICY"])


class PeerError(Exception):
    """A peer that cannot take part; the text says why."""


class Worker:
    """One peer's process.

    Thread pools spin for up to 0.2 s after their work (OpenMP, onnxruntime), which would take cores
    from the next peer's turn. A stopped process cannot.
    """

    def __init__(self, name: str, log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("w"),
            text=True,
            env={**_ENVIRONMENT, **os.environ},
        )
        self._signal("SIGSTOP")

    def ask(self, do: str, **message: Any) -> dict[str, Any]:
        """The answer to one message. Raises PeerError where the peer failed or its process died."""
        self._signal("SIGCONT")
        try:
            self._process.stdin.write(json.dumps({"do": do, **message}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise PeerError(f"its process died while asked to {do} (status {self._process.wait()})")
        self._signal("SIGSTOP")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerError(_FOLDERS.sub("", answer["error"]))
        return answer

    def kill(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()

    def _signal(self, name: str) -> None:
        if hasattr(signal, name):
            self._process.send_signal(getattr(signal, name))
        elif name == "SIGSTOP":
            time.sleep(_SETTLE)

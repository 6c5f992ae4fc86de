"""Servers in a process of their own, as a user starts them, and what is sent to them."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Reply:
    """An answer: its status, headers by lower-case name, and text."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def passes(self) -> float:
        """Milliseconds in the queue and in passes, as the server measured them."""
        return sum(map(float, re.findall(r"dur=([0-9.]+)", self.headers["server-timing"])))


class Client:
    """One connection, kept open."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        return self.send("GET", path, None, headers)

    def post(self, path: str, value: Any, headers: Mapping[str, str] | None = None) -> Reply:
        """``value`` as JSON; text and bytes as they are."""
        return self.send("POST", path, value if isinstance(value, str | bytes) else json.dumps(value), headers)

    def send(self, method: str, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Reply:
        body = body.encode() if isinstance(body, str) else body
        self._connection.request(method, path, body, dict(headers or {}))
        answer = self._connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, found, answer.read().decode())

    def close(self) -> None:
        self._connection.close()


class Server:
    """A running ``rlaif-fast serve``."""

    def __init__(self, *arguments: object, **environment: str) -> None:
        """Waits until it serves."""
        command = [sys.executable, "-m", "rlaif_fast", "serve", *map(str, arguments)]
        self.process = subprocess.Popen(
            command if "--port" in command else [*command, "--port", "0"], stderr=subprocess.PIPE, text=True,
            env=os.environ | environment,
        )  # fmt: skip
        self.said: list[str] = []
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.rstrip())
            if found := re.search(r"^serving .* on http://\S+:(\d+)$", self.said[-1]):
                self.port = int(found[1])
                break
        else:
            raise AssertionError(self.said)
        self._rest = threading.Thread(target=self._read, daemon=True)
        self._rest.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.said += [line.rstrip() for line in self.process.stderr]

    def client(self) -> Client:
        return Client(self.port)

    def metric(self, name: str) -> float:
        """The sum of the metrics whose line begins with ``name``."""
        text = self.client().get("/metrics").text
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))

    def ended(self) -> tuple[int, list[str]]:
        """(the exit status, what it said), once it has ended."""
        status = self.process.wait(timeout=60)
        self._rest.join()
        return status, self.said


@contextmanager
def serving(bundle: Path, *arguments: object, **environment: str) -> Iterator[Server]:
    server = Server("-b", bundle, *arguments, **environment)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()

"""A headless Chromium, driven by its own protocol over a pair of pipes: no driver, no port, no package.

The protocol is the DevTools Protocol (https://chromedevtools.github.io/devtools-protocol/). With
``--remote-debugging-pipe`` messages are JSON that a zero byte ends, to the browser's descriptor 3 and from its 4. The
browser ends where the pipe does, so none is left behind however a test ends.
"""

from __future__ import annotations

import base64
import fcntl
import itertools
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--force-color-profile=srgb", "--hide-scrollbars",
)  # fmt: skip


def find_browser() -> str | None:
    """The path of a Chromium or Chrome; None where there is none."""
    return next(filter(None, map(shutil.which, (*_NAMES, _MAC))), None)


class Page:
    """A tab."""

    def __init__(self, requests: int, answers: int) -> None:
        self._requests, self._answers, self._numbers = requests, answers, itertools.count(1)
        self._read = b""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session: str | None = None
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._call("Page.enable")

    def open(self, path: Path) -> None:
        """Show a file."""
        self._call("Page.navigate", url=path.as_uri())
        while self._receive().get("method") != "Page.loadEventFired":
            pass

    def view(self, width: int, *, dark: bool) -> None:
        """From now on in a window of ``width`` pixels whose reader likes it light or dark."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])
        self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=width < 500
        )

    def evaluate(self, script: str) -> Any:
        """What a JavaScript expression is, as JSON."""
        found = self._call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def screenshot(self) -> bytes:
        """The whole page as a PNG."""
        return base64.b64decode(self._call("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        request = {"id": number, "method": method, "params": parameters}
        if session := getattr(self, "_session", None):
            request["sessionId"] = session
        os.write(self._requests, json.dumps(request).encode() + b"\0")
        while (answer := self._receive()).get("id") != number:
            pass
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]  # type: ignore[no-any-return]

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._read:
            more = os.read(self._answers, 1 << 20)
            assert more, "the browser ended"
            self._read += more
        message, _, self._read = self._read.partition(b"\0")
        return json.loads(message)  # type: ignore[no-any-return]


def _pipe() -> tuple[int, int]:
    """Its ends to read and to write, above the numbers that they get in the browser."""
    low = os.pipe()
    read, write = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in low)
    for end in low:
        os.close(end)
    return read, write


@contextmanager
def opened(browser: str, profile: Path) -> Iterator[Page]:
    """A tab of a new browser, whose settings and cache lie in ``profile``."""
    (theirs_in, ours_out), (ours_in, theirs_out) = _pipe(), _pipe()
    silent = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
    pipes = [(os.POSIX_SPAWN_DUP2, theirs_in, 3), (os.POSIX_SPAWN_DUP2, theirs_out, 4)]
    command = [browser, *_FLAGS, "--remote-debugging-pipe", f"--user-data-dir={profile}"]
    process = os.posix_spawn(browser, command, os.environ, file_actions=[*silent, *pipes])
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Page(ours_out, ours_in)
    finally:
        os.close(ours_out)
        os.close(ours_in)
        os.waitpid(process, 0)

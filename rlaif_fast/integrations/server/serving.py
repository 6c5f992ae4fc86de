"""A service on a socket, until it is told to stop."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from rlaif_fast.integrations.server.app import Service

_CONNECTIONS = 512  # open at once; each may have a body in memory
_SWITCH = 0.0005  # seconds: how long the thread of the passes may keep the event loop from Python


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at SIGINT and SIGTERM; uvicorn's own sends them to this process once more when all is done."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def serve(service: Service, bound: socket.socket, ready: Callable[[], None]) -> bool:
    """Serve until SIGINT or SIGTERM, then answer what was accepted; a second SIGINT does not wait for that.

    Args:
        ready: is called once requests are taken.

    Returns:
        Whether everything that was accepted was answered.
    """
    config = uvicorn.Config(
        service.app, http="h11", ws="none", loop="asyncio", lifespan="off", log_config=None, log_level="warning",
        access_log=False, server_header=False, limit_concurrency=_CONNECTIONS, timeout_keep_alive=75,
    )  # fmt: skip
    server = _Server(config, ready)
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH)
    service.worker.start()
    try:
        server.run(sockets=[bound])
    finally:
        service.worker.stop()
        sys.setswitchinterval(before)
    return not server.force_exit

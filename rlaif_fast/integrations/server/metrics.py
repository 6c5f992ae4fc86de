"""What Prometheus is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rlaif_fast.integrations.server.lanes import Lane

_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)
_TOGETHER = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_PREFIX = "rlaif_fast"


class Metrics:
    """Counters of one server."""

    def __init__(self, about: dict[str, str], waiting: Callable[[], int]) -> None:
        """Args: about: labels of the constant ``rlaif_fast_info``; waiting: pairs and responses in the queue."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series beside each counter, which nobody draws
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        Gauge(f"{_PREFIX}_info", "What is served", tuple(about), registry=registry).labels(**about).set(1)
        queue = Gauge(f"{_PREFIX}_waiting", "Pairs and responses that wait or are being read", registry=registry)
        queue.set_function(waiting)
        self._requests = Counter(
            f"{_PREFIX}_requests", "Requests answered", ("path", "status"), registry=registry
        )  # fmt: skip
        self._seconds = Histogram(
            f"{_PREFIX}_request_seconds", "From a request to its answer", ("path",), registry=registry, buckets=_SECONDS
        )
        self._rows = Counter(f"{_PREFIX}_rows", "Rows answered", ("kind", "template"), registry=registry)
        self._passes = Counter(
            f"{_PREFIX}_passes_seconds", "Time in which passes ran", ("kind", "template"), registry=registry
        )
        self._together = Histogram(
            f"{_PREFIX}_rows_together", "Rows judged together", ("kind",), registry=registry, buckets=_TOGETHER
        )
        self._left = Counter(
            f"{_PREFIX}_left", "Requests that nobody waited for any more, by why", ("why",), registry=registry
        )

    def ran(self, lane: Lane[object], rows: int, seconds: float) -> None:  # type: ignore[type-var]
        """Passes were run together."""
        self._rows.labels(lane.kind, lane.template).inc(rows)
        self._passes.labels(lane.kind, lane.template).inc(seconds)
        self._together.labels(lane.kind).observe(rows)

    def left(self, why: str) -> None:
        """A request was given up: ``timeout`` or ``disconnected``."""
        self._left.labels(why).inc()

    def answered(self, path: str, status: int, seconds: float) -> None:
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self._registry)


class Counted:
    """Counts every request of an application, those that are refused too."""

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Collection[str]) -> None:
        """Args: paths: that are there; any other is counted as one."""
        self._app, self._metrics, self._paths = app, metrics, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sent)
        finally:
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._metrics.answered(path, status, time.perf_counter() - began)

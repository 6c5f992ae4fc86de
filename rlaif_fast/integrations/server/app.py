"""Routes, limits, and what an error is in HTTP."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from json import dumps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rlaif_fast import arguments
from rlaif_fast.errors import ArgumentError, JudgeError, PairError, RlaifFastError, lacks_memory
from rlaif_fast.integrations.server import openrlhf
from rlaif_fast.integrations.server.access import Access
from rlaif_fast.integrations.server.bodies import OPTIONS, BodyError, items_of, parsed
from rlaif_fast.integrations.server.lanes import KINDS, Answer, Lane, Lanes
from rlaif_fast.integrations.server.metrics import Counted, Metrics
from rlaif_fast.integrations.server.openapi import document
from rlaif_fast.integrations.server.worker import Job, QueueFullError, Worker
from rlaif_fast.reports.terminal import say

if TYPE_CHECKING:
    from rlaif_fast.judging.rating import Rating
    from rlaif_fast.judging.reward import Reward

_INLINE = 1 << 16  # bytes of a body that is read in the event loop: under a millisecond
_GONE = 499  # for the metrics: nobody is there to be answered
_RECEIVING = 30.0  # seconds in which a body must have come
_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (BodyError, 400), (ArgumentError, 400), (PairError, 422), (JudgeError, 500),
)  # fmt: skip
T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """What a request may take.

    Attributes:
        queue: pairs and responses that may wait.
        window: of them, judged together.
        body: bytes.
        seconds: from a request's arrival to its answer.
    """

    queue: int = 4096
    window: int = 32
    body: int = 4 << 20
    seconds: float = 300.0


class Service:
    """The answers to requests, over one worker.

    Attributes:
        app: to be served.
        worker: to be started before, and stopped behind it.
    """

    def __init__(self, lanes: Lanes, about: Mapping[str, str], limits: Limits, token: str | None) -> None:
        """Args: about: what is served, for /health and /metrics."""
        self._lanes, self._limits, self._about = lanes, limits, dict(about)
        self._metrics = Metrics(self._about, lambda: self.worker.waiting)
        self.worker = Worker(limits.queue, limits.window, self._metrics.ran)
        routes = [Route(f"/{kind}", self._guarded(partial(self._rows, kind)), methods=["POST"]) for kind in KINDS]
        routes += [
            Route("/get_reward", self._guarded(self._reward), methods=["POST"]),
            Route("/health", self._health), Route("/metrics", self._text), Route("/openapi.json", self._document),
        ]  # fmt: skip
        self.app = Starlette(
            routes=routes, exception_handlers={HTTPException: _refusal},
            middleware=[
                Middleware(Counted, metrics=self._metrics, paths=[route.path for route in routes]),
                Middleware(Access, token=token),
            ],
        )  # fmt: skip

    def _guarded(self, answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """Every error as its answer."""

        async def guarded(request: Request) -> Response:
            try:
                return await answer(request)
            except QueueFullError as error:
                return _error(error, 413) if error.seconds is None else _error(error, 429, error.seconds)
            except ClientDisconnect:
                return Response(status_code=_GONE)
            except HTTPException:
                raise
            except Exception as error:
                if lacks_memory(error):
                    return _error(error, 503, 1.0)
                if not isinstance(error, RlaifFastError):
                    say(f"error: {request.url.path}: {type(error).__name__}: {error}")
                return _error(error, next((status for kind, status in _STATUS if isinstance(error, kind)), 500))

        return guarded

    async def _rows(self, kind: str, request: Request) -> Response:
        """``POST /judge``, ``/score`` and ``/rank``."""
        taken = OPTIONS if kind != "score" else [name for name in OPTIONS if name != "orders"]
        began, asked = time.perf_counter(), _options(request, *taken)
        lane = self._lanes.find(kind, asked.pop("template", None), asked.get("orders", "both"))
        shorten = _shorten(asked)
        carry = request.query_params.getlist("carry")
        body = await self._body(request)
        items, listed = await _off_loop(len(body), lambda: items_of(parsed(body), lane, asked.get("fields"), carry))
        job, answers = await self._done(request, lane, items, shorten, began)
        texts = await _off_loop(len(body), lambda: [answer.to_json() for answer in answers])
        text = "[" + ", ".join(texts) + "]" if listed else texts[0]
        return Response(text, media_type="application/json", headers=_timing(job, began))

    async def _reward(self, request: Request) -> Response:
        """``POST /get_reward``: OpenRLHF's."""
        began, asked = time.perf_counter(), _options(request, "template", "on_long")
        lane = self._lanes.find("score", asked.get("template"))
        body = await self._body(request)
        samples = await _off_loop(len(body), lambda: openrlhf.samples_of(parsed(body)))
        job, answers = await self._done(request, lane, samples, _shorten(asked), began)
        return JSONResponse(openrlhf.answer_of(cast("list[Rating | Reward]", answers)), headers=_timing(job, began))

    async def _body(self, request: Request) -> bytes:
        """Raises HTTPException where it is too large, or does not come."""
        too_large = f"request: larger than {self._limits.body:,} bytes; send it in parts"
        if int(request.headers.get("content-length", 0)) > self._limits.body:
            raise HTTPException(413, too_large)

        async def received() -> bytes:
            body = bytearray()
            async for chunk in request.stream():
                body += chunk
                if len(body) > self._limits.body:
                    raise HTTPException(413, too_large)
            return bytes(body)

        try:
            return await asyncio.wait_for(received(), _RECEIVING)
        except asyncio.TimeoutError:
            raise HTTPException(408, f"request: the body did not come within {_RECEIVING:.0f} s") from None

    async def _done(
        self, request: Request, lane: Lane[Any], items: list[Any], shorten: bool, began: float
    ) -> tuple[Job, list[Answer]]:  # fmt: skip
        """The job and its answers. Raises what the worker says, and HTTPException where it takes too long."""
        job = Job(lane, items, shorten, asyncio.get_running_loop().create_future())
        if not items:
            return job, []
        self.worker.submit(job)
        gone = asyncio.ensure_future(_gone(request))
        try:
            left = self._limits.seconds - (time.perf_counter() - began)
            both: set[asyncio.Future[Any]] = {job.done, gone}
            await asyncio.wait(both, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED)
            if job.done.done():
                return job, job.done.result()
            self._metrics.left("disconnected" if gone.done() else "timeout")
            if gone.done():
                raise ClientDisconnect
            raise HTTPException(
                503, f"request: not done within {self._limits.seconds:g} s; ask for less at once, or try again later",
                {"Retry-After": "1"},
            )  # fmt: skip
        finally:
            job.over = True
            job.done.cancel()
            gone.cancel()

    async def _health(self, request: Request) -> Response:  # noqa: ARG002
        """``GET /health``."""
        alive = self.worker.alive
        state = {"status": "ok" if alive else "failed", "waiting": self.worker.waiting, **self._about}
        return JSONResponse(state, 200 if alive else 503)

    async def _text(self, request: Request) -> Response:  # noqa: ARG002
        """``GET /metrics``."""
        return Response(self._metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _document(self, request: Request) -> Response:  # noqa: ARG002
        """``GET /openapi.json``."""
        return JSONResponse(document(self._lanes))


def _options(request: Request, *names: str) -> dict[str, str]:
    """The query's parameters. Raises ArgumentError for one that is none or two, as the command line does."""
    for name in request.query_params:
        arguments.one_of("parameter", name, names)
        if name != "carry" and len(request.query_params.getlist(name)) > 1:
            raise ArgumentError(f"parameter {name!r}: given more than once; give one")
    return dict(request.query_params)


def _shorten(asked: Mapping[str, str]) -> bool:
    on_long = asked.get("on_long", "error")
    arguments.one_of("on_long", on_long, ("error", "truncate"))
    return on_long == "truncate"


async def _off_loop(size: int, work: Callable[[], T]) -> T:
    """What ``work`` gives; in another thread where it would hold up the loop. ``size``: bytes of text."""
    return work() if size < _INLINE else await asyncio.to_thread(work)


async def _gone(request: Request) -> None:
    """Return when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _timing(job: Job, began: float) -> dict[str, str]:
    """Where the time went, in milliseconds: until the first pass, and until the last answer."""
    queue, work = max(0.0, job.began - began), job.ended - job.began
    return {"Server-Timing": f"queue;dur={1000 * queue:.3f}, passes;dur={1000 * work:.3f}"}


def _error(error: Exception, status: int, seconds: float | None = None) -> Response:
    headers = {} if seconds is None else {"Retry-After": str(max(1, math.ceil(seconds)))}
    text = str(error) or type(error).__name__
    return Response(dumps({"error": text}), status, headers, "application/json")


async def _refusal(request: Request, error: Exception) -> Response:
    """What Starlette and the limits refuse, in the form of every other error."""
    assert isinstance(error, HTTPException)
    said, path = error.detail, request.url.path
    if error.status_code == HTTPStatus.NOT_FOUND:
        said = f"{path}: there is no such path; there are {', '.join(route.path for route in request.app.routes)}"
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        said = f"{path}: {request.method} is not taken here; send {(error.headers or {})['Allow']}"
    return JSONResponse({"error": said}, error.status_code, error.headers)

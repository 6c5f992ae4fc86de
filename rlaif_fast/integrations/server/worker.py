"""The one thread that runs passes, and the bounded queue before it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from threading import Condition, Thread
from typing import Any

from rlaif_fast.errors import JudgeError, RlaifFastError
from rlaif_fast.integrations.server.lanes import Answer, Lane

_RECENT = 0.2  # weight of the last passes in the pace


class QueueFullError(RlaifFastError):
    """More is waiting than may wait.

    Attributes:
        seconds: until there is room, as far as one can tell; None where the request alone is too large.
    """

    def __init__(self, message: str, seconds: float | None) -> None:
        super().__init__(message)
        self.seconds = seconds


@dataclass(eq=False)
class Job:
    """A request's items and, one after the other, their answers.

    Attributes:
        shorten: items that are too long are made to fit; else they are an error of the whole job.
        done: gets the answers, or what was raised.
        began, ended: its first pass and its last, seconds of ``time.perf_counter``.
    """

    lane: Lane[Any]
    items: list[Any]
    shorten: bool
    done: asyncio.Future[list[Answer]]
    answers: list[Answer] = field(default_factory=list)
    began: float = 0.0
    ended: float = 0.0
    fitted: bool = False
    left: int = 0  # pairs and responses to be read
    over: bool = False  # answered, or nobody waits for it any more

    def settle(self, error: Exception | None = None) -> None:
        """Hand over what is there; the loop may be gone, and so may who waited."""
        self.over = True

        def hand() -> None:
            if self.done.done():
                return
            if error is None:
                self.done.set_result(self.answers)
            else:
                self.done.set_exception(error)

        with suppress(RuntimeError):
            self.done.get_loop().call_soon_threadsafe(hand)


Slice = tuple[Job, list[Any]]
Observed = Callable[[Lane[Any], int, float], None]  # of passes run together: how many items, seconds


class Worker:
    """Runs the jobs that were submitted, in turns of ``window`` items, so that a large one does not hold up others.

    Items of several jobs are judged together where they are of one lane: with a float32 bundle those on the same
    instruction share a pass. A job whose items fail fails alone.
    """

    def __init__(self, limit: int, window: int, observed: Observed = lambda *_: None) -> None:
        """Args: limit: pairs and responses that may wait; window: how many are judged together."""
        self.limit, self.window, self._observed = limit, window, observed
        self._jobs: deque[Job] = deque()
        self._changed = Condition()
        self._stopping = False
        self._pace = 0.0  # seconds a pair or response
        self._thread = Thread(target=self._run, name="passes", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it works, or could."""
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Pairs and responses that wait or are being read."""
        with self._changed:
            return self._waiting()

    def _waiting(self) -> int:
        return sum(job.left for job in self._jobs if not job.over)

    def submit(self, job: Job) -> None:
        """Put a job into the queue. Raises QueueFullError."""
        job.left = sum(map(job.lane.passes, job.items))
        with self._changed:
            waiting = self._waiting()
            if job.left > self.limit:
                raise QueueFullError(
                    f"request: {job.left:,} to judge, this server takes {self.limit:,} at once; send it in parts", None
                )
            if waiting + job.left > self.limit:
                raise QueueFullError(
                    f"request: {waiting:,} are waiting and {self.limit:,} may; try again later", waiting * self._pace
                )
            self._jobs.append(job)
            self._changed.notify()

    def stop(self) -> None:
        """End the thread behind the passes it runs; jobs that are left are not done."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while (jobs := self._next()) is not None:
            self._turn(jobs)

    def _next(self) -> list[Job] | None:
        """The jobs of the next turn, those of the first one's lane; None where there is no next turn."""
        with self._changed:
            while True:
                self._jobs = deque(job for job in self._jobs if not job.over)
                if self._stopping:
                    return None
                if self._jobs:
                    lane = self._jobs[0].lane
                    return list(islice((job for job in self._jobs if job.lane is lane), self.window))
                self._changed.wait()

    def _turn(self, jobs: Sequence[Job]) -> None:
        slices: list[Slice] = []
        room = self.window
        for job in jobs:
            if room > 0 and self._fits(job):
                items = _part(job, room)
                slices.append((job, items))
                room -= sum(map(job.lane.passes, items))
        if slices and (error := self._failure(slices)) is not None:
            behind = [job for job, _ in slices if not job.over]
            for job in behind:  # whose fault it is shows where each is alone
                alone = error if len(slices) == 1 else self._failure([(job, _part(job, self.window))])
                if alone is not None:
                    job.settle(alone)
        with self._changed:  # what is left of the first waits behind the others
            self._jobs.remove(jobs[0])
            self._jobs.append(jobs[0])

    def _fits(self, job: Job) -> bool:
        """Make a job's items fit the model, once; False where that cannot be, which is its answer."""
        if not job.fitted:
            fit = job.lane.shorten if job.shorten else job.lane.check
            try:
                job.items, job.fitted = [fit(item) for item in job.items], True
            except BaseException as error:
                job.settle(_exception(error))
        return job.fitted

    def _failure(self, slices: Sequence[Slice]) -> Exception | None:
        """Run the passes of slices of one lane, each answer handed over as it comes; what ended it too early."""
        lane, started = slices[0][0].lane, time.perf_counter()
        owners = [job for job, part in slices for _ in part]
        for job, _ in slices:
            job.began = job.began or started
        done = count = 0
        try:
            answers = lane.answers([item for _, part in slices for item in part])
            for job, answer in zip(owners, answers, strict=True):
                passes = lane.passes(job.items[len(job.answers)])
                done, count = done + passes, count + 1
                self._answered(job, answer, passes)
        except BaseException as error:
            return _exception(error)
        seconds = time.perf_counter() - started
        with self._changed:
            self._pace = _RECENT * seconds / done + (1 - _RECENT) * (self._pace or seconds / done)
        self._observed(lane, count, seconds)
        return None

    def _answered(self, job: Job, answer: Answer, passes: int) -> None:
        job.answers.append(answer)
        with self._changed:
            job.left -= passes
        if len(job.answers) == len(job.items):
            job.ended = time.perf_counter()
            job.settle()


def _part(job: Job, room: int) -> list[Any]:
    """The job's next items, as many as there is room for, at least one."""
    items: list[Any] = []
    for place in range(len(job.answers), len(job.items)):
        if items and room <= 0:
            break
        items.append(job.items[place])
        room -= job.lane.passes(job.items[place])
    return items


def _exception(error: BaseException) -> Exception:
    """A panic of a Rust library is no Exception; whatever it is, the server goes on."""
    return error if isinstance(error, Exception) else JudgeError(f"{type(error).__name__}: {error}")

"""The thread that runs passes: turns, what may wait, and whose error is whose."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from rlaif_fast.errors import JudgeError, PairError
from rlaif_fast.integrations.server.lanes import Lane
from rlaif_fast.integrations.server.worker import Job, QueueFullError, Worker
from rlaif_fast.rows.pairs import Pair


class Panic(BaseException):
    """As a Rust library raises one: no Exception."""


class Passes:
    """Answers are the items; the turns are kept, and the first of them waits for ``begin``."""

    def __init__(self) -> None:
        self.turns: list[list[str]] = []
        self.begin = threading.Event()

    def lane(self, kind: str = "judge", passes: Callable[[Any], int] = lambda _: 1) -> Lane[Any]:
        return Lane(kind, "summary", (), lambda _: iter(()), self.check, self.check, self.answers, passes)

    @staticmethod
    def check(item: Any) -> Any:
        if item.id == "long":
            raise PairError("long")
        return item

    def answers(self, items: Sequence[Any]) -> Iterator[Any]:
        self.begin.wait()
        self.turns.append([item.id for item in items])
        for item in items:
            if item.id == "bad":
                raise JudgeError("bad")
            if item.id == "panic":
                raise Panic("panic")
            yield item


def _pair(key: str) -> Pair:
    return Pair("i", "a", "b", key)


async def _ask(worker: Worker, lane: Lane[Any], *keys: str) -> list[str]:
    job = Job(lane, [_pair(key) for key in keys], False, asyncio.get_running_loop().create_future())
    worker.submit(job)
    return [answer.id for answer in await job.done]  # type: ignore[attr-defined]


def _together(passes: Passes, worker: Worker, *asked: tuple[Lane[Any], Sequence[str]]) -> list[Any]:
    """What each that was asked gets, when all of them waited before the first turn."""

    async def run() -> list[Any]:
        found = [asyncio.ensure_future(_ask(worker, lane, *keys)) for lane, keys in asked]
        await asyncio.sleep(0)
        worker.start()
        passes.begin.set()
        return await asyncio.gather(*found, return_exceptions=True)

    try:
        return asyncio.run(run())
    finally:
        worker.stop()
        assert not worker.alive and worker.waiting == 0


def test_a_large_request_holds_up_no_small_one() -> None:
    passes = Passes()
    lane = passes.lane()
    large = [f"l{n}" for n in range(6)]
    found = _together(passes, Worker(100, 2), (lane, large), (lane, ["s0"]), (lane, ["s1"]))
    assert found == [large, ["s0"], ["s1"]]
    assert passes.turns == [["l0", "l1"], ["s0", "s1"], ["l2", "l3"], ["l4", "l5"]]


def test_only_one_lane_at_a_time() -> None:
    passes = Passes()
    pairs, rows = passes.lane(), passes.lane("rank", lambda item: 3)
    found = _together(passes, Worker(100, 4), (pairs, "ab"), (rows, "cde"), (pairs, "f"), (rows, "g"))
    assert found == [["a", "b"], ["c", "d", "e"], ["f"], ["g"]]
    assert passes.turns == [["a", "b", "f"], ["c", "d"], ["g", "e"]], "a row of 3 pairs counts for 3"


@pytest.mark.parametrize(("key", "error"), [("bad", JudgeError), ("panic", JudgeError), ("long", PairError)])
def test_who_fails_fails_alone(key: str, error: type[Exception]) -> None:
    passes = Passes()
    lane = passes.lane()
    found = _together(passes, Worker(100, 9), (lane, "ab"), (lane, ["c", key, "d"]), (lane, "e"))
    assert found[0] == ["a", "b"] and found[2] == ["e"]
    assert type(found[1]) is error and key in str(found[1])


def test_what_may_wait() -> None:
    passes = Passes()
    lane, rows = passes.lane(), passes.lane("rank", lambda item: 3)
    found = _together(passes, Worker(4, 9), (lane, "abc"), (lane, "de"), (lane, "f"), (rows, "gh"))
    assert found[0] == ["a", "b", "c"] and found[2] == ["f"]
    assert isinstance(found[1], QueueFullError) and found[1].seconds == 0.0
    assert isinstance(found[3], QueueFullError) and found[3].seconds is None, "it never could"


def test_what_nobody_waits_for_is_not_read() -> None:
    passes = Passes()

    async def run() -> None:
        worker = Worker(100, 2)
        kept, left = (
            Job(passes.lane(), list(map(_pair, keys)), False, asyncio.get_running_loop().create_future())
            for keys in ("ab", "cd")
        )
        worker.submit(kept)
        worker.submit(left)
        left.over = True
        assert worker.waiting == 2
        passes.begin.set()
        worker.start()
        assert len(await kept.done) == 2
        worker.stop()

    asyncio.run(run())
    assert passes.turns == [["a", "b"]]

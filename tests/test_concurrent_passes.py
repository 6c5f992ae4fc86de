"""Passes at once, a thread each: the bits of one pass at a time, in order, and no later than what fails before them."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlaif_fast import Judge, Pair, PairError
from rlaif_fast.bundle.folder import Bundle
from rlaif_fast.bundle.manifest import WEIGHTS
from rlaif_fast.errors import JudgeError
from rlaif_fast.runtime import concurrent_passes, forward, memory
from rlaif_fast.runtime.concurrent_passes import OneThreadEngine, in_order
from rlaif_fast.runtime.engines import Engine, EngineOptions, variant
from tests.test_company import FAMILIES, pairs
from tests.test_engines import log_odds


def many() -> list[Pair]:
    """75 on 25 instructions."""
    return [replace(pair, instruction=f"{n % 25} {pair.instruction}", id=n) for n, pair in enumerate(pairs(75))]


def passes_of(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The name of the thread of each pass by the engine with one thread, which is opened here."""
    engine = judge._one_thread._engine
    assert engine is not None
    names, real = [], engine.run
    monkeypatch.setattr(engine, "run", lambda *given: names.append(threading.current_thread().name) or real(*given))
    return names


def all_threads(folder: Path) -> Judge:
    judge = Judge(Bundle(folder), EngineOptions(threads=2))
    judge._passes._one_thread = OneThreadEngine(judge._bundle, variant(judge.engine), EngineOptions(1), True)
    return judge


@pytest.mark.parametrize("family", FAMILIES)
def test_a_verdict_has_the_bits_of_a_pass_by_all_threads(
    family: str, tiny_int8: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, of = tiny_int8(family), many()
    of.insert(40, Pair("A long one. " * 70, "lazy dog", "fox", id="long"))
    monkeypatch.setattr(forward, "LARGE", 1000)
    judge = Judge(Bundle(folder), EngineOptions(threads=2))
    threads = passes_of(judge, monkeypatch)
    found = log_odds(judge, of, window=1024)
    assert len({name for name in threads if name.startswith("pass")}) == 2 and len(threads) < len(of)
    assert np.array_equal(found, log_odds(all_threads(folder), of, window=1024))
    resumed = np.array([verdict.log_odds_by_order for verdict in judge.judge_many(of, window=1024, done=23)])
    assert np.array_equal(resumed, found[23:])
    assert "passes: 2 at once, one thread each, where 16 or more instructions wait" in judge.describe()


def test_where_one_pass_at_a_time_is_quicker(
    tiny_int8: Callable[[str], Path], tiny_bundle: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken(folder: Path, threads: int, passes: int = 16) -> bool:
        judge = Judge(Bundle(folder), EngineOptions(threads=threads))
        return judge._one_thread.for_pieces(passes) is not None

    folder = tiny_int8("llama")
    assert taken(folder, 2)
    assert not taken(folder, 1), "there is one thread"
    assert not taken(folder, 2, 15), "opening it takes longer"
    assert not taken(folder, 9), "not two for each thread"
    exact = Judge(Bundle(tiny_bundle("llama")), EngineOptions(threads=2))
    assert "at once" not in exact.describe(), "pairs at fp32 share trees"
    with monkeypatch.context() as patch:
        patch.setattr(concurrent_passes, "_LARGEST", 1000)
        assert not taken(folder, 2)
    monkeypatch.setattr(memory, "left", lambda: 20_000_000)
    monkeypatch.setattr(memory, "require", lambda *_: None)
    assert not taken(folder, 2), "there is no memory for a second engine"


def test_the_pairs_before_one_that_fails_have_their_verdicts(tiny_int8: Callable[[str], Path]) -> None:
    judge = Judge(Bundle(tiny_int8("llama")), EngineOptions(threads=2))
    of = many()
    of[30] = replace(of[30], response_0="word " * 100_000, id="far too long")  # others are on its instruction
    found = []
    with pytest.raises(PairError, match="far too long"):
        found.extend(verdict.pair.id for verdict in judge.judge_many(of, window=1024))
    assert found == [pair.id for pair in of[:30]]


def test_so_it_is_where_an_engine_fails(tiny_int8: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Judge(Bundle(tiny_int8("llama")), EngineOptions(threads=2))
    of, real = many(), judge._passes._run

    def run(passes: Any, cache: Any, what: str, engine: Engine) -> Any:
        if what == str(of[30]):
            raise JudgeError("the thirtieth")
        return real(passes, cache, what, engine)

    monkeypatch.setattr(judge._passes, "_run", run)
    found = []
    with pytest.raises(JudgeError, match="the thirtieth"):
        found.extend(verdict.pair.id for verdict in judge.judge_many(of, window=1024))
    assert found == [pair.id for pair in of[:30]]


def test_weights_that_were_replaced_are_not_opened_again(tiny_int8: Callable[[str], Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_int8("llama"), tmp_path / "int8"))
    judge, of = Judge(Bundle(folder), EngineOptions(threads=2)), many()
    expected = log_odds(all_threads(folder), of, window=1024)
    assert judge.judge(of[0]).log_odds_by_order == tuple(expected[0])
    weights = bytearray((folder / WEIGHTS).read_bytes())
    weights[:] = bytes(byte ^ 1 for byte in weights)
    (tmp_path / "other").write_bytes(weights)
    (tmp_path / "other").replace(folder / WEIGHTS)
    assert np.array_equal(log_odds(judge, of, window=1024), expected)
    assert judge._one_thread.for_pieces(16) is None


def test_results_come_in_order_and_what_is_alone_has_no_company() -> None:
    running, most, with_alone = set(), [0], []
    lock = threading.Lock()

    def run(number: int) -> Iterator[int]:
        with lock:
            running.add(number)
            most[0] = max(most[0], len(running))
            if number % 10 == 7:
                with_alone.append(set(running))
        threading.Event().wait(0.01 if number % 3 else 0.03)
        yield number
        yield number * number
        with lock:
            running.discard(number)

    found = list(in_order(range(40), run, 3, alone=lambda number: number % 10 == 7))
    assert found == [one for n in range(40) for one in (n, n * n)]
    assert most[0] == 3
    assert with_alone == [{7}, {17}, {27}, {37}]


def test_a_failure_comes_at_its_place_and_ends_the_work() -> None:
    ran = []

    def run(number: int) -> Iterator[int]:
        ran.append(number)
        yield number
        if number == 5:
            raise ValueError("five")

    found = []
    with pytest.raises(ValueError, match="five"):
        found.extend(in_order(range(1000), run, 2, alone=lambda _: False))
    assert found == [0, 1, 2, 3, 4, 5] and len(ran) < 20


@pytest.mark.parametrize("alone", [False, True])
def test_a_result_is_there_before_its_piece_is_done_and_leaving_ends_the_work(alone: bool) -> None:
    read, begun, onward = [], [], threading.Event()

    def run(number: int) -> Iterator[int]:
        for n in range(1000):
            begun.append(number)
            yield n
            onward.wait(20)

    results = in_order((read.append(n) or n for n in range(1000)), run, 2, alone=lambda _: alone)
    assert next(results) == 0
    onward.set()
    results.close()
    assert len(read) <= 8 and len(begun) < 1000
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pass")]


@pytest.mark.parametrize("there", [0, 1])
def test_threads_that_cannot_be_started_are_done_without(there: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real, started = threading.Thread.start, []

    def start(thread: threading.Thread) -> None:
        if len(started) >= there:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    assert list(in_order(range(40), lambda n: [n, -n], 3, lambda _: False)) == [
        s * n for n in range(40) for s in (1, -1)
    ]

"""Several passes at once, one thread each, in place of one pass at a time by all threads.

The threads of one pass wait for each other behind every operator, and whatever holds one of them up holds up all.
Concurrent passes wait for nothing. An engine's threads are fixed when it is opened, so this takes a second one.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from queue import SimpleQueue
from typing import Generic, TypeVar

from rlaif_fast.bundle.folder import Bundle
from rlaif_fast.bundle.manifest import WEIGHTS
from rlaif_fast.errors import RlaifFastError
from rlaif_fast.runtime import memory, pieces
from rlaif_fast.runtime.cpu import require_threads
from rlaif_fast.runtime.engines import Engine, EngineOptions, Variant
from rlaif_fast.runtime.kv_cache import KeyValueCache

WORTHWHILE = 16  # pieces of work that make up for opening the engine
LARGE = 2 * pieces.LONGEST  # tokens of an item that all threads compute: it keeps them busy, and takes more memory
_LARGEST = 512_000_000  # bytes of weights; the products of larger models keep all threads busy by themselves

W = TypeVar("W")
R = TypeVar("R")


class OneThreadEngine:
    """A bundle's engine with one thread, for several to run at once. It is opened when it is first needed."""

    def __init__(self, bundle: Bundle, variant: Variant, options: EngineOptions, concurrent: bool) -> None:
        """
        Args:
            options: of the engine with all threads.
            concurrent: whether several threads may run such an engine at once.
        """
        self._bundle, self._variant, self._options, self._concurrent = bundle, variant, options, concurrent

    @property
    def at_once(self) -> int:
        """Passes that run at once: one for each thread of the other engine."""
        return self._options.thread_count

    def for_pieces(self, number: int) -> Engine | None:
        """The engine, where it is quicker for so many pieces of work; None where the one with all threads is.

        None also where there is no memory for a second engine when it is first needed.
        """
        return self._engine if self._worthwhile and number >= self._least else None

    def describe(self) -> str:
        """For people, a line; empty where it is never taken."""
        line = f"passes: {self.at_once} at once, one thread each, where {self._least} or more instructions wait"
        return line if self._worthwhile else ""

    @property
    def _least(self) -> int:
        return max(WORTHWHILE, 2 * self.at_once)

    @property
    def _worthwhile(self) -> bool:
        return self._concurrent and self.at_once > 1 and self._weights <= _LARGEST

    @property
    def _weights(self) -> int:
        manifest = self._bundle.manifest
        return memory.loaded(manifest, manifest.files[WEIGHTS].bytes)

    @cached_property
    def _engine(self) -> Engine | None:
        manifest, prompt = self._bundle.manifest, self._bundle.manifest.prompt
        kept = KeyValueCache(prompt.prefix_ids, self._bundle.arrays, prompt.ending).bytes_per_token * LARGE
        wanted = self._weights + self.at_once * (memory.of_pass(manifest, LARGE) + kept)
        there = memory.left()
        if there is not None and wanted > there // 2:  # the other engine has large passes
            return None
        try:
            require_threads(self.at_once)
            check = self._bundle.checking(WEIGHTS)  # they are opened by their name once more
            engine = self._variant.load(self._bundle, replace(self._options, threads=1))
            check.result()
        except RlaifFastError:  # the other engine is there, and has the weights that were checked
            return None
        return engine


def in_order(
    work: Iterable[W], run: Callable[[W], Iterable[R]], at_once: int, alone: Callable[[W], bool]
) -> Generator[R, None, None]:
    """What ``run`` gives for each piece of ``work``, in the order of the pieces, computed by ``at_once`` threads.

    Args:
        work: read in this thread, not much further than it is computed; it must not raise.
        run: its results are handed over one by one; left early, no thread computes more than the one it is at.
        alone: whether a piece is run in this thread, while no other is.

    Whatever ``run`` raises comes behind the results before it.
    """
    pending: deque[_Task[W, R]] = deque()
    stopped = threading.Event()

    def results(but: int) -> Iterator[R]:
        while len(pending) > but:
            yield from pending[0].results()
            pending.popleft()

    with ThreadPoolExecutor(at_once, "pass") as threads:
        try:
            for piece in work:
                if alone(piece):
                    yield from results(but=0)
                    yield from run(piece)
                    continue
                pending.append(task := _Task(piece, run, stopped))
                try:
                    threads.submit(task.compute)
                except RuntimeError:  # no further thread can be started; those there are may have taken it
                    task.compute()
                yield from results(but=2 * at_once)
            yield from results(but=0)
        finally:
            stopped.set()


class _Task(Generic[W, R]):
    """A piece of work, computed by whoever comes first."""

    def __init__(self, piece: W, run: Callable[[W], Iterable[R]], stopped: threading.Event) -> None:
        self._piece, self._run, self._stopped = piece, run, stopped
        self._taken = threading.Lock()
        self._results: SimpleQueue[tuple[R] | BaseException | None] = SimpleQueue()  # None is the end

    def compute(self) -> None:
        if self._stopped.is_set() or not self._taken.acquire(blocking=False):
            return
        try:
            for result in self._run(self._piece):
                self._results.put((result,))
                if self._stopped.is_set():
                    return
            self._results.put(None)
        except BaseException as error:
            self._results.put(error)

    def results(self) -> Iterator[R]:
        """Each as soon as it is there."""
        while (found := self._results.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found[0]

"""Several passes at once, one thread each, in place of one pass at a time by all threads.

The threads of one pass wait for each other behind every operator, and whatever holds one of them up holds up all.
Passes side by side wait for nothing. An engine's threads are fixed when it is opened, so this takes a second one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from typing import TypeVar

from rlaif_fast.bundle.folder import Bundle
from rlaif_fast.bundle.manifest import WEIGHTS
from rlaif_fast.errors import RlaifFastError
from rlaif_fast.runtime import memory, pieces
from rlaif_fast.runtime.cpu import require_threads
from rlaif_fast.runtime.engines import Engine, EngineOptions, Variant

WORTHWHILE = 16  # passes that make up for opening the engine
LARGE = 2 * pieces.LONGEST  # tokens of a pass that all threads compute: it keeps them busy, and takes more memory
_LARGEST = 512_000_000  # bytes of weights; the products of larger models keep all threads busy by themselves

W = TypeVar("W")
R = TypeVar("R")


class OneThreadEngine:
    """A bundle's engine with one thread, for several to run at once. It is opened when it is first needed."""

    def __init__(self, bundle: Bundle, variant: Variant, options: EngineOptions) -> None:
        """Args: options: of the engine with all threads."""
        self._bundle, self._variant, self._options = bundle, variant, options

    @property
    def at_once(self) -> int:
        """Passes that run at once: one for each thread of the other engine."""
        return self._options.thread_count

    def for_passes(self, number: int) -> Engine | None:
        """The engine, where it is quicker for so many passes; None where the one with all threads is."""
        if self.at_once == 1 or number < self._least or self._weights > _LARGEST:
            return None
        return self._engine

    def describe(self) -> str:
        """For people, a line; empty where it is never taken."""
        if self.at_once == 1 or self._weights > _LARGEST:
            return ""
        return f"passes: {self.at_once} at once, one thread each, where {self._least} or more wait"

    @property
    def _least(self) -> int:
        return max(WORTHWHILE, 2 * self.at_once)

    @property
    def _weights(self) -> int:
        manifest = self._bundle.manifest
        return memory.loaded(manifest, manifest.files[WEIGHTS].bytes)

    @cached_property
    def _engine(self) -> Engine | None:
        wanted = self._weights + self.at_once * memory.of_pass(self._bundle.manifest, LARGE)
        there = memory.left()
        if there is not None and wanted > there // 2:
            return None
        try:
            require_threads(self.at_once)
            return self._variant.load(self._bundle, replace(self._options, threads=1))
        except RlaifFastError:  # for want of threads or memory: the other engine is there
            return None


def in_order(
    work: Iterable[W], run: Callable[[W], R], at_once: int, alone: Callable[[W], bool]
) -> Generator[R, None, None]:
    """What ``run`` gives for each piece of ``work``, in its order, computed by ``at_once`` threads.

    Args:
        work: read in this thread, not much further than it is computed.
        alone: whether a piece is run in this thread, while no other is.

    Whatever ``work`` or ``run`` raises comes behind the results before it.
    """
    pending: deque[Future[R]] = deque()
    failures: list[Exception] = []

    def results(but: int) -> Iterator[R]:
        while len(pending) > but:
            yield pending.popleft().result()

    with ThreadPoolExecutor(at_once, "pass") as threads:
        try:
            for piece in _before_failure(work, failures):
                if alone(piece):
                    yield from results(but=0)
                    yield run(piece)
                else:
                    pending.append(threads.submit(run, piece))
                    yield from results(but=2 * at_once)
            yield from results(but=0)
        finally:
            for future in pending:
                future.cancel()
    if failures:
        raise failures[0]


def _before_failure(work: Iterable[W], failures: list[Exception]) -> Iterator[W]:
    try:
        yield from work
    except Exception as error:  # raised when it is its turn
        failures.append(error)

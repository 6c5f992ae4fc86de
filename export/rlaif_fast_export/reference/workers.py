"""Several prompts at once, each on a core of its own.

A block's products are small, and the steps between them smaller: two cores on two prompts are faster than two cores on
one (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Protocol, TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


class Each(Protocol):
    """Calls a function with every item, as many at once as PyTorch has threads; the answers in the items' order."""

    def __call__(self, step: Callable[[T], R], items: Iterable[T]) -> list[R]: ...


@contextmanager
def at_once() -> Iterator[Each]:
    """Within: see :class:`Each`. A call has one thread; so have products outside of calls, with MKL, meanwhile."""
    cores = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(cores, initializer=partial(torch.set_num_threads, 1)) as workers:

            def each(step: Callable[[T], R], items: Iterable[T]) -> list[R]:
                waiting = [workers.submit(step, item) for item in items]
                try:
                    return [one.result() for one in waiting]
                finally:
                    for one in waiting:
                        one.cancel()

            yield each
    finally:
        torch.set_num_threads(cores)

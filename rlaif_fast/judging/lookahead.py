"""Reading ahead, so far and no further."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

LIMIT = 16 << 20  # bytes of text in a window; one item may be larger


class Sized(Protocol):
    """What has a text."""

    @property
    def bytes(self) -> int: ...


T = TypeVar("T", bound=Sized)


def windows(items: Iterable[T], count: int) -> Iterator[list[T]]:
    """``items`` in runs of at most ``count``, cut where their texts together reach LIMIT.

    Where it cuts depends on the items alone, so a run that is taken up again has the same windows.
    """
    window: list[T] = []
    size = 0
    for item in items:
        window.append(item)
        size += item.bytes
        if len(window) == count or size >= LIMIT:
            yield window
            window, size = [], 0
    if window:
        yield window

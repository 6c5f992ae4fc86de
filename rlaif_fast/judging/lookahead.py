"""Reading ahead, so far and no further."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from rlaif_fast.errors import PairError

LIMIT = 16 << 20  # bytes of text in a window; one item may be larger


class Sized(Protocol):
    """What has a text."""

    @property
    def bytes(self) -> int: ...


T = TypeVar("T", bound=Sized)


def windows(items: Iterable[T], count: int, counts: Callable[[T], int] = lambda _: 1) -> Iterator[list[T]]:
    """``items`` in runs, cut where they are ``count`` or more, or where their texts together reach LIMIT.

    ``counts`` tells for how many an item counts, from 1. Where it cuts depends on the items alone, so a run that is
    taken up again has the same windows.

    Raises:
        PairError: a text that is not valid Unicode.
    """
    window: list[T] = []
    size = number = 0
    for item in items:
        window.append(item)
        try:
            size += item.bytes
        except UnicodeEncodeError:
            raise PairError(f"{item}: a lone surrogate in a text, not valid Unicode") from None
        number += counts(item)
        if number >= count or size >= LIMIT:
            yield window
            window, size, number = [], 0, 0
    if window:
        yield window

"""The items of a run: read through before a model is loaded, then made to fit the model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from rlaif_fast.files.journal import Item, consume
from rlaif_fast.judging.fewer_orders import draw
from rlaif_fast.judging.judge import WINDOW
from rlaif_fast.reports.terminal import say
from rlaif_fast.rows.reader import Rejects

_FILE_WINDOW = 1024  # a file does not keep its reader waiting
I = TypeVar("I", bound=Item)  # noqa: E741


class Reading(Protocol[I]):
    """Items in order; ``fit`` makes an item fit the model, ``rejected`` is told of rows that are no items."""

    def __call__(
        self, *, fit: Callable[[I], I] | None = None, rejected: Callable[[Any, str], None] | None = None
    ) -> Iterator[I]: ...


def fitting(unread: int, check: Callable[[I], object], shorten: Callable[[I], I] | None) -> Callable[[I], I]:
    """What makes an item fit the model; arguments are those of :meth:`RunInput.fit`."""

    def fit(item: I) -> I:
        if item.bytes <= unread:
            return item
        if shorten is not None:
            return shorten(item)
        check(item)
        return item

    return fit


class RunInput(Generic[I]):
    """Which items a run takes, and where bad rows go.

    Attributes:
        output: the file the results go to; None for the screen.
        errors: the file that rejected rows go to; None for standard error.
        total: number of items; None where it is not known.
        origin: what a run is bound to besides the items: the commit of a data set of the hub.
    """

    def __init__(
        self, read: Reading[I], restartable: bool, *, limit: int | None = None, skip: bool = False,
        output: Path | None = None, origin: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """
        Args:
            read: begins with the first item at each call, where ``restartable``.
            limit: take the first ``limit`` items only.
            skip: set bad rows aside; else the first one is an error.
        """
        self._read, self._restartable, self._skip = read, restartable, skip
        self.limit, self.output, self.origin = limit, output, origin or {}
        self.total = limit
        self.errors = None if output is None else output.with_name(output.name + ".errors.jsonl")
        self._rejects: Rejects | None = None  # made when judging begins: it takes the file of an earlier run away
        self._ignored = (lambda *_: None) if skip else None
        self._longest = 0  # bytes of an item's texts
        self._fit: Callable[[I], I] | None = None
        self._items: Iterator[I] | None = None
        self._digest, self._count = hashlib.sha256(), 0  # of the items that were read
        self._read_through = False

    @classmethod
    def of(cls, items: Sequence[I]) -> RunInput[I]:
        """Items that are in memory."""

        def read(
            *, fit: Callable[[I], I] | None = None, rejected: Callable[[Any, str], None] | None = None  # noqa: ARG001
        ) -> Iterator[I]:  # fmt: skip
            return map(fit, items) if fit else iter(items)

        return cls(read, restartable=True)

    @property
    def window(self) -> int:
        """Items to read ahead by default: few from a pipe, which may be slow."""
        return _FILE_WINDOW if self._restartable else WINDOW

    @property
    def skipped(self) -> int:
        """Rows set aside so far."""
        return self._rejects.count if self._rejects else 0

    def check(self) -> None:
        """Read all rows once, before a model is loaded or exported. Raises PairError at a bad row."""
        if not self._restartable:
            return
        self.total = 0
        for item in self._noted(islice(self._read(rejected=self._ignored), self.limit)):
            self.total += 1
            self._longest = max(self._longest, item.bytes)

    def fit(self, unread: int, check: Callable[[I], object], shorten: Callable[[I], I] | None) -> None:
        """Make items fit the model; an item that does not is an error, before the first is judged where possible.

        Args:
            unread: bytes of an item that is sure to fit (:attr:`Session.taken_unread`).
            check: raises PairError where an item's prompt is too long, or refused.
            shorten: makes an item fit in place of the error.
        """
        self._fit = fit = fitting(unread, check, shorten)
        if not self._skip and self._restartable and self._longest > unread:
            for _ in islice(self._read(fit=fit), self.limit):
                pass

    @property
    def items(self) -> Iterator[I]:
        """The items, consumed once."""
        if self._items is None:
            self._rejects = Rejects(self.errors, say) if self._skip else None
            items = islice(self._read(fit=self._fit, rejected=self._rejects), self.limit)
            self._items = items if self._read_through else self._noted(items)
        return self._items

    def content(self) -> tuple[str, int]:
        """(digest of the items, how many they are); what was not read yet is read now, and is gone where it cannot be
        read again."""
        if not self._read_through:
            for _ in self._noted(islice(self._read(fit=self._fit, rejected=self._ignored), self.limit)):
                pass
        return self._digest.hexdigest(), self._count

    def _noted(self, items: Iterator[I]) -> Iterator[I]:
        """``items``, taken into the digest: what a row holds, not how much of it the judge is shown."""
        for item in items:
            consume(self._digest, item, ("where", "shown"))
            self._count += 1
            yield item
        self._read_through = True

    def sample(self, count: int) -> dict[int, I]:
        """Some of the items by place: random ones of a file, the first of a pipe; none where there are no more."""
        if self._restartable:
            return draw(islice(self._read(fit=self._fit, rejected=self._ignored), self.limit), count)
        first = list(islice(self.items, count + 1))
        self._items = chain(first, self.items)
        return dict(enumerate(first[:count])) if len(first) > count else {}

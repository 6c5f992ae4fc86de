"""A run over a file: look it through, then take its items one by one, to a file that can be resumed or to a screen."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from rlaif_fast.errors import RlaifFastError
from rlaif_fast.files.journal import Item, journal_of
from rlaif_fast.judging.fewer_orders import draw
from rlaif_fast.judging.judge import WINDOW
from rlaif_fast.reports.console import progress_of
from rlaif_fast.reports.terminal import say
from rlaif_fast.rows.reader import Rejects

_FILE_WINDOW = 1024  # a file does not keep its reader waiting
I = TypeVar("I", bound=Item)  # noqa: E741
R = TypeVar("R", bound="Result")
Prepare = Callable[["Tally", Callable[[], None]], None]


class Result(Protocol):
    """What an item became."""

    @property
    def item(self) -> Any: ...

    def to_json(self) -> str: ...


class Reading(Protocol[I]):
    """Items in order; ``fit`` makes one fit the model, ``rejected`` is told of rows that are none."""

    def __call__(
        self, *, fit: Callable[[I], I] | None = None, rejected: Callable[[Any, str], None] | None = None
    ) -> Iterator[I]: ...


class Tally(Protocol):
    """What the closing line counts."""

    @property
    def counts(self) -> Mapping[str, Any]: ...

    def take(self, result: Any) -> None: ...


@dataclass
class Work(Generic[I]):
    """Which items are taken, and where bad rows go.

    Attributes:
        read: begins at the beginning with each call, where ``restartable``.
        output: None for standard output.
    """

    read: Reading[I]
    restartable: bool
    limit: int | None
    skip: bool
    output: Path | None

    def __post_init__(self) -> None:
        self.total = self.limit
        self._longest = 0
        self.say = say
        self.errors = None if self.output is None else self.output.with_name(self.output.name + ".errors.jsonl")
        self.rejects = Rejects(self.errors, self.say) if self.skip else None
        self._started = time.perf_counter()

    @property
    def window(self) -> int:
        """Items read ahead unless told otherwise: a pipe may be slow."""
        return _FILE_WINDOW if self.restartable else WINDOW

    @property
    def skipped(self) -> int:
        return self.rejects.count if self.rejects else 0

    def look(self) -> None:
        """Read all rows once, before a model is loaded or exported; raises PairError at a bad one."""
        if not self.restartable:
            return
        self.total = 0
        for item in islice(self.read(rejected=(lambda *_: None) if self.skip else None), self.limit):
            self.total += 1
            self._longest = max(self._longest, item.bytes)

    def fitting(self, limit: int, prompt: Callable[[I], Any], shortened: Callable[[I], I] | None) -> None:
        """What is too long is shortened, or an error, said before the work begins where the rows can be read again.

        Args:
            limit: tokens of a prompt.
            prompt: raises PairError where an item's is longer.
        """

        def fit(item: I) -> I:
            if 2 * item.bytes <= limit:  # a token is a byte or more, and the template has the other half
                return item
            if shortened is not None:
                return shortened(item)
            prompt(item)
            return item

        if not self.skip and self.restartable and 2 * self._longest > limit:
            for _ in islice(self.read(fit=fit), self.limit):
                pass
        self._fit = fit
        self.items: Iterator[I] = islice(self.read(fit=fit, rejected=self.rejects), self.limit)

    def sample(self, count: int) -> dict[int, I]:
        """Some of the items by place: random ones of a file, the first of a pipe; none where there are no more."""
        if self.restartable:
            ignored = (lambda *_: None) if self.skip else None
            return draw(islice(self.read(fit=self._fit, rejected=ignored), self.limit), count)
        first = list(islice(self.items, count + 1))
        self.items = chain(first, self.items)
        return dict(enumerate(first[:count])) if len(first) > count else {}

    def to_file(
        self, results: Callable[[Iterable[I], int], Iterator[R]], tally: Callable[[Mapping[str, Any]], Tally],
        bound: Mapping[str, Any], restart: bool, finish: Callable[[Path, Path], object], prepare: Prepare | None = None,
    ) -> tuple[Tally, int]:  # fmt: skip
        """(the tally, how many results an earlier run had) of a run that ends with ``output``.

        Args:
            results: of items, behind so many that have theirs.
            finish: gives the rows' file its form and the output's name.
            prepare: is called before the first result; its second argument keeps what the tally has by then.
        """
        assert self.output is not None
        with journal_of(self.output, bound, restart=restart, say=self.say) as journal:
            count, done = tally(journal.tally), journal.done
            if done:
                self.say(f"{self.output}: going on behind {done} rows")
            if prepare is not None:
                prepare(count, lambda: journal.note(count.counts))
            if not journal.finished:
                for result in progress_of(results(journal.checked(self.items), done), self.total, done):
                    count.take(result)
                    journal.write(result.item, result.to_json(), count.counts)
                journal.complete()
                finish(journal.rows, self.output)
        return count, done

    def to_screen(
        self, results: Callable[[Iterable[I], int], Iterator[R]], tally: Callable[[Mapping[str, Any]], Tally],
        show: Callable[[Iterator[R]], None], prepare: Prepare | None = None,
    ) -> Tally:  # fmt: skip
        """The tally of a run whose results are shown."""
        count = tally({})
        if prepare is not None:
            prepare(count, lambda: None)

        def counted() -> Iterator[R]:
            for result in progress_of(results(self.items, 0), self.total):
                count.take(result)
                yield result

        show(counted())
        return count

    def closing(self, what: str, done: int, figures: Iterable[str], judged: int, unit: str) -> str:
        """The closing line."""
        seconds = time.perf_counter() - self._started
        parts = [f"{judged + self.skipped} {what}, {judged} {unit}"]
        if self.skipped:
            parts.append(f"{self.skipped} skipped ({self.errors or 'see above'})")
        parts += figures
        if judged > done:
            parts.append(f"{(judged - done) / seconds:.2f} {what}/s")
        return ", ".join([*parts, f"{seconds:.1f} s"])


def print_lines(results: Iterable[Any], form: Callable[[Any], str | None]) -> None:
    """Each result's line on standard output as soon as it is there; None for no line."""
    if sys.stdout is None:
        raise RlaifFastError("standard output is closed; give a file with -o")
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8", line_buffering=True)
    for result in results:
        if (line := form(result)) is not None:
            sys.stdout.write(line + "\n")
    sys.stdout.flush()

"""A run: items judged one after the other, to a file that an interrupted run resumes, or to the screen."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from rlaif_fast.errors import PairError, resumable
from rlaif_fast.files.difference import difference
from rlaif_fast.files.journal import Item, begun, journal_of
from rlaif_fast.files.keeping import Sieve
from rlaif_fast.judging.finished import Finished, found, remember
from rlaif_fast.judging.run_input import RunInput
from rlaif_fast.reports.console import progress_of
from rlaif_fast.reports.terminal import say
from rlaif_fast.wording import counted

I = TypeVar("I", bound=Item)  # noqa: E741
R = TypeVar("R", bound="Result")
T = TypeVar("T")


class Result(Protocol):
    """What an item became."""

    @property
    def item(self) -> Any: ...

    def to_json(self) -> str: ...


class Run(ABC, Generic[I, R]):
    """One run over an input. A subclass says how an item is judged, and what the closing line counts.

    Attributes:
        rows: the input.
        counts: figures of the closing line; the journal keeps them.
        sieve: what the results go through when they are written; it counts them.
        unit: an item, as the closing line calls it.
        verb: what is done with an item; its count's name too.
        written: what a result becomes, as the closing line calls it.
    """

    unit: ClassVar[str]
    verb: ClassVar[str]
    written: ClassVar[str]

    def __init__(self, rows: RunInput[I], counts: Mapping[str, Any], sieve: Sieve | None = None) -> None:
        self.rows, self.sieve = rows, sieve or Sieve()
        self.counts: dict[str, Any] = {self.verb: 0, **counts}
        self._resumed = 0  # results of the interrupted run
        self._made: Finished | None = None  # what made the output before
        self._watch = _Stopwatch()

    @property
    @abstractmethod
    def bound(self) -> Mapping[str, Any]:
        """What must be the same for an interrupted run to be resumed, by name; JSON values."""

    @abstractmethod
    def judged(self, items: Iterable[I], done: int) -> Iterator[R]:
        """Results of ``items`` without the first ``done``, which have theirs."""

    @abstractmethod
    def count(self, result: R) -> None:
        """Take a result into ``counts``."""

    @abstractmethod
    def figures(self) -> list[str]:
        """What the closing line says of the results."""

    def kept(self) -> list[str]:
        """What the closing line says of the rows that were kept and dropped."""
        line = self.sieve.line(self.written) if self.sieve.selects else ""
        return [line] if line else []

    def prepare(self, keep: Callable[[], None]) -> None:
        """Judge what is needed before the first result; ``keep`` saves ``counts``, as often as wanted."""

    def notes(self) -> list[str]:
        """Lines after the closing line."""
        return []

    def results(self) -> Iterator[R]:
        """The results, as the items come in."""
        self._prepare(lambda: None)
        yield from self._counted(self.rows.items)

    def to_screen(self, show: Callable[[Iterator[R]], object]) -> None:
        """Give the results to ``show``."""
        show(self.results())

    def to_file(
        self, finish: Callable[[Path, Path], object], form: Mapping[str, Any] | None = None, *, restart: bool = False
    ) -> None:
        """Write the results to the input's ``output``; an interrupted run of the same command is resumed.

        Nothing is done where the output is there already and the same run made it.

        Args:
            finish: gives the file of results (JSON Lines) the output's form and name.
            form: what ``finish`` goes by, by the option's name; JSON values.
            restart: discard an interrupted run, and replace what is there.

        Raises:
            PairError: another process writes the output, the interrupted run is another one's, or the output is there
                and another run made it.
        """
        output, form = self.rows.output, form or {}
        assert output is not None
        if not (restart or begun(output)) and output.exists():
            self._made = found(output, lambda: self._finished(form))
            if self._made is not None:
                return
        told = f"interrupted; the same command resumes {output} where it stopped"
        with resumable(told), journal_of(output, self._bound, restart=restart, say=say) as journal:
            self.counts.update(journal.tally)
            self._resumed = journal.done
            if journal.done:
                say(f"{output}: resuming after {counted(journal.done, 'row')}")
            self._prepare(lambda: journal.note(self.counts))
            if not journal.finished:
                for result in self._counted(journal.checked(self.rows.items)):
                    journal.write(result.item, result.to_json(), self.counts)
                journal.complete(form)
                finish(journal.rows, output)
            elif how := difference(journal.form, form):
                raise PairError(
                    f"{output}: finished already, {how}; give the same command, or --restart to judge again"
                )
            remember(output, self._finished(form))

    @property
    def _bound(self) -> dict[str, Any]:
        return {**self.bound, **self.rows.origin}

    def _finished(self, form: Mapping[str, Any]) -> Finished:
        """This run as it is remembered."""
        digest, items = self.rows.content()
        summary = ", ".join(self._summary())
        return Finished(self._bound, dict(form), digest, items, self.rows.skipped, summary)

    def lines(self) -> list[str]:
        """What is said at the end: the closing line, notes and warnings."""
        if self._made is not None:
            return [
                f"{self.rows.output}: finished already ({self._made.summary}); nothing was done, --restart judges again"
            ]
        return [self.closing(), *self.notes(), *(f"warning: {text}" for text in self.warnings())]

    def warnings(self) -> list[str]:
        """What may not be meant: nothing to judge, or nothing kept."""
        if not self.counts[self.verb] and not self.rows.skipped:
            return ["the input has no rows"]
        if not self.sieve.leaves_nothing:
            return []
        why = f"every {self.written} was dropped" if self.sieve.dropped else f"no {self.unit} gave a {self.written}"
        return [f"{why}: {self.rows.output or 'the output'} is empty"]

    @property
    def skipped(self) -> int:
        """Rows that were set aside; of a finished run those that it had set aside."""
        return self.rows.skipped if self._made is None else self._made.skipped

    def closing(self) -> str:
        """The closing line; its rate and seconds are of judging alone."""
        parts = self._summary()
        if (now := self.counts[self.verb] - self._resumed) > 0:
            parts[0] += f" ({now:,} now)" if self._resumed else ""
            seconds = self._watch.seconds
            parts += [f"{now / seconds:.2f} {self.unit}s/s", f"{self.verb} in {seconds:.1f} s"]
        return ", ".join(parts)

    def _summary(self) -> list[str]:
        judged, skipped = self.counts[self.verb], self.rows.skipped
        parts = [f"{counted(judged + skipped, self.unit)}, {judged:,} {self.verb}"]
        if skipped:
            parts.append(f"{skipped:,} skipped ({self.rows.errors or 'see above'})")
        return [*parts, *self.figures(), *self.kept()]

    def _prepare(self, keep: Callable[[], None]) -> None:
        with self._watch.running():
            self.prepare(keep)

    def _counted(self, items: Iterable[I]) -> Iterator[R]:
        results = self._watch.judging(self.judged(self._watch.reading(items), self._resumed))
        for result in progress_of(results, self.rows.total, self._resumed, f"{self.unit}s"):
            self.count(result)
            yield result


class _Stopwatch:
    """Times judging: from the first call to the model to the last result.

    Items are read ahead, so the first call follows the last item that is read before there is a result.
    """

    def __init__(self) -> None:
        self._apart = self._first_call = self._last_result = 0.0

    @property
    def seconds(self) -> float:
        return self._apart + self._last_result - self._first_call

    @contextmanager
    def running(self) -> Iterator[None]:
        """Time what is judged before there are results."""
        since = time.perf_counter()
        yield
        self._apart += time.perf_counter() - since

    def reading(self, items: Iterable[T]) -> Iterator[T]:
        for item in items:
            if not self._last_result:
                self._first_call = time.perf_counter()
            yield item

    def judging(self, results: Iterable[T]) -> Iterator[T]:
        for result in results:
            self._last_result = time.perf_counter()
            yield result

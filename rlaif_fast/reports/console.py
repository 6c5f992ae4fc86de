"""What people see drawn: tables, and bars on a terminal while something takes long."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, TypeVar, cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from rlaif_fast.errors import escaped
from rlaif_fast.reports.terminal import Shown

T = TypeVar("T")


def stdout() -> Console:
    """For tables. Texts are texts: neither markup nor names of emoji are looked for in them."""
    return _console(file=cast(IO[str], Shown(sys.stdout, spare=False)))


def stderr() -> Console:
    """As :func:`stdout`; where nobody listens any more, what is said is lost and nothing else."""
    file = cast(IO[str], Shown(sys.stderr, spare=True))
    return _console(file=file, stderr=True, soft_wrap=True)


def _console(**settings: Any) -> Console:
    """In the environment of now: rich has that of its import, and `Dataset.map` of datasets replaces it."""
    return Console(highlight=False, markup=False, emoji=False, _environ=os.environ, **settings)


class _Rate(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} {self._unit}/s" if task.speed else "", style="progress.data.speed")


def progress_of(items: Iterable[T], total: int | None, done: int = 0, unit: str = "pairs") -> Iterator[T]:
    """Pass ``items`` on under a progress bar with rate and time left; no bar without a terminal."""
    console = stderr()
    if not console.is_terminal:
        yield from items
        return
    columns = (TextColumn("judging"), BarColumn(), MofNCompleteColumn(), _Rate(unit), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=total, completed=done)
        for item in items:
            yield item
            progress.advance(task)


class Steps:
    """Reports the steps of an export: ``steps(what, share)`` as often as wanted.

    A terminal shows a bar, of the whole where it is known what the steps take; a log gets one line a step, with its
    seconds.
    """

    def __init__(self) -> None:
        self._what = ""
        self._began = self._since = time.monotonic()
        self._console = stderr()
        self._bar: Progress | None = None
        self._expected: Mapping[str, float] = {}
        self._done = 0.0  # seconds expected of the steps that are over

    @contextmanager
    def shown(self) -> Iterator[Steps]:
        if self._console.is_terminal:
            columns = (
                TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
                TextColumn("{task.fields[left]}"),
            )  # fmt: skip
            with Progress(*columns, console=self._console, transient=True) as self._bar:
                self._task = self._bar.add_task("", total=1.0, left="")
                yield self
                self._finish()
        else:
            yield self
            self._finish()

    def expect(self, seconds: Mapping[str, float]) -> None:
        """What the steps to come are expected to take, by their names."""
        self._expected, self._done, self._began = seconds, 0.0, time.monotonic()

    def __call__(self, what: str, share: float) -> None:
        if what != self._what:
            self._finish()
            self._what, self._since = what, time.monotonic()
        if self._bar:
            whole, left = self._whole(share)
            self._bar.update(self._task, description=what, completed=share if whole is None else whole, left=left)

    def say(self, line: str) -> None:
        """A line that stays, after the current step."""
        self._finish()
        self._what = ""
        self._console.print(escaped(line))

    def _whole(self, share: float) -> tuple[float | None, str]:
        """(share of the whole that is done, time left in words), where it is known."""
        total = sum(self._expected.values())
        if not total:
            return None, ""
        done = min(1.0, (self._done + share * self._expected.get(self._what, 0.0)) / total)
        if done < _TOLD_FROM:
            return done, f"about {_in_words(total)} left"
        return done, f"about {_in_words((time.monotonic() - self._began) * (1 - done) / done)} left"

    def _finish(self) -> None:
        if self._what:
            self._done += self._expected.get(self._what, 0.0)
            self._console.print(f"  {self._what}: {time.monotonic() - self._since:.1f} s", style="dim")


_TOLD_FROM = 0.1  # of the whole: from then on, what was done tells better than what was expected


def _in_words(seconds: float) -> str:
    return f"{round(seconds / 60)} min" if seconds >= 90 else f"{max(1, round(seconds))} s"

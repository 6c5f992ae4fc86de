"""What every reader gives, and how much of a file it holds at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LIMIT = 10_000_000  # bytes of a line or record, characters of an array's element
TOO_LONG = "longer than 10 MB"
STEP = 1 << 16  # bytes read at once

Found = Iterator[tuple[int, Any, "str | None"]]  # place, value, problem


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of a data set is read; nothing of it is needed where there is one.

    Attributes:
        split: train, test, …
        config: of a data set of the hub, which calls it a subset too.
        revision: of a data set of the hub: a branch, a tag or a commit; None: its main branch.
        resumed: what an interrupted run is bound to that is resumed.
    """

    split: str | None = None
    config: str | None = None
    revision: str | None = None
    resumed: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it was read.

    Attributes:
        place: line of a text file (the first of a CSV record), number of the row elsewhere; from 1.
        where: "file, line N" or "file, row N".
        value: parsed, not yet checked; where there is a problem, the text that has it as far as it is known.
        problem: why it could not be read.
        key: its id if it has none of its own; None: its place.
    """

    place: int
    where: str
    value: Any
    problem: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """An opened file, folder or standard input.

    Attributes:
        restartable: whether each call of :meth:`rows` begins at the beginning; else there is one pass.
        read: begins a pass.
        origin: what a run over it is bound to besides its rows: of a data set of the hub its name, part and commit.
    """

    name: str
    kind: str
    restartable: bool
    read: Callable[[], Iterator[Row]]
    origin: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The name in a report: a file's without its folders."""
        return self.name if self.origin else Path(self.name).name

    def rows(self) -> Iterator[Row]:
        """The rows in order; one that cannot be read has a problem, and the last one if reading cannot go on."""
        return self.read()

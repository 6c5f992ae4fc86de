"""From the rows of a file to pairs: shapes recognised, ids told apart, bad rows named or set aside."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from rlaif_fast.candidates import NAMES as CANDIDATES_NAMES
from rlaif_fast.candidates import Candidates, candidates_from_row
from rlaif_fast.candidates import recognise as recognise_candidates
from rlaif_fast.errors import PairError
from rlaif_fast.pairs import Pair, pair_from_row
from rlaif_fast.rating import Sample
from rlaif_fast.reading import Row, Source, open_rows
from rlaif_fast.samples import NAMES as SAMPLE_NAMES
from rlaif_fast.samples import sample_from_row
from rlaif_fast.shapes import NAMES as PAIR_NAMES
from rlaif_fast.shapes import Shape, recognise, shape_of_fields

T = TypeVar("T", Pair, Sample, Candidates)
Rejected = Callable[[Any, str], None]  # takes the row as it was, and the reason


class Intake:
    """What an opened source holds.

    Attributes:
        name: of the file, or "stdin".
        restartable: whether rows may be read again, which begins at the beginning.
        shape: how a row gets the contract's names; for pairs and candidates found with the first row that has one.
    """

    def __init__(
        self, source: Source, shape: Shape | None = None, announce: Callable[[str], None] | None = None
    ) -> None:
        self._source, self.shape = source, shape
        self._announce = announce if shape is None else None  # who named the fields knows
        self.name, self.restartable = source.name, source.restartable

    def pairs(self, *, fit: Callable[[Pair], Pair] | None = None, rejected: Rejected | None = None) -> Iterator[Pair]:
        """Pairs in the order of the rows.

        Args:
            fit: makes a pair fit the judge, or raises PairError.
            rejected: is told of each row that is no pair, and reading goes on.

        Raises:
            PairError: at the first row that is no pair, where there is no ``rejected``.
        """
        return self._items(self._pair, fit, rejected)

    def samples(
        self, *, fit: Callable[[Sample], Sample] | None = None, rejected: Rejected | None = None
    ) -> Iterator[Sample]:
        """As :meth:`pairs`, where a row has one response."""
        return self._items(self._sample, fit, rejected)

    def candidates(
        self, *, fit: Callable[[Candidates], Candidates] | None = None, rejected: Rejected | None = None
    ) -> Iterator[Candidates]:
        """As :meth:`pairs`, where a row has two responses or more."""
        return self._items(self._candidates, fit, rejected)

    def _items(self, make: Callable[[Row], T], fit: Callable[[T], T] | None, rejected: Rejected | None) -> Iterator[T]:
        ids: set[int] = set()  # hashes: a set of the ids themselves would grow with the file's longest names
        for row in self._source.rows():
            try:
                if row.problem is not None:
                    raise PairError(f"{row.where}: {row.problem}")
                item = make(row)
                if item.id != row.place:
                    key = hash(json.dumps(item.id))
                    if key in ids:
                        raise PairError(f"{row.where}, id {item.id!r}: an earlier row has the same id; make ids unique")
                    ids.add(key)
                yield fit(item) if fit else item
            except PairError as error:
                if rejected is None:
                    raise
                rejected(row.value, str(error))

    def _pair(self, row: Row) -> Pair:
        return pair_from_row(self._shaped(row, recognise), place=row.place, where=row.where)

    def _sample(self, row: Row) -> Sample:
        return sample_from_row(self._shaped(row), place=row.place, where=row.where)

    def _candidates(self, row: Row) -> Candidates:
        return candidates_from_row(self._shaped(row, recognise_candidates), place=row.place, where=row.where)

    def _shaped(self, row: Row, recognise: Callable[[dict[str, Any]], Shape | None] | None = None) -> Any:
        if not isinstance(row.value, dict):
            return row.value
        if self.shape is None and recognise is not None:
            self.shape = recognise(row.value)
        if self.shape is None:
            return row.value
        try:
            found = self.shape(row.value)
        except ValueError as error:
            raise PairError(f"{row.where}: {error}") from None
        if self._announce and self.shape.describe():
            self._announce(f"{self.name}: {self.shape.describe()}")
            self._announce = None
        return found


@contextmanager
def open_pairs(
    path: str | Path, kind: str | None = None, fields: str | None = None, announce: Callable[[str], None] | None = None
) -> Iterator[Intake]:
    """The pairs of a file, a folder, or standard input for ``-``.

    Args:
        kind: of the file, where its name and beginning do not tell (docs/formats.md).
        fields: ``instruction=prompt,response_0=completions.0,…``, where its shape is none of the usual ones.
        announce: is told which shape was recognised.

    Raises:
        PairError: missing, not readable, or ``fields`` is no mapping.
    """
    with open_rows(str(path), kind) as source:
        yield intake_of(source, fields, announce)


@contextmanager
def open_samples(path: str | Path, kind: str | None = None, fields: str | None = None) -> Iterator[Intake]:
    """As :func:`open_pairs`, for rows with one response."""
    with open_rows(str(path), kind) as source:
        yield intake_of(source, fields, names=SAMPLE_NAMES)


@contextmanager
def open_candidates(
    path: str | Path, kind: str | None = None, fields: str | None = None, announce: Callable[[str], None] | None = None
) -> Iterator[Intake]:
    """As :func:`open_pairs`, for rows with two responses or more."""
    with open_rows(str(path), kind) as source:
        yield intake_of(source, fields, announce, CANDIDATES_NAMES)


def intake_of(
    source: Source, fields: str | None = None, announce: Callable[[str], None] | None = None,
    names: Sequence[str] = PAIR_NAMES,
) -> Intake:  # fmt: skip
    """What an opened source holds; arguments and errors are those of :func:`open_pairs`."""
    try:
        shape = None if fields is None else shape_of_fields(fields, names)
    except ValueError as error:
        raise PairError(f"--fields: {error}") from None
    return Intake(source, shape, announce)


class Rejects:
    """Rows that were set aside: one JSON object a line in a file, or a line each on standard error."""

    def __init__(self, path: Path | None, say: Callable[[str], None]) -> None:
        self.path, self.count, self._say = path, 0, say
        if path is not None:
            path.unlink(missing_ok=True)  # of an earlier run; this one begins at the first row again

    def __call__(self, row: Any, reason: str) -> None:
        self.count += 1
        if self.path is None:
            self._say(f"skipped: {reason}")
            return
        with open(self.path, "a", encoding="utf-8", newline="\n") as stream:
            stream.write(json.dumps({"error": reason, "row": row}, default=str) + "\n")

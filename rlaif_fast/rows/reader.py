"""From the rows of a file to pairs: shapes recognised, ids told apart, bad rows named or set aside."""

from __future__ import annotations

import json
import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from rlaif_fast.errors import PairError
from rlaif_fast.files.opening import open_rows
from rlaif_fast.files.source import Part, Row, Source
from rlaif_fast.rows.candidates import NAMES as CANDIDATES_NAMES
from rlaif_fast.rows.candidates import Candidates, candidates_from_row
from rlaif_fast.rows.candidates import recognise as recognise_candidates
from rlaif_fast.rows.fields import given_id
from rlaif_fast.rows.pairs import Pair, pair_from_row
from rlaif_fast.rows.samples import NAMES as SAMPLE_NAMES
from rlaif_fast.rows.samples import SAMPLES, Sample, sample_from_row
from rlaif_fast.schemas.field_mapping import field_mapping
from rlaif_fast.schemas.known import recognise
from rlaif_fast.schemas.schema import NAMES as PAIR_NAMES
from rlaif_fast.schemas.schema import RowSchema, Taken

T = TypeVar("T", Pair, Sample, Candidates)
Recognise = Callable[[dict[str, Any]], "RowSchema | None"]
Rejected = Callable[[Any, str], None]  # takes the row as it was, and the reason


class RowReader:
    """What an opened source holds.

    Attributes:
        name: of the file, or "stdin".
        restartable: whether rows may be read again, which begins at the beginning.
        shape: how a row gets the contract's names; for pairs and candidates found with the first row that has one.
        taken: what became of the last row that was read.
        origin: that of the source.
    """

    def __init__(
        self, source: Source, shape: RowSchema | None = None, announce: Callable[[str], None] | None = None,
        carry: Collection[str] = (),
    ) -> None:  # fmt: skip
        self._source, self.shape, self._carry = source, shape, carry
        self._announce, self._noted = announce, shape is not None  # who named the fields knows
        self._shown: set[str] = set()
        self._carry_unseen = bool(carry)
        self.taken: Taken | None = None
        self.name, self.restartable, self.origin = source.name, source.restartable, source.origin
        self.title = source.title

    def pairs(self, *, fit: Callable[[Pair], Pair] | None = None, rejected: Rejected | None = None) -> Iterator[Pair]:
        """Pairs in the order of the rows.

        Args:
            fit: makes a pair fit the judge, or raises PairError.
            rejected: is told of each row that is no pair, and reading goes on.

        Raises:
            PairError: at the first row that is no pair, where there is no ``rejected``.
        """
        return self._items(pair_from_row, recognise, fit, rejected)

    def samples(
        self, *, fit: Callable[[Sample], Sample] | None = None, rejected: Rejected | None = None
    ) -> Iterator[Sample]:
        """As :meth:`pairs`, where a row has one response."""
        return self._items(sample_from_row, lambda _: SAMPLES, fit, rejected)

    def candidates(
        self, *, fit: Callable[[Candidates], Candidates] | None = None, rejected: Rejected | None = None
    ) -> Iterator[Candidates]:
        """As :meth:`pairs`, where a row has two responses or more."""
        return self._items(candidates_from_row, recognise_candidates, fit, rejected)

    def _items(
        self, make: Callable[..., T], recognise: Recognise, fit: Callable[[T], T] | None, rejected: Rejected | None
    ) -> Iterator[T]:
        ids = _Ids()
        for row in self._source.rows():
            if self._carry_unseen and isinstance(row.value, dict):
                self._look_for_carried(row.value)
            try:
                if row.problem is not None:
                    raise PairError(f"{row.where}: {row.problem}")
                shaped = self._shaped(row, recognise)
                item = make(shaped, place=row.place if row.key is None else row.key, where=row.where)
                ids.add(item.id, given_id(shaped) is not None or row.key is not None, row)
                yield fit(item) if fit else item
            except PairError as error:
                if rejected is None:
                    raise
                rejected(row.value, str(error))

    def _look_for_carried(self, first: dict[str, Any]) -> None:
        """A name that no table has is an error; later rows of JSON may have other keys than the first."""
        self._carry_unseen = False
        for name in [name for name in self._carry if name not in first]:
            if self._source.kind in ("csv", "tsv", "parquet", "arrow", "hub"):
                raise PairError(f"{self.name}: --carry {name}: there is no such column (there are {', '.join(first)})")
            if self._announce:
                self._announce(f"{self.name}: --carry {name}: the first row has no such column")

    def _shaped(self, row: Row, recognise: Recognise) -> Any:
        if not isinstance(row.value, dict):
            return row.value
        if self.shape is None:
            self.shape = recognise(row.value)
        if self.shape is None:
            return row.value
        try:
            self.taken = taken = self.shape.take(row.value, self._carry)
        except ValueError as error:
            raise PairError(f"{row.where}: {error}") from None
        new = [name for name in taken.shown if name not in self._shown]
        notes = [] if self._noted else [self.shape.describe()]
        notes += [f"{' and '.join(new)} shown with the instruction"] if new else []
        if self._announce and any(notes):
            self._announce(f"{self.name}: {'; '.join(filter(None, notes))}")
        self._noted = True
        self._shown.update(new)
        return taken.row


class _Ids:
    """The ids of the rows so far, each of which may stand once; a row without one has its place as its id."""

    def __init__(self) -> None:
        self._given: set[int] = set()  # hashes: a set of the ids themselves would grow with the file's longest names
        self._at_place, self._places = array("Q"), array("Q")  # ids that are their row's place: given, and not

    def add(self, key: Any, given: bool, row: Row) -> None:
        """Raises PairError where an earlier row has the id, also if that is a place's number as text."""
        at = f"{row.where}, id {key!r}"
        if not given:
            if not {hash(str(key)), hash(f'"{key}"')}.isdisjoint(self._given):
                raise PairError(f"{row.where}: an earlier row has this one's number as its id; give each row an id")
            self._places.append(row.place)
            return
        if isinstance(key, float) and key.is_integer():
            key = int(key)
        name = json.dumps(key)
        number = int(name.strip('"')) if re.fullmatch('"?[0-9]{1,18}"?', name) else 0
        if number and _has(self._places, number):
            raise PairError(f"{at}: its id is the number of an earlier row without an id; give each row an id")
        if hash(name) in self._given or (name[0] != '"' and number and _has(self._at_place, number)):
            raise PairError(f"{at}: an earlier row has the same id; make ids unique")
        if name == str(row.place):
            self._at_place.append(row.place)
        else:
            self._given.add(hash(name))


def _has(ascending: array[int], number: int) -> bool:
    at = bisect_left(ascending, number)
    return at < len(ascending) and ascending[at] == number


@contextmanager
def open_pairs(
    path: str | Path, kind: str | None = None, fields: str | None = None, announce: Callable[[str], None] | None = None,
    *, part: Part = Part(), carry: Collection[str] = (),
) -> Iterator[RowReader]:  # fmt: skip
    """The pairs of a file, a folder, a data set of the hub (``hf://datasets/OWNER/NAME``), or standard input for ``-``.

    Args:
        kind: of the file, where its name and beginning do not tell (docs/formats.md).
        fields: ``instruction=prompt,response_0=completions.0,…``, where its shape is none of the usual ones.
        announce: is told which shape was recognised, and which columns are shown with the instruction.
        part: of a folder or a data set that holds several.
        carry: columns that look like a part of the question and are none.

    Raises:
        PairError: missing, not readable, or ``fields`` is no mapping.
    """
    with open_rows(str(path), kind, part, announce) as source:
        yield row_reader(source, fields, announce, carry=carry)


@contextmanager
def open_samples(
    path: str | Path, kind: str | None = None, fields: str | None = None, announce: Callable[[str], None] | None = None,
    *, part: Part = Part(), carry: Collection[str] = (),
) -> Iterator[RowReader]:  # fmt: skip
    """As :func:`open_pairs`, for rows with one response."""
    with open_rows(str(path), kind, part, announce) as source:
        yield row_reader(source, fields, announce, SAMPLE_NAMES, carry)


@contextmanager
def open_candidates(
    path: str | Path, kind: str | None = None, fields: str | None = None, announce: Callable[[str], None] | None = None,
    *, part: Part = Part(), carry: Collection[str] = (),
) -> Iterator[RowReader]:  # fmt: skip
    """As :func:`open_pairs`, for rows with two responses or more."""
    with open_rows(str(path), kind, part, announce) as source:
        yield row_reader(source, fields, announce, CANDIDATES_NAMES, carry)


def row_reader(
    source: Source, fields: str | None = None, announce: Callable[[str], None] | None = None,
    names: Sequence[str] = PAIR_NAMES, carry: Collection[str] = (),
) -> RowReader:  # fmt: skip
    """What an opened source holds; arguments and errors are those of :func:`open_pairs`."""
    try:
        shape = None if fields is None else field_mapping(fields, names)
    except ValueError as error:
        raise PairError(f"--fields: {error}") from None
    return RowReader(source, shape, announce, carry)


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

"""From the rows of a file to pairs: shapes recognised, ids told apart, bad rows named or set aside."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlaif_fast.errors import PairError
from rlaif_fast.pairs import Pair, pair_from_row
from rlaif_fast.reading import Row, Source, open_rows
from rlaif_fast.shapes import Shape, recognise, shape_of_fields

Rejected = Callable[[Any, str], None]  # takes the row as it was, and the reason


class Intake:
    """The pairs of an opened source.

    Attributes:
        name: of the file, or "stdin".
        restartable: whether :meth:`pairs` may be called again, which begins at the beginning.
        shape: how rows become pairs; found with the first row that has one.
    """

    def __init__(
        self, source: Source, shape: Shape | None = None, announce: Callable[[str], None] | None = None
    ) -> None:
        self._source, self.shape, self._announce = source, shape, announce
        self.name, self.restartable = source.name, source.restartable

    def pairs(self, *, fit: Callable[[Pair], Pair] | None = None, rejected: Rejected | None = None) -> Iterator[Pair]:
        """Pairs in the order of the rows.

        Args:
            fit: makes a pair fit the judge, or raises PairError.
            rejected: is told of each row that is no pair, and reading goes on.

        Raises:
            PairError: at the first row that is no pair, where there is no ``rejected``.
        """
        ids: set[int] = set()  # hashes: a set of the ids themselves would grow with the file's longest names
        for row in self._source.rows():
            try:
                pair = self._pair(row, ids)
                yield fit(pair) if fit else pair
            except PairError as error:
                if rejected is None:
                    raise
                rejected(row.value, str(error))

    def _pair(self, row: Row, ids: set[int]) -> Pair:
        if row.problem is not None:
            raise PairError(f"{row.where}: {row.problem}")
        value = row.value
        if isinstance(value, dict):
            if self.shape is None and (shape := recognise(value)) is not None:
                self.shape = shape
                if self._announce and shape.describe():
                    self._announce(f"{self.name}: {shape.describe()}")
            if self.shape is not None:
                try:
                    value = self.shape(value)
                except ValueError as error:
                    raise PairError(f"{row.where}: {error}") from None
        pair = pair_from_row(value, place=row.place, where=row.where)
        if isinstance(value, dict) and "id" in value:
            key = hash(json.dumps(pair.id))
            if key in ids:
                raise PairError(f"{row.where}, id {pair.id!r}: an earlier row has the same id; make ids unique")
            ids.add(key)
        return pair


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


def intake_of(source: Source, fields: str | None = None, announce: Callable[[str], None] | None = None) -> Intake:
    """The pairs of an opened source; arguments and errors are those of :func:`open_pairs`."""
    try:
        shape = None if fields is None else shape_of_fields(fields)
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

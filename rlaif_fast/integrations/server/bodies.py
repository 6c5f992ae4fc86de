"""From a request's body to items: the rows of a file (docs/formats.md), one or a list of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, TypeVar

from rlaif_fast.errors import PairError, RlaifFastError
from rlaif_fast.files.source import Row, Source
from rlaif_fast.files.strict_json import DECODER, reason
from rlaif_fast.integrations.server.lanes import Lane
from rlaif_fast.rows.candidates import Candidates
from rlaif_fast.rows.fields import envelope
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.rows.reader import row_reader
from rlaif_fast.rows.samples import Sample
from rlaif_fast.schemas.column_names import plain

NAME = "request"  # what messages call it
OPTIONS = ("template", "orders", "on_long", "fields", "carry")  # a request's, in its query
_OF_FILES = ("calibration", "exact", "min_margin", "only_consistent", "mark", "disagreement")  # of the commands alone
I = TypeVar("I", Pair, Sample, Candidates)  # noqa: E741


class BodyError(RlaifFastError):
    """A body that is no JSON, or not the JSON that was asked for."""


def parsed(body: bytes) -> Any:
    """The body's JSON. Raises BodyError."""
    try:
        return DECODER.decode(body.decode().strip())
    except UnicodeDecodeError as error:
        raise BodyError(f"{NAME}: not UTF-8 at byte {error.start}") from None
    except (ValueError, RecursionError) as error:
        raise BodyError(f"{NAME}: not JSON ({reason(error)}); send a row, or a list of rows") from None


def items_of(
    value: Any, lane: Lane[I], fields: str | None = None, carry: Sequence[str] = ()
) -> tuple[list[I], bool]:  # fmt: skip
    """(the items of a body's row or rows, whether it was a list).

    Args:
        fields, carry: as the command line's ``--fields`` and ``--carry``.

    Raises:
        BodyError: rows in an object of their own, as ``{"rows": [...]}``.
        PairError: a row that is no item, or that has a field called as an option; it is named by its number.
    """
    rows = value if isinstance(value, list) else [value]

    def read() -> Iterator[Row]:
        return (Row(place, f"{NAME}, row {place}", row) for place, row in enumerate(rows, 1))

    meant = {*carry, *re.split("[=,+.]", fields or "")}
    try:
        reader = row_reader(Source(NAME, "json", True, read), fields, None, lane.names, carry)
        for row in read():
            _require_no_option(row, meant)
        return list(lane.items(reader)), isinstance(value, list)
    except PairError as error:
        if (name := envelope(value)) is not None:
            raise BodyError(
                f"{NAME}: the rows are in {name!r}; send the row or the list of rows itself, and options"
                f" ({', '.join(OPTIONS)}) as parameters of the query"
            ) from None
        raise PairError(str(error).replace("--fields: ", "fields: ").replace("--fields ", "?fields=")) from None


def _require_no_option(row: Row, meant: Collection[str]) -> None:
    """Raise PairError where a row has a field that is called as an option and is not among those ``meant``.

    A field is carried to the answer, so an option that was put into the row would be left out of account in silence.
    """
    for name in row.value if isinstance(row.value, dict) else ():
        option = plain(name)
        if name in meant or option not in (*OPTIONS, *_OF_FILES):
            continue
        what = "send it in the query" if option in OPTIONS else "the server does not have it"
        raise PairError(
            f"{row.where}: {name!r} is an option and no part of a row; {what} (there is ?"
            f"{'=, ?'.join(OPTIONS)}=). A column of that name is carried with ?carry={name}"
        )

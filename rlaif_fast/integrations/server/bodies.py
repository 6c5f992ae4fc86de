"""From a request's body to items: the rows of a file (docs/formats.md), one or a list of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from rlaif_fast.errors import RlaifFastError
from rlaif_fast.files.source import Row, Source
from rlaif_fast.files.strict_json import DECODER, reason
from rlaif_fast.integrations.server.lanes import Lane
from rlaif_fast.rows.candidates import Candidates
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.rows.reader import row_reader
from rlaif_fast.rows.samples import Sample

NAME = "request"  # what messages call it
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
        PairError: a row that is no item, named by its number as a file's is.
    """
    rows = value if isinstance(value, list) else [value]

    def read() -> Iterator[Row]:
        return (Row(place, f"{NAME}, row {place}", row) for place, row in enumerate(rows, 1))

    reader = row_reader(Source(NAME, "json", True, read), fields, None, lane.names, carry)
    return list(lane.items(reader)), isinstance(value, list)

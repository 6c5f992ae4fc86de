"""What is ranked: :class:`Candidates`, and the rows that become some."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from math import comb
from typing import Any

from rlaif_fast.errors import PairError
from rlaif_fast.rows.fields import checked_row, located, require_texts
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.schemas.cells import items
from rlaif_fast.schemas.field_mapping import read_as
from rlaif_fast.schemas.known import listed
from rlaif_fast.schemas.schema import Row, RowSchema

NAMES = ("instruction", "responses", "id")
HOW = 'make one: from rlaif_fast import Candidates; Candidates(instruction="…", responses=("…", "…"))'


@dataclass(frozen=True, slots=True)
class Candidates:
    """An instruction and N responses to it, at least two; other attributes are those of :class:`Pair`."""

    instruction: str
    responses: tuple[str, ...]
    id: Any = None
    carried: dict[str, Any] = field(default_factory=dict)
    where: str = ""
    shown: str | None = None

    def __post_init__(self) -> None:
        """Raises PairError where there is nothing to rank, or a text is none."""
        require_texts(self, NAMES[:1])
        if not isinstance(self.responses, tuple | list) or not all(isinstance(text, str) for text in self.responses):
            raise PairError(f"{self}: responses must be a tuple of strings")
        if len(self.responses) < 2:
            raise PairError(
                f"{self}: has {len(self.responses) or 'no'} response{'s'[bool(self.responses) :]}, ranking needs two or"
                " more; remove the row, or rate it alone with rlaif-fast score"
            )

    @property
    def bytes(self) -> int:
        """Of the longest pair's texts in UTF-8."""
        longest = sorted(len(text.encode()) for text in self.responses)[-2:]
        return len(self.instruction.encode()) + sum(longest)

    @property
    def first_places(self) -> list[int]:
        """[N] where each response's text stands first: its own place, or an equal one's."""
        places: dict[str, int] = {}
        return [places.setdefault(text, place) for place, text in enumerate(self.responses)]

    @property
    def pair_count(self) -> int:
        """How many :meth:`pairs` gives."""
        return comb(len(set(self.responses)), 2)

    def pairs(self) -> Iterator[tuple[tuple[int, int], Pair]]:
        """((i, j), the pair of responses i < j) of all distinct ones.

        The pairs of the first k come before those with later responses: as dense as pairs can be in a tree.
        """
        distinct = sorted(set(self.first_places))
        for later, j in enumerate(distinct):
            for i in distinct[:later]:
                where = ", ".join(filter(None, (self.where, f"responses {i} and {j}")))
                pair = Pair(self.instruction, self.responses[i], self.responses[j], self.id, {}, where, self.shown)
                yield (i, j), pair

    def __str__(self) -> str:
        return located(self.where, self.id, "the candidates")


def candidates_from_row(row: Any, *, place: int | None = None, where: str = "") -> Candidates:
    """Checked candidates from a parsed row; arguments and errors are those of ``pair_from_row``.

    Equal responses are a tie, no error.
    """
    key, _, carried = checked_row(row, NAMES[:1], place, where, lists=NAMES[1:2])
    return Candidates(row["instruction"], tuple(row["responses"]), key, carried, where)


def recognise(row: Mapping[str, Any]) -> RowSchema | None:
    """The shape of a row; None where it is none of the usual ones."""
    if items(row.get("responses")) is not None:
        return PROMPT if "prompt" in row and "instruction" not in row else OWN
    if items(row.get("completions")) is not None:
        return ULTRAFEEDBACK
    if items(row.get("generations")) is not None:
        return DISTILABEL
    if all(name in row for name in ("instruction", "response_0", "response_1")):
        return COLUMNS
    return None


def _own(row: Mapping[str, Any]) -> tuple[Row, Collection[str]]:
    found = {name: row[name] for name in NAMES[:2] if name in row}
    return read_as(found, NAMES[1:2]), tuple(found)


def _columns(row: Mapping[str, Any]) -> tuple[Row, Collection[str]]:
    names: list[str] = []
    for name in map("response_{}".format, count()):
        if name not in row:
            break
        names.append(name)
    for name in row:
        if re.fullmatch("response_[0-9]+", name) and name not in names and row[name] not in (None, ""):
            raise ValueError(f"has {name} and no response_{len(names)}; number the responses without a gap")
    texts = [row[name] for name in names]
    while len(texts) > 2 and texts[-1] in (None, ""):  # a table has as many columns as its longest row
        texts.pop()
    found = {name: row[name] for name in ("instruction",) if name in row}
    return read_as(found | {"responses": texts}, NAMES[1:2]), (*found, *names)


OWN = RowSchema("own", "", _own)
PROMPT = RowSchema("prompt", "reading prompt as the instruction", lambda row: listed(row, "responses"))
COLUMNS = RowSchema("columns", "reading response_0, response_1 and those that follow as the responses", _columns)
ULTRAFEEDBACK = RowSchema(
    "ultrafeedback", "reading UltraFeedback rows: the completions' responses are the responses",
    lambda row: listed(row, "completions", "response"),
)  # fmt: skip
DISTILABEL = RowSchema(
    "distilabel", "reading distilabel rows: the generations are the responses", lambda row: listed(row, "generations")
)  # fmt: skip

"""What is judged: a :class:`Pair`, and what a row must be to become one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rlaif_fast.errors import PairError
from rlaif_fast.rows.fields import checked_row, located, require_texts

TEXTS = ("instruction", "response_0", "response_1")
HOW = 'make one: from rlaif_fast import Pair; Pair(instruction="…", response_0="…", response_1="…")'


@dataclass(frozen=True, slots=True)
class Pair:
    """An instruction and two responses.

    Attributes:
        instruction: what the responses answer (for the summary template: the text to summarise).
        response_0: shown first in the forward order.
        response_1: shown second in the forward order.
        id: any JSON scalar; a file's rows default to their line number, counted from 1.
        carried: the row's other fields, passed through to the verdict's row.
        where: "file, line N" for messages; empty for pairs made in code.
        shown: the part of the instruction that the judge is shown, where the whole is too long for it.
    """

    instruction: str
    response_0: str
    response_1: str
    id: Any = None
    carried: dict[str, Any] = field(default_factory=dict)
    where: str = ""
    shown: str | None = None

    def __post_init__(self) -> None:
        """Raises PairError where a text is none."""
        require_texts(self, TEXTS)

    @property
    def bytes(self) -> int:
        """Of its texts in UTF-8."""
        return sum(len(text.encode()) for text in (self.instruction, self.response_0, self.response_1))

    def __str__(self) -> str:
        return located(self.where, self.id, "the pair")


def pair_from_row(row: Any, *, place: int | None = None, where: str = "") -> Pair:
    """A checked pair from a parsed row.

    Args:
        place: the row's number, its id where it has none.
        where: "file, line N", what messages begin with.

    Raises:
        PairError: not an object; a field missing, not a string, empty, with a NUL or not valid Unicode; both
            responses the same.
    """
    key, at, carried = checked_row(row, TEXTS, place, where)
    if row["response_0"] == row["response_1"]:
        raise PairError(f"{at}: both responses are the same, there is nothing to prefer; remove the row")
    return Pair(row["instruction"], row["response_0"], row["response_1"], key, carried, where)

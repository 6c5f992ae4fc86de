"""What is scored: :class:`Sample`, and the rows that become one, under the names data sets use."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from rlaif_fast.rows.fields import checked_row, located, require_texts
from rlaif_fast.schemas.prompt_split import asked
from rlaif_fast.schemas.schema import Row, RowSchema

NAMES = ("instruction", "response", "id")
HOW = 'make one: from rlaif_fast import Sample; Sample(instruction="…", response="…")'
_OTHERS = {
    "instruction": ("prompt", "question", "query"), "response": ("completion", "output", "answer")
}  # fmt: skip
_CONVERSATIONS = ("messages", "conversations")  # the response is their last turn


@dataclass(frozen=True, slots=True)
class Sample:
    """An instruction and one response; the other attributes are a :class:`~rlaif_fast.rows.pairs.Pair`'s."""

    instruction: str
    response: str
    id: Any = None
    carried: dict[str, Any] = field(default_factory=dict)
    where: str = ""
    shown: str | None = None

    def __post_init__(self) -> None:
        """Raises PairError where a text is none."""
        require_texts(self, NAMES[:2])

    @property
    def bytes(self) -> int:
        """Of its texts in UTF-8."""
        return len(self.instruction.encode()) + len(self.response.encode())

    def __str__(self) -> str:
        return located(self.where, self.id, "the response")


def sample_from_row(row: Any, *, place: int | None = None, where: str = "") -> Sample:
    """A checked sample from a parsed row; arguments and errors are those of ``pair_from_row``."""
    key, _, carried = checked_row(row, NAMES[:2], place, where)
    return Sample(row["instruction"], row["response"], key, carried, where)


def _read(row: Mapping[str, Any]) -> tuple[Row, Collection[str]]:
    names = {name: next((other for other in (name, *others) if other in row), None) for name, others in _OTHERS.items()}
    question, response = names["instruction"], names["response"]
    if response is None:
        response = next((name for name in _CONVERSATIONS if name in row), None)
    if response is None or (question is None and response not in _CONVERSATIONS):
        found = {name: row[other] for name, other in names.items() if other is not None}
        return found, tuple(other for other in names.values() if other is not None)
    prompt = row[question] if question is not None else None
    asks, (answers,) = asked(prompt, [row[response]], [question or "instruction", response])
    found = {"instruction": asks, "response": answers}
    return found, tuple(name for name in (question, response) if name is not None)


SAMPLES = RowSchema("sample", "", _read)

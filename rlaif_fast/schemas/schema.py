"""What a shape is, and what it makes of a row."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from rlaif_fast.schemas.cells import decoded, items
from rlaif_fast.schemas.labels_from_1 import with_label
from rlaif_fast.schemas.messages import READ
from rlaif_fast.schemas.question_columns import completed, is_looked_at

NAMES = ("instruction", "response_0", "response_1", "id")

Row = dict[str, Any]
Read = Callable[[Mapping[str, Any]], tuple[Row, Collection[str]]]


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a row.

    Attributes:
        row: with the contract's names, and what is carried.
        used: columns whose content is in the contract's fields.
        shown: those of them that stand beside the instruction and are shown with it (docs/formats.md).
        carried: columns that are passed on, unseen by the judge.
        read: the row as it was read.
    """

    row: Row
    used: tuple[str, ...]
    shown: tuple[str, ...]
    carried: tuple[str, ...]
    read: Mapping[str, Any]

    @property
    def ignored(self) -> tuple[str, ...]:
        """Keys inside the columns used that are neither: ``chosen.weight``, ``completions.model``."""
        found: dict[str, None] = {}
        for name in (*self.used, *self.shown):
            value = self.read.get(name)
            for item in items(value) or [value]:
                if isinstance(item, Mapping):
                    found |= {f"{name}.{key}": None for key in item if key not in (*READ, "response")}
        return tuple(found)


@dataclass(frozen=True, slots=True)
class RowSchema:
    """How rows of one kind are read.

    Attributes:
        note: one line for people; empty for the contract's own rows.
        read: (the contract's fields of a row, the names used up); ValueError says what a row lacks.
    """

    name: str
    note: str
    read: Read

    def describe(self) -> str:
        return self.note

    def __call__(self, row: Row) -> Row:
        """The contract's row. Raises ValueError: the reason alone, without the place."""
        return self.take(row).row

    def take(self, row: Row, carry: Collection[str] = ()) -> Taken:
        """The contract's row; what was not used is carried, under ``input_<name>`` where the name is taken.

        Args:
            carry: columns that look like a part of the question and are none.

        Raises:
            ValueError: the reason alone, without the place.
        """
        found, used = self.read(row)
        tops = {top: row[top] for name in used if name not in row and (top := name.partition(".")[0]) in row}
        shown: tuple[str, ...] = ()
        if isinstance(found.get("instruction"), str):
            beside = row | {
                f"{top}.{key}": inner
                for top, value in tops.items()
                for key, inner in _inside(value).items()
                if is_looked_at(key) and not any(f"{name}.".startswith(f"{top}.{key}.") for name in used)
            }
            beside = {name: value for name, value in beside.items() if name not in {*used, *tops, *carry}}
            texts = [text for name in found if name.startswith("response") for text in _each(found[name])]
            found["instruction"], shown = completed(found["instruction"], beside, texts)
        carried = {name: value for name, value in row.items() if name not in used and name not in shown}
        names = {name: _free(name, found, carried) if name in found else name for name in carried}
        taken = found | {names[name]: value for name, value in carried.items()}
        if "response_0" in found:
            taken = with_label(taken)
        used = tuple(name for name in row if name in {*used, *tops})
        return Taken(taken, used, shown, tuple(name for name in carried if name not in used and name != "id"), row)


def _inside(value: Any) -> Mapping[str, Any]:
    value = decoded(value) if isinstance(value, str) else value
    return value if isinstance(value, Mapping) else {}


def _each(texts: Any) -> list[Any]:
    return texts if isinstance(texts, list) else [texts]


def _free(name: str, *taken: Collection[str]) -> str:
    while any(name in names for names in taken):
        name = f"input_{name}"
    return name

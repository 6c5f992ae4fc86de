"""Rows of verdicts, judged here or read from a file, checked and as arrays."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rlaif_fast.errors import EvalError
from rlaif_fast.evaluation.no_verdict import no_verdict
from rlaif_fast.files.source import Row
from rlaif_fast.schemas.human_labels import Label, LeftOut, Maker, maker, read_label, said_maker
from rlaif_fast.schemas.labels_from_1 import FROM_1, one_label

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_NEEDED = ("id", "instruction", "chosen", "rejected", "label", "p1", "p1_by_order")
_LIMIT = 36.0  # of log-odds: beyond it 1 - p has no digits left in float64
_SLACK = 1e-9  # of p1 against the mean of p1_by_order: a file in another format may have been rounded


@dataclass(frozen=True, slots=True)
class Record:
    """A verdict with the label that its row carries.

    Attributes:
        p1_by_order: probability of response_0 in the forward order, then swapped; or in the one order judged.
        human_label: index of the response that people prefer; "tie"; None where nobody was asked.
        task: what kind of pair it is, where the row says so.
        made_by: who preferred, where the row says so.
    """

    id: Any
    instruction: str
    response_0: str
    response_1: str
    p1: float
    p1_by_order: tuple[float, ...]
    human_label: Label
    task: str | None
    made_by: Maker | None = None

    @property
    def label(self) -> int:
        """1 or 2, by the contract's rule."""
        return 1 if self.p1 > 1.0 - self.p1 else 2

    @property
    def key(self) -> str:
        """The id as text, the same whatever format it was read from."""
        return self.id if isinstance(self.id, str) else json.dumps(self.id)


def has_label(row: Mapping[str, Any]) -> bool:
    """Whether a verdict's row carries the label of the row that was judged, be it a gap."""
    return any(name in row for name in (*FROM_1, *FROM_1.values()))


def is_verdict(row: Any) -> bool:
    """Whether a row is a judge's and not a pair to be judged."""
    return isinstance(row, Mapping) and all(name in row for name in ("p1", "p1_by_order", "chosen", "rejected"))


def record_of(row: Row) -> Record:
    """A verdict's row, checked. Raises EvalError with file, line and id."""
    if row.problem is not None:
        raise EvalError(f"{row.where}: {row.problem}")
    if not isinstance(row.value, Mapping):
        raise EvalError(f"{row.where}: a row is a JSON object")
    try:
        return record(row.value)
    except ValueError as error:
        at = f", id {row.value['id']!r}" if "id" in row.value else ""
        raise EvalError(f"{row.where}{at}: {error}") from None


def record(row: Mapping[str, Any]) -> Record:
    """A verdict's row, checked; ValueError says what is wrong, without the place."""
    for name in _NEEDED:
        if name not in row:
            raise ValueError(no_verdict(row, name))
    texts = [row[name] for name in ("instruction", "chosen", "rejected")]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("instruction, chosen and rejected must be strings")
    try:
        json.dumps([row["id"], *texts], ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("the id or a text has a lone surrogate, not valid Unicode") from None
    p1, by_order = _share(row["p1"], "p1"), _shares(row["p1_by_order"])
    if abs(p1 - math.fsum(by_order) / len(by_order)) > _SLACK:
        raise ValueError("p1 is not the mean of p1_by_order")
    label = _number(row["label"], "label")
    if label != (1 if p1 > 1.0 - p1 else 2):
        raise ValueError(f"label {label:g} does not follow from p1 {p1:g}")
    preferred: Label = None
    for name, counted in FROM_1.items():  # in a table every row has all columns
        if preferred is None:
            preferred = read_label(one_label(row, counted, (name,)))
    instruction, chosen, rejected = texts
    return Record(
        row["id"], instruction, *((chosen, rejected) if label == 1 else (rejected, chosen)), p1, by_order,
        preferred, task_of(row), said_maker(row),
    )  # fmt: skip


def task_of(row: Mapping[str, Any]) -> str | None:
    """What kind of pair a row says it is."""
    task = row.get("task")
    return str(task) if isinstance(task, str | int) and task != "" else None


def _number(value: Any, name: str) -> float:
    try:
        if isinstance(value, bool | None):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {value!r}, it must be a number") from None
    except OverflowError:
        raise ValueError(f"{name} is an integer beyond any float") from None


def _share(value: Any, name: str) -> float:
    number = _number(value, name)
    if not 0 <= number <= 1:
        raise ValueError(f"{name} is {number!r}, it must be within 0 and 1")
    return number


def _shares(value: Any) -> tuple[float, ...]:
    if isinstance(value, str):  # a cell of a CSV file
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    if not isinstance(value, list) or len(value) not in (1, 2):
        raise ValueError("p1_by_order must be a list of one or two numbers")
    return tuple(_share(part, "p1_by_order") for part in value)


@dataclass(frozen=True)
class Sample:
    """Labelled verdicts as arrays, one entry a pair.

    Attributes:
        p1: [n] order-averaged probability of response_0.
        by_order: [n, 2] the same when it was shown first, and second; nan for an order not judged.
        human_0: [n] whether people prefer response_0, or who else made the preferences.
        group: [n] number of the pair's instruction, by first appearance.
        longer: [n] 1 where response_0 has more characters, -1 where response_1 has, else 0.
        task: [n]
        made_by: whose preferences they are.
    """

    id: tuple[Any, ...]
    p1: Floats
    by_order: Floats
    human_0: Bools
    group: npt.NDArray[np.int64]
    longer: npt.NDArray[np.int64]
    task: tuple[str | None, ...]
    made_by: Maker = "people"

    def __len__(self) -> int:
        return len(self.p1)

    @property
    def groups(self) -> int:
        return len(np.unique(self.group))

    @property
    def picks_0(self) -> Bools:
        """[n] whether the judge prefers response_0: a tie is response_1's (the contract's rule)."""
        picks: Bools = self.p1 > 1.0 - self.p1
        return picks

    @property
    def right(self) -> Bools:
        """[n] whether judge and people prefer the same."""
        right: Bools = self.picks_0 == self.human_0
        return right

    @property
    def confidence(self) -> Floats:
        """[n] max(p1, p2)."""
        return np.maximum(self.p1, 1.0 - self.p1)

    @property
    def margin(self) -> Floats:
        """[n] |p1 - p2|, what ``judge --min-margin`` looks at."""
        margin: Floats = np.abs(self.p1 - (1.0 - self.p1))
        return margin

    @property
    def log_odds(self) -> Floats:
        """[n, 2] log(p1/p2) of response_0 by order, within +-36."""
        return log_odds_of(self.by_order)

    def where(self, mask: Bools) -> Sample:
        """Some of the pairs, their groups counted anew."""
        return self.take(np.flatnonzero(mask))

    def take(self, at: npt.NDArray[np.int64]) -> Sample:
        """The pairs at these places, in that order, their groups counted anew."""
        return Sample(
            tuple(self.id[i] for i in at), self.p1[at], self.by_order[at], self.human_0[at],
            by_appearance(self.group[at].tolist()), self.longer[at], tuple(self.task[i] for i in at),
            self.made_by,
        )  # fmt: skip


def nothing_labelled(name: str, left_out: LeftOut) -> EvalError:
    """What is raised where no row of a file has a label of 0 or 1, or it has no row."""
    if not str(left_out):
        return EvalError(f"{name}: no rows; give pairs or verdicts whose label is 0 or 1")
    return EvalError(f"{name}: there are no labelled pairs to evaluate ({left_out}); give rows whose label is 0 or 1")


def sample_of(records: Iterable[Record]) -> Sample:
    """Arrays of records whose labels all are 0 or 1. Raises EvalError where there is none at all."""
    rows = list(records)
    if not rows:
        raise EvalError("there are no labelled pairs to evaluate")
    lengths = np.array([(len(row.response_0), len(row.response_1)) for row in rows])
    return Sample(
        tuple(row.id for row in rows),
        np.array([row.p1 for row in rows]),
        by_order_of(rows),
        np.array([row.human_label == 0 for row in rows]),
        by_appearance([row.instruction for row in rows]),
        np.sign(lengths[:, 0] - lengths[:, 1]).astype(np.int64),
        tuple(row.task for row in rows),
        made_by_of(rows),
    )


def made_by_of(records: Sequence[Record]) -> Maker:
    """Whose preferences the labels of records are."""
    return maker([one.human_label for one in records], (one.made_by for one in records))


def by_order_of(records: Iterable[Record]) -> Floats:
    """[n, 2] p1_by_order, nan for an order not judged."""
    return np.array([(*row.p1_by_order, math.nan)[:2] for row in records], np.float64).reshape(-1, 2)


def log_odds_of(p1: Floats) -> Floats:
    """log(p/(1-p)), within +-36."""
    with np.errstate(divide="ignore"):
        odds: Floats = np.clip(np.log(p1) - np.log1p(-p1), -_LIMIT, _LIMIT)
    return odds


def half(instruction: str) -> int:
    """0 or 1, by the last bit of the instruction's sha256: all pairs on an instruction lie in one half."""
    return hashlib.sha256(instruction.encode()).digest()[-1] & 1


def by_appearance(keys: list[Any]) -> npt.NDArray[np.int64]:
    """Numbers of the keys, 0, 1, … as they first appear."""
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)

"""A person's label that counts from 1, as a verdict's own ``label`` does, beside the one that counts from 0.

Files of the field write the index of the preferred response, 0 or 1, and so does ``human_label``. A verdict's
``label`` is 1 or 2. ``human_label_from_1`` says the same as ``human_label`` in the verdict's numbers, so the two can
be compared as they stand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rlaif_fast.schemas.human_labels import Label, read_label

FROM_0 = ("human_label", "file_label")
HUMAN_FROM_1 = "human_label_from_1"
FROM_1 = {"human_label": HUMAN_FROM_1, "file_label": "file_label_from_1"}  # by the name of the one from 0
_COUNTED: dict[str, Label] = {"1": 0, "1.0": 0, "2": 1, "2.0": 1, "1.5": "tie"}


def counted_from_1(value: Any) -> int | None:
    """1 or 2 of a label that counts from 0; None where it prefers neither response, or is no label."""
    try:
        label = read_label(value)
    except ValueError:
        return None
    return label + 1 if isinstance(label, int) else None


def is_no_label(value: Any) -> bool:
    """Whether :func:`counted_from_1` gives None because it does not understand the value, not because it is a tie."""
    try:
        read_label(value)
    except ValueError:
        return True
    return False


def read_from_1(value: Any, name: str = HUMAN_FROM_1) -> Label:
    """The label as :func:`read_label` gives it of one that counts from 1: 1 or 2, 1.5 a tie, in any spelling.

    Raises:
        ValueError: anything else, without the place.
    """
    text = value.strip() if isinstance(value, str) else value
    if not isinstance(text, bool) and str(text) in _COUNTED:
        return _COUNTED[str(text)]
    try:
        label = read_label(value)
    except ValueError:
        label = 0
    if isinstance(label, int) or (label == "tie" and not any(map(str.isalpha, str(value)))):  # 0.5 counts from 0
        raise ValueError(f"{name} is {str(value)[:60]!r}; it is 1 or 2, the number of the preferred response")
    return label


def one_label(row: Mapping[str, Any], name: str, names: Iterable[str]) -> Any:
    """The label of a row that counts from 0: what ``names`` have, or what ``name``, which counts from 1, says.

    Raises:
        ValueError: the two contradict each other, or the one that counts from 1 is none.
    """
    said = read_from_1(row.get(name), name)
    for other in names:
        label: Label | ValueError
        try:
            label = read_label(row.get(other))
        except ValueError as error:
            label = error  # where there is no other, whoever needs a label says what is wrong with it
        if label is not None:
            if said not in (None, label):
                raise ValueError(f"has {other} {row[other]!r} and {name} {row[name]!r}, which contradict; remove one")
            return row[other]
    return said


def with_label(row: dict[str, Any]) -> dict[str, Any]:
    """A pair's row whose ``human_label_from_1``, if it has one, became its ``label``. Raises ValueError."""
    if HUMAN_FROM_1 not in row:
        return row
    label = one_label(row, HUMAN_FROM_1, ("label",))
    return {name: value for name, value in row.items() if name not in (HUMAN_FROM_1, "label")} | {"label": label}


def beside(row: dict[str, Any]) -> dict[str, Any]:
    """A verdict's row with each label that counts from 0 followed by the same one counted from 1."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        found[name] = value
        if name in FROM_1:
            found[FROM_1[name]] = counted_from_1(value)
    return found

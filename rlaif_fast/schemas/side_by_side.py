"""Rows of two responses under names of one kind, and which of them people preferred.

So are the sets of LMSYS and LMArena, JudgeBench, PKU-SafeRLHF, HelpSteer and the Stanford human preferences.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from rlaif_fast.schemas.human_labels import read_label
from rlaif_fast.schemas.prompt_split import asked
from rlaif_fast.schemas.schema import NAMES, Row

_SIDES = (
    ("response_0", "response_1"), ("response_a", "response_b"), ("response_A", "response_B"),
    ("response1", "response2"), ("response_1", "response_2"), ("human_ref_A", "human_ref_B"),
    ("conversation_a", "conversation_b"),
)  # fmt: skip
_PROMPTS = {"human_ref_A": "history", "response1": "context"}  # where none of the usual ones is there
# What values mean, as labels.
_LETTERS: dict[Any, Any] = {"A>B": 0, "A>>B": 0, "B>A": 1, "B>>A": 1, "A=B": "tie"}
_ONE_HOT: dict[Any, Any] = {(1, 0, 0): 0, (0, 1, 0): 1, (0, 0, 1): "tie"}
_INDEX: dict[Any, Any] = {0: 0, 1: 1, None: None}
_FIRST_IS_BETTER: dict[Any, Any] = {1: 0, 0: 1}
_ONE, _OTHER = ({f"{word}{side}" for word in ("", "model", "response", "assistant")} for side in "ab")


def sides_of(row: Mapping[str, Any]) -> tuple[str, str] | None:
    """The names of the two responses; None where there are none, or more than two."""
    found = next((names for names in _SIDES if all(name in row for name in names)), None)
    return None if found and found[0] == "response_1" and "response_3" in row else found


def prompt_beside(names: tuple[str, str], usual: str | None, row: Mapping[str, Any]) -> str | None:
    """The column with the question: the usual one, or the set's own; None where there is none."""
    own = _PROMPTS.get(names[0], "")
    return usual or (own if own in row else None)


def read_sides(row: Mapping[str, Any], usual: str | None) -> tuple[Row, Collection[str]]:
    """(the contract's fields, the names used up).

    Args:
        usual: the column with the question, if it has a usual name.

    Raises:
        ValueError: what the row lacks.
    """
    names = sides_of(row)
    if names is None:
        raise ValueError("has no two responses")
    prompt = prompt_beside(names, usual, row)
    if prompt is None and names[0] != "conversation_a":
        raise ValueError("has no prompt")
    question, texts = asked(row.get(prompt or ""), [row[name] for name in names], [prompt or "prompt", *names])
    found = dict(zip(NAMES, (question, *texts), strict=False)) | _preferred(row, names)
    used = [name for name in (prompt, *names) if name is not None]
    return found, [*used, "label"] if "label" in row else used


def _preferred(row: Mapping[str, Any], names: tuple[str, str]) -> Row:
    """The label, or what it is set aside as; nothing where the row does not say."""
    if "label" in row:
        said = re.sub(r"\s", "", str(row["label"])).upper()
        if said in _LETTERS:
            return {"label": _LETTERS[said], "input_label": row["label"]}  # which tells that no person is named
        # Beside names that count from 1, label 1 is either: nobody can tell.
        return {"input_label" if names[0][-1] == "1" and said in ("1", "1.0") else "label": row["label"]}
    if "winner" in row:
        return _label(_winner(row["winner"], row))
    if all(name in row for name in ("winner_model_a", "winner_model_b")):
        hot = (_number(row["winner_model_a"]), _number(row["winner_model_b"]), _number(row.get("winner_tie")))
        return _label(_ONE_HOT.get(hot, False))
    if names == ("response_0", "response_1") and "better_response_id" in row:
        return _label(_INDEX.get(_number(row["better_response_id"]), False))
    if names == ("human_ref_A", "human_ref_B") and "labels" in row:
        return _label(_FIRST_IS_BETTER.get(_number(row["labels"]), False))
    if names == ("response1", "response2") and "overall_preference" in row:  # -3 to 3
        strength = _number(row["overall_preference"])
        return _label(False if strength is None else "tie" if strength == 0 else int(strength > 0))
    return {}


def _label(label: Any) -> Row:
    """False where the row says nothing that is understood."""
    return {} if label is False else {"label": label}


def _winner(value: Any, row: Mapping[str, Any]) -> Any:
    said = re.sub(r"[\s_]", "", value).lower() if isinstance(value, str) else value
    if said in _ONE or (isinstance(value, str) and value and value == row.get("model_a")):
        return 0
    if said in _OTHER or (isinstance(value, str) and value and value == row.get("model_b")):
        return 1
    try:
        found = read_label(value)
    except ValueError:
        return False
    return found if found in ("tie", None) else False


def _number(value: Any) -> float | None:
    try:
        return None if value is None or (isinstance(value, str) and not value.strip()) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None

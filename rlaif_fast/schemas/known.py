"""The usual shapes of pairs, and which one a row has."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from rlaif_fast.schemas.cells import decoded, items
from rlaif_fast.schemas.field_mapping import read_as
from rlaif_fast.schemas.human_labels import Label, is_judged, read_label, tied
from rlaif_fast.schemas.labels_from_1 import FROM_1, one_label
from rlaif_fast.schemas.prompt_split import asked, begin_alike, is_dialogue
from rlaif_fast.schemas.schema import NAMES, Row, RowSchema
from rlaif_fast.schemas.side_by_side import prompt_beside, read_sides, sides_of

_CHOICES = (("chosen", "rejected"), ("chosen_response", "rejected_response"), ("response_j", "response_k"))
_VERDICT = ("label", "p1", "p2", "p1_by_order", "consistent")  # what a row has that `judge` wrote
_LATER = re.compile("response_([2-9]|[1-9][0-9]+)")
_PROMPTS = ("prompt", "instruction", "question", "query", "conversations", "messages", "input")


def recognise(row: Mapping[str, Any]) -> RowSchema | None:
    """The shape of a row; None where it is none of the usual ones."""
    if all(name in row for name in NAMES[:3]):
        return OWN
    choice = next((names for names in _CHOICES if all(name in row for name in names)), None)
    prompt = _prompt(row)
    if choice == _CHOICES[0] and prompt == "instruction" and all(name in row for name in _VERDICT):
        return VERDICTS
    if choice and prompt == "instruction":
        return replace(NOTEBOOK, note=NOTEBOOK.note.replace("chosen", choice[0]).replace("rejected", choice[1]))
    if choice and (prompt or _has_prompt(row[choice[0]])):
        note = TRL.note.replace("chosen", choice[0]).replace("rejected", choice[1])
        return replace(TRL, note=note.replace("prompt", prompt or "their common beginning"))
    if "instruction" in row and items(row.get("completions")) is not None:
        return ULTRAFEEDBACK
    if ("instruction" in row or "prompt" in row) and items(row.get("generations")) is not None:
        return DISTILABEL
    if all(name in row for name in ("instruction", "output_1", "output_2")):
        return ALPACAEVAL
    if ("instruction" in row or "prompt" in row) and items(row.get("responses")) is not None:
        return RESPONSES
    sides = sides_of(row)
    if sides and ((prompt := prompt_beside(sides, prompt, row)) or sides[0] == "conversation_a"):
        names = (prompt or "their common beginning", *sides)
        note = "reading " + ", ".join(f"{name} as {of}" for name, of in zip(names, NAMES, strict=False))
        return replace(SIDES, note=note)
    return None


def listed(row: Mapping[str, Any], field: str, item: str | None = None) -> tuple[Row, Collection[str]]:
    """({instruction, responses}, names used) where the responses are the list ``field``, or ``item`` of its objects.

    Raises:
        ValueError: what the row lacks.
    """
    texts, name = items(row.get(field)), "instruction" if "instruction" in row else "prompt"
    if texts is None:
        raise ValueError(f"has no list {field}")
    if name not in row:
        raise ValueError("has no instruction")
    if item is not None:
        if not all(isinstance(text, Mapping) and item in text for text in texts):
            raise ValueError(f"has {field} without {item}")
        texts = [text[item] for text in texts]
    return read_as({"instruction": row[name], "responses": texts}, ["responses"]), (name, field)


def _prompt(row: Mapping[str, Any]) -> str | None:
    """The column with the question: the first of the usual ones that has something, or is there at all."""
    there = [name for name in _PROMPTS if name in row]
    there = [name for name in there if name != "input"] or there  # which stands beside the others
    return next((name for name in there if row[name] not in (None, "")), next(iter(there), None))


def _has_prompt(text: Any) -> bool:
    """Whether a response may begin with its prompt."""
    return isinstance(text, list | dict) or is_dialogue(text) or (isinstance(text, str) and decoded(text) is not None)


def _own(row: Mapping[str, Any]) -> tuple[Row, Collection[str]]:
    more = [name for name in row if _LATER.fullmatch(name) and row[name] not in (None, "")]
    if more:
        raise ValueError(f"has {more[0]} too; rank them with rlaif-fast rank, or name two with --fields")
    found = {name: row[name] for name in NAMES[:3] if name in row}
    return read_as(found, NAMES[1:3]), tuple(found)


def _chosen(row: Mapping[str, Any], repeats: bool = True) -> tuple[Row, Collection[str]]:
    choice = next((names for names in _CHOICES if all(name in row for name in names)), None)
    if choice is None:
        raise ValueError("has no chosen or no rejected")
    prompt, (chosen, rejected) = _prompt(row), choice
    texts = [row[chosen], row[rejected]]
    if prompt is None and not any(isinstance(text, list | dict) or _has_prompt(text) for text in texts):
        raise ValueError("has no prompt")
    if prompt in ("input", "conversations", "messages") and begin_alike(texts):
        prompt = None  # a part of the question, as beside an instruction; or the whole with a response
    question, texts = asked(row.get(prompt or ""), texts, [prompt or "prompt", chosen, rejected], repeats)
    if question is None and prompt is None:
        raise ValueError(f"has no prompt, and {chosen} and {rejected} have no beginning up to an answer in common")
    found = dict(zip(NAMES, (question, *texts), strict=False))
    return found, tuple(name for name in (prompt, chosen, rejected) if name is not None)


def _preferred(row: Mapping[str, Any]) -> Row:
    """The label, or what it is set aside as, of a row of ``chosen`` and ``rejected``."""
    if "label" in row:
        # That `rejected` is preferred, or that `chosen` is: nobody can tell.
        return {"input_label": row["label"]} if _label(row["label"]) == 1 else {"label": row["label"]}
    # Beside a soft label the choice is a judge's (`judge --to trl`), no person's.
    return {} if is_judged(row) else {"label": "tie" if tied(row) else 0}


def _label(value: Any) -> Label:
    try:
        return read_label(value)
    except ValueError:
        return None


def _trl(row: Mapping[str, Any]) -> tuple[Row, Collection[str]]:
    found, used = _chosen(row)
    return found | _preferred(row), (*used, "label") if "label" in row else used


def _notebook(row: Mapping[str, Any]) -> tuple[Row, Collection[str]]:
    if "p1" not in row:
        return _trl(row)
    found, used = _chosen(row, repeats=False)
    # Beside probabilities the label is a judge's, no person's; it says which response was which.
    for name, counted in FROM_1.items():
        if name in row or counted in row:
            given = one_label(row, counted, (name,)) if counted in row else row[name]
            label = _label(given)
            found[name] = given if label in (None, "tie") else _turned(int(label == 1), row.get("label"))
    found |= {"input_label": row["label"]} if "label" in row else {}
    return found, (*used, *(name for name in ("label", *FROM_1, *FROM_1.values()) if name in row))


def _turned(label: int, verdict: Any) -> int:
    """The index of people's choice among (chosen, rejected), where a verdict 1 or 2 says which one was chosen."""
    place = str(verdict).strip().removesuffix(".0")
    if place not in ("1", "2") or isinstance(verdict, bool):
        raise ValueError(f"has a human_label, and a label {verdict!r} that does not say which response is chosen")
    return label if place == "1" else 1 - label


def _two(row: Mapping[str, Any], field: str, item: str | None = None) -> tuple[Row, Collection[str]]:
    found, used = listed(row, field, item)
    texts = found["responses"]
    if len(texts) != 2:
        more = "; rank them with rlaif-fast rank" if len(texts) > 2 else ""
        raise ValueError(f"has {len(texts)} {field}, two are needed{more}")
    return dict(zip(NAMES, (found["instruction"], *texts), strict=False)), used


def _alpacaeval(row: Mapping[str, Any]) -> tuple[Row, Collection[str]]:
    names = ("instruction", "output_1", "output_2")
    for name in names:
        if name not in row:
            raise ValueError(f"has no {name}")
    found = read_as({of: row[name] for of, name in zip(NAMES, names, strict=False)}, NAMES[1:3])
    if "label" in row and _label(row["label"]) != 1:
        found["label"] = row["label"]
    else:
        # Label 1: that output_2 is preferred, counted from 0, or that output_1 is, by its number: nobody can tell.
        found |= {"input_label": row["label"]} if "label" in row else {}
        found |= _preference(row["preference"]) if "preference" in row else {}
    return found, (*names, "label") if "label" in row else names


def _preference(value: Any) -> Row:
    """The label that AlpacaEval's preference is: 1 to 2, the nearer output; 1.5 and 0 a tie."""
    try:
        number = float("nan" if value is None or value == "" else value)
    except (TypeError, ValueError, OverflowError):
        return {}
    if isinstance(value, bool) or not (number != number or number == 0 or 1 <= number <= 2):
        return {}
    if number != number:  # nobody was asked
        return {"label": None}
    return {"label": "tie" if number in (0, 1.5) else int(number > 1.5)}


OWN = RowSchema("own", "", _own)
TRL = RowSchema(
    "trl",
    "reading TRL preference rows: prompt is the instruction, chosen is response_0, rejected is response_1",
    _trl,
)
NOTEBOOK = RowSchema(
    "notebook", "reading rows of instruction, chosen and rejected: chosen is response_0, rejected is response_1",
    _notebook,
)  # fmt: skip
VERDICTS = RowSchema(
    "verdicts", "reading verdicts of `judge`, to judge them again: chosen is response_0, rejected is response_1;"
    " `eval` and `diff` take them as they are", _notebook
)  # fmt: skip
ULTRAFEEDBACK = RowSchema(
    "ultrafeedback",
    "reading UltraFeedback rows: the two completions' responses are response_0 and response_1",
    lambda row: _two(row, "completions", "response"),
)
DISTILABEL = RowSchema(
    "distilabel",
    "reading distilabel rows: the two generations are response_0 and response_1",
    lambda row: _two(row, "generations"),
)
ALPACAEVAL = RowSchema(
    "alpacaeval", "reading AlpacaEval rows: output_1 is response_0, output_2 is response_1; the output nearer to"
    " preference is the label", _alpacaeval,
)  # fmt: skip
RESPONSES = RowSchema(
    "responses",
    "reading rows of candidates: the two responses are response_0 and response_1",
    lambda row: _two(row, "responses"),
)
SIDES = RowSchema("sides", "reading two responses", lambda row: read_sides(row, _prompt(row)))

"""Columns beside the instruction that belong to the question: shown with it, carried, or refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from rlaif_fast.shapes.asked import within
from rlaif_fast.shapes.cells import items
from rlaif_fast.shapes.messages import MEDIA, Turn, rendered, turns_of

SYSTEM = ("system", "system_prompt", "system_message")
TOOLS = ("tools", "functions")
HISTORY = ("history",)
BEHIND = ("input", "context")
QUESTIONS = ("prompt", "instruction", "question", "query")
UNSURE = (
    *QUESTIONS, "passage", "passages", "document", "documents", "article", "articles", "background", "conversation",
    "dialogue", "reference_text", "source_text", "retrieved_contexts", "contexts",
)  # fmt: skip
SHOWN = (*SYSTEM, *TOOLS, *HISTORY, *BEHIND)
LOOKED_AT = (*SHOWN, *UNSURE, *MEDIA)
_LONG = 40  # characters; a text as long as this does not stand in another by chance
_CONVERSATION = re.compile(r"(?:^|\n\n)(?:Human|User|Assistant): ")


def completed(instruction: str, beside: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """(the instruction with what ``beside`` has of the question, the columns that were shown for it).

    Args:
        beside: the row's columns that are nothing else.

    Raises:
        ValueError: a column that cannot be shown, or may belong to the question or not.
    """
    found = {name: beside[name] for name in LOOKED_AT if name in beside and _is_there(beside[name])}
    if not found or not instruction.strip():  # an empty one is refused, whatever stands beside it
        return instruction, ()
    for name in MEDIA:
        if name in found:
            raise ValueError(f"has {name}, which a judge of texts cannot be shown; leave it out with --carry {name}")
    shown = [name for name in SHOWN if name in found and not _stands_in(_plain(found[name]), instruction)]
    texts = {name: _text(name, found[name]) for name in shown}
    behind = [texts[name] for name in BEHIND if name in texts]
    asked = "\n".join([instruction, *behind])
    before = [Turn("system", texts[name]) for name in (*SYSTEM, *TOOLS) if name in texts]
    earlier = _history(found["history"]) if "history" in texts else []
    if before or earlier:
        if _CONVERSATION.search(instruction):
            asked = "\n\n".join([rendered([*before, *earlier]), asked])
        else:
            asked = rendered([*before, *earlier, Turn("user", asked)])
    for name in UNSURE:
        if isinstance(found.get(name), str | list | dict) and not _stands_in(_plain(found[name]), asked):
            raise ValueError(
                f"has a column {name} that may belong to the question: show it with --fields"
                f" instruction=…+{name}, or leave it out with --carry {name}"
            )
    return asked, tuple(texts)


def _is_there(value: Any) -> bool:
    if isinstance(value, str):
        return bool(value.strip()) and value.strip() not in ("[]", "{}", "null", "None")
    return value is not None and value != [] and value != {} and value == value


def _text(name: str, value: Any) -> str:
    if name in TOOLS:
        return f"Tools: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
    if name in HISTORY:
        return rendered(_history(value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return json.dumps(value)
    turns = turns_of(value, name)
    if turns is None and not isinstance(value, str):
        raise ValueError(
            f"has a column {name} that is no text: show a part of it with --fields instruction=…+{name}.…,"
            f" or leave it out with --carry {name}"
        )
    return rendered(turns) if turns is not None else str(value)


def _history(value: Any) -> list[Turn]:
    """Earlier turns: messages, or pairs of what was asked and answered."""
    if (turns := turns_of(value, "history")) is not None:
        return turns
    pairs = items(value)
    found: list[Turn] = []
    for pair in pairs or [None]:
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise ValueError("has a history that is no list of messages; leave it out with --carry history")
        found += [Turn("user", pair[0]), Turn("assistant", pair[1])]
    return found


def _plain(value: Any) -> str:
    """A column's text as it is looked for in the instruction."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "\n".join(value)
    try:
        turns = turns_of(value, "")
    except ValueError:
        turns = None
    return rendered(turns) if turns else json.dumps(value, ensure_ascii=False, default=str)


def _stands_in(text: str, instruction: str) -> bool:
    """Whether the instruction shows ``text`` already: as lines of its own, or anywhere if it is long."""
    if f"\n{_lines(text.strip())}\n" in f"\n{_lines(instruction)}\n":
        return True
    flat = " ".join(text.split())
    return len(flat) >= _LONG and within(flat, " ".join(instruction.split()))


def _lines(text: str) -> str:
    return "\n".join(" ".join(line.split()) for line in text.split("\n"))

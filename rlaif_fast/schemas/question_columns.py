"""Columns beside the instruction that belong to the question: shown with it, carried, or refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from rlaif_fast.schemas.cells import decoded, items
from rlaif_fast.schemas.column_names import (
    BEHIND,
    CHOICES,
    HISTORY,
    MEDIA,
    SYSTEM,
    TOOLS,
    UNSURE,
    UNSURE_IF_LONG,
    is_there,
    plain,
)
from rlaif_fast.schemas.message_content import tools_text
from rlaif_fast.schemas.messages import Turn, rendered, turns_of
from rlaif_fast.schemas.prompt_split import within

SHOWN = (*SYSTEM, *TOOLS, *HISTORY, *BEHIND)
_LONG = 40  # characters; a text as long as this does not stand in another by chance
_CONVERSATION = re.compile(r"(?:^|\n\n)(?:Human|User|Assistant): ")


def is_looked_at(name: str) -> bool:
    """Whether a column's name says that it may belong to the question."""
    return plain(name) in (*SHOWN, *UNSURE, *UNSURE_IF_LONG, *MEDIA)


def completed(instruction: str, beside: Mapping[str, Any], responses: Iterable[Any]) -> tuple[str, tuple[str, ...]]:
    """(the instruction with what ``beside`` has of the question, the columns that were shown for it).

    An empty instruction is its ``input``.

    Args:
        beside: the row's columns that are nothing else, and what stands beside the instruction in its own column,
            as ``input.tools``.
        responses: of the row; messages that stand there are no part of the question.

    Raises:
        ValueError: a column that cannot be shown, or may belong to the question or not.
    """
    found = {name: value for name, value in beside.items() if is_there(value)}
    kinds = {name: plain(name.rpartition(".")[2] if "." in name else name) for name in found}
    if not instruction.strip() and not any(kind == "input" for kind in kinds.values()):
        return instruction, ()  # an empty one is refused, whatever stands beside it
    for name, kind in kinds.items():
        if kind in MEDIA:
            raise ValueError(f"has {name}, which a judge of texts cannot be shown; leave it out with --carry {name}")
    shown = sorted((name for name in found if kinds[name] in SHOWN), key=lambda name: SHOWN.index(kinds[name]))
    shown = [name for name in shown if not _stands_in(_plain(found[name]), instruction, kinds[name])]
    texts = {name: _text(name, kinds[name], found[name]) for name in shown}
    asked = "\n".join(filter(str.strip, [instruction, *(texts[name] for name in shown if kinds[name] in BEHIND)]))
    before = [Turn("system", texts[name]) for name in shown if kinds[name] in (*SYSTEM, *TOOLS)]
    for name in shown:
        before += _history(name, found[name]) if kinds[name] in HISTORY else []
    if before:
        if _CONVERSATION.search(instruction):
            asked = "\n\n".join([rendered(before), asked])
        else:
            asked = rendered([*before, Turn("user", asked)])
    others = [name for name in found if kinds[name] not in SHOWN and isinstance(found[name], str | list | dict)]
    seen = " ".join("\n".join([asked, *filter(_is_text, responses)]).split()) if others else ""
    for name in others:
        if _may_belong(kinds[name], found[name], asked, seen):
            raise ValueError(
                f"has a column {name} that may belong to the question: show it with --fields"
                f" instruction=…+{name}, or leave it out with --carry {name}"
            )
    return asked, tuple(texts)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _may_belong(kind: str, value: Any, asked: str, seen: str) -> bool:
    if kind in CHOICES:
        flat = " ".join(asked.split())
        return not all(within(" ".join(text.split()), flat) for text in _leaves(value))
    if kind in UNSURE and not isinstance(value, str) and all(within(" ".join(t.split()), seen) for t in _leaves(value)):
        return False
    if kind in UNSURE:
        return not _stands_in(_plain(value), asked, kind)
    if kind in UNSURE_IF_LONG and (not isinstance(value, str) or len(value) >= _LONG or "\n" in value.strip()):
        return not _stands_in(_plain(value), asked, kind)
    return not _are_seen(value, seen)


def _are_seen(value: Any, seen: str) -> bool:
    """Whether a column's messages, if it has any, are shown already; a last answer is a response more."""
    try:
        turns = turns_of(value, "") if isinstance(value, str | list | dict) else None
    except ValueError:  # a list of objects: of messages that cannot be read, or of anything
        objects = [item for item in items(value) or [] if isinstance(item, dict)]
        return not any({"role", "from", "content"} & set(item) for item in objects)
    if turns and turns[-1].role == "assistant":
        turns = turns[:-1]
    return all(within(turn.key[1], seen) for turn in turns or () if turn.text.strip())


def _leaves(value: Any) -> list[str]:
    """The texts in a list or an object; in a text those of the list that it is."""
    if isinstance(value, str):
        written = decoded(value)
        return _leaves(written) if written is not None else [value]
    if isinstance(value, dict):
        value = value["text"] if "text" in value else list(value.values())
    if isinstance(value, list):
        return [text for inner in value for text in _leaves(inner)]
    return [] if value is None else [str(value)]


def _text(name: str, kind: str, value: Any) -> str:
    if kind in TOOLS:
        return tools_text(value)
    if kind in HISTORY:
        return rendered(_history(name, value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return json.dumps(value)
    turns = turns_of(value, name)
    if turns is None and not isinstance(value, str):
        raise ValueError(
            f"has a column {name} that is no text: show a part of it with --fields instruction=…+{name}.…,"
            f" or leave it out with --carry {name}"
        )
    return rendered(turns) if turns is not None else str(value)


def _history(name: str, value: Any) -> list[Turn]:
    """Earlier turns: messages, or pairs of what was asked and answered."""
    if (turns := turns_of(value, name)) is not None:
        return turns
    pairs = items(value)
    found: list[Turn] = []
    for pair in pairs or [None]:
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise ValueError(f"has a {name} that is not a list of messages; leave it out with --carry {name}")
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


def _stands_in(text: str, instruction: str, kind: str) -> bool:
    """Whether the instruction shows ``text`` already: at an end of it, under its name, or anywhere if it is long.

    A short one may stand there by chance, as one of the words to choose from.
    """
    lines, shown = f"\n{_lines(text.strip())}\n", f"\n{_lines(instruction.strip())}\n"
    if shown.endswith(f": {lines[1:]}") or f"\nHuman: {lines[1:]}" in shown:  # a label's, or a turn's
        return True
    if shown.endswith(lines) or (shown.startswith(lines) and kind not in BEHIND):
        return True
    if re.search(rf"\n\W*{kind.replace('_', '[ _]')}\W*{re.escape(lines.strip())}\n", shown, re.IGNORECASE):
        return True
    flat = " ".join(text.split())
    return len(flat) >= _LONG and within(flat, " ".join(instruction.split()))


def _lines(text: str) -> str:
    return "\n".join(" ".join(line.split()) for line in text.split("\n"))

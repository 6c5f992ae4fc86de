"""Rows as data sets have them, drawn in any of their forms and damaged: read right, or refused in one line.

Right is known because the texts are drawn first: each is one word that stands nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from rlaif_fast.errors import PairError
from rlaif_fast.files.source import Row, Source
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.rows.reader import RowReader

Draw = Callable[..., Any]
_BLANKS = ("", " ", "\n", "  \n")
_ROLES = {"user": ("user", "human", "Human"), "assistant": ("assistant", "gpt", "model"), "system": ("system",)}
_BESIDE = ("input", "context", "system", "system_prompt", "document", "passage", "question", "tools")
_EXTRA = ({}, {"weight": 1}, {"name": None}, {"tool_calls": None}, {"id": 7, "images": []})
DAMAGE = (None, 5, "", [], {}, [{}], [{"role": "user"}], float("nan"), "[{'role': 'user', 'content': 'x'} ...")


def pair_of(row: Any) -> Pair | str:
    """The pair that a row becomes, or why it is none."""
    try:
        (pair,) = RowReader(Source("here", "jsonl", True, lambda: iter([Row(1, "here, line 1", row)]))).pairs()
    except PairError as error:
        return str(error)
    return pair


@st.composite
def rows(draw: Draw) -> tuple[dict[str, Any], list[str], str, str]:
    """(a row, the words of its question in order, the word of each response)."""
    turns = draw(st.integers(1, 3))
    words = [f"Word{number} asks or answers." for number in range(2 * turns - 1)]
    system = draw(st.sampled_from([None, "System0 says so."]))
    asked = [("system", system)] if system else []
    asked += [(("user", "assistant")[number % 2], word) for number, word in enumerate(words)]
    kind = draw(st.sampled_from(["text", "messages", "implicit", "repeated", "dialogue", "own", "list"]))
    a, b = "First0 it is.", "Second0 it is."
    if kind in ("text", "own", "list"):
        asked = asked[-1:]
    if kind == "dialogue":
        asked = [turn for turn in asked if turn[0] != "system"]
    row = _ROWS[kind](draw, asked, a, b)
    question = [text for _, text in asked]
    for name in draw(st.lists(st.sampled_from(_BESIDE), unique=True, max_size=2)):
        row[name] = f"{name.capitalize()}1 is a part."
        question.append(row[name])
    return row, question, a, b


def _message(draw: Draw, role: str, text: str) -> dict[str, Any]:
    spelled, text = draw(st.sampled_from(_ROLES[role])), text + draw(st.sampled_from(_BLANKS))
    extra = draw(st.sampled_from(_EXTRA))
    if draw(st.booleans()):
        return {"from": spelled, "value": text, **extra}
    if draw(st.booleans()):
        return {"role": spelled, "content": [{"type": "text", "text": text}], **extra}
    return {"role": spelled, "content": text, **extra}


def _messages(draw: Draw, turns: list[tuple[str, str]]) -> Any:
    found = [_message(draw, role, text) for role, text in turns]
    plain = all(isinstance(message.get("content"), str) for message in found)
    forms = [lambda: found, lambda: json.dumps(found), lambda: repr(found)]
    if plain:
        forms.append(lambda: {key: [message[key] for message in found] for key in ("role", "content")})
    return draw(st.sampled_from(forms))()


def _explicit(draw: Draw, asked: list[tuple[str, str]], a: str, b: str) -> dict[str, Any]:
    sides = [_messages(draw, [("assistant", text)]) for text in (a, b)]
    return {"prompt": _messages(draw, asked), "chosen": sides[0], "rejected": sides[1]}


def _implicit(draw: Draw, asked: list[tuple[str, str]], a: str, b: str) -> dict[str, Any]:
    sides = [_messages(draw, [*asked, ("assistant", text)]) for text in (a, b)]
    return {"chosen": sides[0], "rejected": sides[1]}


def _repeated(draw: Draw, asked: list[tuple[str, str]], a: str, b: str) -> dict[str, Any]:
    users = [text for role, text in asked if role == "user"]
    prompt = draw(st.sampled_from([lambda: _messages(draw, asked), lambda: users[0] + " ", lambda: users[-1]]))()
    return {"prompt": prompt, **_implicit(draw, asked, a, b)}


def _text(draw: Draw, asked: list[tuple[str, str]], a: str, b: str) -> dict[str, Any]:
    text, between = asked[-1][1], draw(st.sampled_from(["\n", " ", "\n\n"]))
    repeats = draw(st.booleans())
    sides = [f"{text}{between}{side}" if repeats else side for side in (a, b)]
    name = draw(st.sampled_from(["prompt", "instruction"]))
    return {name: text, "chosen": sides[0], "rejected": sides[1]}


def _dialogue(draw: Draw, asked: list[tuple[str, str]], a: str, b: str) -> dict[str, Any]:
    speakers = {"user": "Human", "assistant": "Assistant"}
    before = "".join(f"\n\n{speakers[role]}: {text}" for role, text in asked) + "\n\nAssistant: "
    return {"chosen": before + a, "rejected": before + b}


def _own(draw: Draw, asked: list[tuple[str, str]], a: str, b: str) -> dict[str, Any]:
    return {"instruction": asked[-1][1], "response_0": a, "response_1": b}


def _list(draw: Draw, asked: list[tuple[str, str]], a: str, b: str) -> dict[str, Any]:
    forms: list[dict[str, Any]] = [
        {"generations": [a, b]}, {"generations": json.dumps([a, b])}, {"responses": [a, b]},
        {"completions": [{"response": a}, {"response": b}]}, {"completions": {"response": [a, b]}},
        {"output_1": a, "output_2": b},
    ]  # fmt: skip
    return {"instruction": asked[-1][1], **draw(st.sampled_from(forms))}


_ROWS = {
    "text": _text, "messages": _explicit, "implicit": _implicit, "repeated": _repeated, "dialogue": _dialogue,
    "own": _own, "list": _list,
}  # fmt: skip

"""From a row as some data set has it to the contract's row: instruction, response_0, response_1, maybe id."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NAMES = ("instruction", "response_0", "response_1", "id")
_SPEAKERS = {"user": "Human", "human": "Human", "assistant": "Assistant"}

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """How rows of one kind are read.

    Attributes:
        note: one line for people; empty for the contract's own rows.
        read: (the contract's fields of a row, the names used up); ValueError says what a row lacks.
    """

    name: str
    note: str
    read: Callable[[Mapping[str, Any]], tuple[Row, Collection[str]]]

    def describe(self) -> str:
        return self.note

    def __call__(self, row: Row) -> Row:
        """The contract's row; what was not used is carried, under ``input_<name>`` where the name is taken.

        Raises:
            ValueError: the reason alone, without the place.
        """
        found, used = self.read(row)
        carried = {name: value for name, value in row.items() if name not in used}
        return found | {(_free(name, found, carried) if name in found else name): carried[name] for name in carried}


def recognise(row: Mapping[str, Any]) -> Shape | None:
    """The shape of a row; None where it is none of the usual ones."""
    pair = "chosen" in row and "rejected" in row
    if all(name in row for name in NAMES[:3]):
        return OWN
    if pair and ("prompt" in row or (isinstance(row["chosen"], list) and "instruction" not in row)):
        return TRL
    if pair and "instruction" in row:
        return NOTEBOOK
    if "instruction" in row and isinstance(row.get("completions"), list):
        return ULTRAFEEDBACK
    if ("instruction" in row or "prompt" in row) and isinstance(row.get("generations"), list):
        return DISTILABEL
    if all(name in row for name in ("instruction", "output_1", "output_2")):
        return ALPACAEVAL
    if ("instruction" in row or "prompt" in row) and isinstance(row.get("responses"), list):
        return RESPONSES
    return None


def is_judged(row: Collection[str]) -> bool:
    """Whether a row in TRL's shape was written by ``judge --to trl``, so that a judge chose."""
    return all(name in row for name in ("soft_label", "margin", "consistent"))


def shape_of_fields(text: str, names: Sequence[str] = NAMES) -> Shape:
    """The shape of ``instruction=prompt,response_0=completions.0,…``; a field that is not named has its own name.

    Raises:
        ValueError: no such mapping.
    """
    paths = {name: name for name in names if name != "id"}
    seen: set[str] = set()
    for part in text.split(","):
        name, equals, path = (piece.strip() for piece in part.partition("="))
        if not equals or not path or "" in path.split("."):
            raise ValueError(f"{part.strip()!r} is no NAME=PATH, as in instruction=prompt,response_0=completions.0")
        if name not in names:
            raise ValueError(f"{name!r} is none of {', '.join(names)}")
        if name in seen:
            raise ValueError(f"{name} is named twice")
        seen.add(name)
        paths[name] = path

    def read(row: Mapping[str, Any]) -> tuple[Row, Collection[str]]:
        found = {name: _at(row, path) for name, path in paths.items()}
        return {name: read_as(name, value) for name, value in found.items()}, paths.values()

    return Shape("fields", "reading " + ", ".join(f"{path} as {name}" for name, path in paths.items()), read)


def read_as(name: str, value: Any) -> Any:
    """The value of the contract's field ``name``: conversations as text, an id as it is."""
    if name == "responses" and isinstance(value, list):
        return [said(text) for text in value]
    return value if name == "id" else said(value)


def _at(row: Mapping[str, Any], path: str) -> Any:
    if path in row:
        return row[path]
    value: Any = row
    parts = path.split(".")
    for place, part in enumerate(parts):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif part == "*" and isinstance(value, list):
            rest = ".".join(parts[place + 1 :])
            return [_at(item, rest) for item in value] if rest else value
        elif isinstance(value, list) and re.fullmatch(r"[0-9]{1,9}", part) and int(part) < len(value):
            value = value[int(part)]
        else:
            raise ValueError(f"has no {path}" if part == path else f"has no {path} ({part!r} is not there)")
    return value


def _free(name: str, *taken: Collection[str]) -> str:
    while any(name in names for names in taken):
        name = f"input_{name}"
    return name


def _own(row: Mapping[str, Any]) -> tuple[Row, Collection[str]]:
    return dict(row), row.keys()


def _trl(row: Mapping[str, Any]) -> tuple[Row, Collection[str]]:
    prompt, chosen, rejected = row.get("prompt"), row.get("chosen"), row.get("rejected")
    if isinstance(chosen, list) and isinstance(rejected, list):
        _check(chosen, "chosen")
        _check(rejected, "rejected")
        shared = 0  # the last message of each is its response, whatever it is
        while shared < min(len(chosen), len(rejected)) - 1 and chosen[shared] == rejected[shared]:
            shared += 1
        before, chosen, rejected = chosen[:shared], said(chosen[shared:]), said(rejected[shared:])
        if isinstance(prompt, str):
            prompt = [] if any(message["content"] == prompt for message in before) else [_user(prompt)]
        elif isinstance(prompt, list):
            _check(prompt, "prompt")
            prompt = [] if before[: len(prompt)] == prompt else prompt
        elif prompt is not None:
            raise ValueError("prompt is neither text nor messages")
        prompt = [*(prompt or []), *before]
        if not prompt:
            raise ValueError("has no prompt, and chosen and rejected begin with no message in common")
    elif isinstance(chosen, list) or isinstance(rejected, list):
        raise ValueError("one of chosen and rejected is text, the other a list of messages")
    elif "prompt" not in row:
        raise ValueError("has no prompt")
    found = {"instruction": said(prompt), "response_0": chosen, "response_1": rejected}
    # Beside a soft label the choice is a judge's (`judge --to trl`), no person's.
    people = "label" not in row and not is_judged(row)
    return found | ({"label": 0} if people else {}), ("prompt", "chosen", "rejected")


def _notebook(row: Mapping[str, Any]) -> tuple[Row, Collection[str]]:
    if "chosen" not in row or "rejected" not in row:
        raise ValueError("has no chosen or no rejected")
    names = ("instruction", "chosen", "rejected")
    found = dict(zip(NAMES, (said(row.get(name)) for name in names), strict=False))
    # Beside probabilities the label is a judge's, and was said of other positions: no person's.
    if "p1" in row and "label" in row:
        return found | {"input_label": row["label"]}, (*names, "label")
    return found, names


def listed(row: Mapping[str, Any], field: str, item: str | None = None) -> tuple[str, list[Any]]:
    """(the instruction's field, texts) of a row whose responses are the list ``field``, or ``item`` of its objects.

    Raises:
        ValueError: what the row lacks.
    """
    texts, name = row.get(field), "instruction" if "instruction" in row else "prompt"
    if not isinstance(texts, list):
        raise ValueError(f"has no list {field}")
    if name not in row:
        raise ValueError("has no instruction")
    if item is not None:
        if not all(isinstance(text, Mapping) and item in text for text in texts):
            raise ValueError(f"has {field} without {item}")
        texts = [text[item] for text in texts]
    return name, [said(text) for text in texts]


def _two(row: Mapping[str, Any], field: str, item: str | None = None) -> tuple[Row, Collection[str]]:
    name, texts = listed(row, field, item)
    if len(texts) != 2:
        more = "; rank them with rlaif-fast rank" if len(texts) > 2 else ""
        raise ValueError(f"has {len(texts)} {field}, two are needed{more}")
    return dict(zip(NAMES, (said(row[name]), *texts), strict=False)), (name, field)


def _alpacaeval(row: Mapping[str, Any]) -> tuple[Row, Collection[str]]:
    names = ("instruction", "output_1", "output_2")
    for name in names:
        if name not in row:
            raise ValueError(f"has no {name}")
    found = {of: row[name] for of, name in zip(NAMES, names, strict=False)}
    preference = row.get("preference")
    if not isinstance(preference, bool) and preference in (1, 2) and "label" not in row:
        found["label"] = int(preference) - 1
    return found, names


def _user(text: str) -> Row:
    return {"role": "user", "content": text}


def _is_messages(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_message, value))


def _is_message(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(value.get(name), str) for name in ("role", "content"))


def _check(value: Any, name: str) -> None:
    if not _is_messages(value):
        raise ValueError(f"{name} is no list of messages with a role and a text as content")


def said(value: Any) -> Any:
    """The text of a conversation; what is none stays as it is, for the contract's own check."""
    if not _is_messages(value):
        return value
    if len(value) == 1:
        return value[0]["content"]
    system = [message["content"] for message in value if message["role"] == "system"]
    said = [
        f"{_SPEAKERS.get(message['role'], message['role'].capitalize())}: {message['content']}"
        for message in value if message["role"] != "system"
    ]  # fmt: skip
    return "\n\n".join(system + said)


OWN = Shape("own", "", _own)
TRL = Shape(
    "trl",
    "reading TRL preference rows: prompt is the instruction, chosen is response_0, rejected is response_1",
    _trl,
)
NOTEBOOK = Shape(
    "notebook", "reading the notebook's records: chosen is response_0, rejected is response_1", _notebook
)  # fmt: skip
ULTRAFEEDBACK = Shape(
    "ultrafeedback",
    "reading UltraFeedback rows: the two completions' responses are response_0 and response_1",
    lambda row: _two(row, "completions", "response"),
)
DISTILABEL = Shape(
    "distilabel",
    "reading distilabel rows: the two generations are response_0 and response_1",
    lambda row: _two(row, "generations"),
)
ALPACAEVAL = Shape(
    "alpacaeval", "reading AlpacaEval rows: output_1 is response_0, output_2 is response_1", _alpacaeval
)  # fmt: skip
RESPONSES = Shape(
    "responses",
    "reading rows of candidates: the two responses are response_0 and response_1",
    lambda row: _two(row, "responses"),
)

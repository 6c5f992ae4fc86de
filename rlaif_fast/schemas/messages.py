"""A conversation's turns, as data sets write messages, and the text that a judge is shown."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlaif_fast.schemas.cells import decoded, items, looks_like_messages
from rlaif_fast.schemas.column_names import CALLS, MEDIA, THOUGHTS, TOOLS, is_there
from rlaif_fast.schemas.message_content import (
    TEXTS,
    calls_of,
    content_of,
    refuse_unseen,
    text_of,
    thoughts_of,
    tools_of,
)

_ROLES = {
    "human": "user", "prompter": "user", "gpt": "assistant", "model": "assistant", "bot": "assistant",
    "ai": "assistant", "chatgpt": "assistant", "chatbot": "assistant", "developer": "system", "function": "tool",
    "ipython": "tool", "observation": "tool", "tool_response": "tool", "function_response": "tool",
}  # fmt: skip
_CALLS = ("function_call", "tool_call")  # roles of ShareGPT
_ASKING = ("user", "human", "prompter")
_KNOWN = {"user", "assistant", "system", "tool", *_ROLES, *_CALLS}
_SPEAKERS = {"user": "Human", "assistant": "Assistant"}
_WHOLE = ("messages", "conversations", "conversation")
READ = ("role", "from", "type", "name", "refusal", *TEXTS, *CALLS, *THOUGHTS, *TOOLS, *MEDIA)
_ASIDE = ("id", "weight", "additional_kwargs", "response_metadata", "example", "tool_call_id", "annotations", "loss")


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side said.

    Attributes:
        role: user, assistant, system, tool, or another as the data set spells it.
        text: all of it, calls of tools included.
    """

    role: str
    text: str

    @property
    def key(self) -> tuple[str, str]:
        """What turns are compared by: blanks do not matter."""
        return self.role, " ".join(unicodedata.normalize("NFC", self.text).split())


def turns_of(value: Any, name: str) -> list[Turn] | None:
    """The turns of a conversation; None where ``value`` is none.

    Args:
        value: messages with ``role`` and ``content`` or ``from`` and ``value``: a list, one alone, an object of lists,
            or any of these as text.
        name: of the column, for messages.

    Raises:
        ValueError: messages that cannot be read, or say more than text can.
    """
    if isinstance(value, str):
        found = _written(value)
        if found is None or not _is_conversation(found):
            if found is None and looks_like_messages(value):
                raise ValueError(f"{name} looks like messages, but is neither JSON nor a Python literal; write JSON")
            return None
        value = found
    if isinstance(value, Mapping):
        value = _list_of(value, name)
    if not isinstance(value, list) or not any(isinstance(item, Mapping) for item in value):
        return None
    if not all(map(_is_message, value)):
        raise ValueError(f"{name} is not a list of messages with a role and a text as content")
    speakers = {message.get("name") for message in value if _role(message).strip().lower() in _ASKING}
    return [_turn(message, name, named=len(speakers) > 1) for message in value]


def rendered(turns: Sequence[Turn]) -> str:
    """A conversation as text: one turn is its text, several are ``Human: …`` and ``Assistant: …`` by turns.

    System turns at the beginning stand bare before the others.
    """
    if len(turns) == 1:
        return turns[0].text
    system, others = split_system(turns)
    said = [f"{_SPEAKERS.get(turn.role, turn.role.capitalize())}: {turn.text}" for turn in others]
    return "\n\n".join([turn.text for turn in system] + said)


def split_system(turns: Sequence[Turn]) -> tuple[list[Turn], list[Turn]]:
    """(the system turns that have a text, at the beginning; the turns behind them)."""
    first = next((n for n, turn in enumerate(turns) if turn.role != "system"), len(turns))
    return [turn for turn in turns[:first] if turn.text.strip()], list(turns[first:])


def _written(text: str) -> Any:
    """The list or object in a text, also where it was written as JSON twice."""
    found = decoded(text)
    if found is None and text.lstrip()[:1] == '"':
        try:
            inner = json.loads(text)
        except (ValueError, RecursionError):
            return None
        found = decoded(inner) if isinstance(inner, str) else None
    return found


def _list_of(value: Mapping[str, Any], name: str) -> Any:
    """The messages of an object: itself, an object of lists (as Parquet keeps a list of objects), or ``messages``."""
    if isinstance(_role(value), str):
        return [value]
    if isinstance(_role(value), list):
        return items({key: inner for key, inner in value.items() if isinstance(inner, list)}) or [{}]
    key = _whole(value)
    if key is None:
        return value
    more = next((other for other in value if other != key and is_there(value[other])), None)
    if more is not None:
        raise ValueError(f"{name} has {key} and {more}; name what is meant, as in --fields instruction={name}.{key}")
    return items(value[key])


def _whole(value: Mapping[str, Any]) -> str | None:
    return next((key for key in _WHOLE if key in value and _is_conversation(items(value[key]))), None)


def _is_conversation(value: Any) -> bool:
    """Whether what a text holds is messages: a JSON object may be an answer, and have a role."""
    if isinstance(value, Mapping):
        return (
            (_is_message(value) and _known(value) and not _foreign(value))
            or (isinstance(_role(value), list) and any(isinstance(value.get(key), list) for key in TEXTS))
            or _whole(value) is not None
        )
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        return False
    return any(_is_message(item) and _known(item) for item in value) and all(
        isinstance(_role(item), str) and (_known(item) or not _foreign(item)) for item in value
    )


def _is_message(value: Any) -> bool:
    if not isinstance(value, Mapping) or not isinstance(_role(value), str):
        return False
    says = any(key in value for key in TEXTS) or any(is_there(value.get(key)) for key in (*CALLS, "refusal"))
    return says and (_known(value) or not _foreign(value))


def _known(message: Mapping[str, Any]) -> bool:
    return _role(message).strip().lower() in _KNOWN


def _foreign(message: Mapping[str, Any]) -> bool:
    """Whether it has what no message has: a record ``{"from": "Rome", "to": "Paris", "value": 12}``."""
    return any(key not in READ and key not in _ASIDE and is_there(message[key]) for key in message)


def _role(message: Mapping[str, Any]) -> Any:
    found = next((message[key] for key in ("role", "from") if message.get(key) is not None), None)
    kind = message.get("type")
    if found is None and isinstance(kind, str) and kind.lower() in _KNOWN:  # LangChain's
        return kind
    return found


def _turn(message: Mapping[str, Any], name: str, named: bool) -> Turn:
    spelled = _role(message).strip()
    refuse_unseen(message, name)
    content, calls = content_of(message, name), calls_of(message, name)
    if content is None and isinstance(message.get("refusal"), str):
        content = message["refusal"]
    if content is None and not calls:
        raise ValueError(f"{name} has a message whose content is null")
    text = text_of(content, name)
    if spelled.lower() in _CALLS:
        calls, text, spelled = [f"Tool call: {text}"], "", "assistant"
    role = _ROLES.get(spelled.lower(), spelled.lower())
    if (role == "tool" or (named and role == "user")) and isinstance(message.get("name"), str) and message["name"]:
        text = f"{message['name']}: {text}"
    thoughts = [
        f"<think>\n{thought.strip()}\n</think>" for thought in thoughts_of(message, name) if thought not in text
    ]
    behind = [*tools_of(message), *calls]
    return Turn(role, "\n\n".join([*thoughts, *([text] if text or not behind else []), *behind]))

"""A conversation's turns, as data sets write messages, and the text that a judge is shown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlaif_fast.shapes.cells import decoded, items, looks_like_messages

_ROLES = {
    "human": "user", "prompter": "user", "gpt": "assistant", "model": "assistant", "bot": "assistant",
    "chatgpt": "assistant", "chatbot": "assistant", "developer": "system", "function": "tool", "ipython": "tool",
    "observation": "tool",
}  # fmt: skip
_SPEAKERS = {"user": "Human", "assistant": "Assistant"}
_THOUGHTS = ("reasoning_content", "reasoning", "thinking")
MEDIA = ("image", "images", "image_url", "image_urls", "video", "videos", "audio", "audios")
READ = ("role", "content", "from", "value", "name", "refusal", "tool_calls", "function_call", *_THOUGHTS, *MEDIA)


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
        return self.role, " ".join(self.text.split())


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
        found = decoded(value)
        if found is None or not _is_conversation(found):
            if found is None and looks_like_messages(value):
                raise ValueError(f"{name} looks like messages, but is neither JSON nor a Python literal; write JSON")
            return None
        value = found
    if isinstance(value, Mapping):
        if isinstance(_role(value), str):
            value = [value]
        elif isinstance(_role(value), list):  # an object of lists, as Parquet keeps a list of objects
            columns = {key: inner for key, inner in value.items() if isinstance(inner, list)}
            value = items(columns) or [{}]
    if not isinstance(value, list) or not any(isinstance(item, Mapping) for item in value):
        return None
    if not all(map(_is_message, value)):
        raise ValueError(f"{name} is no list of messages with a role and a text as content")
    return [_turn(message, name) for message in value]


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


def _is_conversation(value: Any) -> bool:
    if isinstance(value, dict):
        return _is_message(value) or isinstance(_role(value), list)
    return bool(value) and all(map(_is_message, value))


def _is_message(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(_role(value), str) and ("content" in value or "value" in value)


def _role(message: Mapping[str, Any]) -> Any:
    return message["role"] if message.get("role") is not None else message.get("from")


def _content(message: Mapping[str, Any]) -> Any:
    return message["content"] if message.get("content") is not None else message.get("value")


def _turn(message: Mapping[str, Any], name: str) -> Turn:
    spelled = _role(message).strip()
    for key in MEDIA:
        if message.get(key):
            raise ValueError(f"{name} has a message with {key}, which a judge of texts cannot be shown")
    content, calls = _content(message), _calls(message, name)
    if content is None and isinstance(message.get("refusal"), str):
        content = message["refusal"]
    if content is None and not calls:
        raise ValueError(f"{name} has a message whose content is null")
    text = _text(content, name)
    if spelled.lower() == "function_call":  # ShareGPT's
        calls, text, spelled = [f"Tool call: {text}"], "", "assistant"
    role = _ROLES.get(spelled.lower(), spelled.lower())
    if role == "tool" and isinstance(message.get("name"), str) and message["name"]:
        text = f"{message['name']}: {text}"
    thoughts = [f"<think>\n{thought.strip()}\n</think>" for thought in _thoughts(message, name) if thought not in text]
    return Turn(role, "\n\n".join([*thoughts, *([text] if text or not calls else []), *calls]))


def _thoughts(message: Mapping[str, Any], name: str) -> list[str]:
    found = {key: message[key] for key in _THOUGHTS if message.get(key)}
    for key, value in found.items():
        if not isinstance(value, str):
            raise ValueError(f"{name} has a message whose {key} is no text")
    return list(dict.fromkeys(value for value in found.values() if value.strip()))


def _calls(message: Mapping[str, Any], name: str) -> list[str]:
    calls = message.get("tool_calls") or []
    calls = decoded(calls) if isinstance(calls, str) else calls
    if message.get("function_call"):
        calls = [*(calls or []), message["function_call"]]
    if not isinstance(calls, list):
        raise ValueError(f"{name} has tool calls that are no list")
    found: list[str] = []
    for call in calls:
        function = call.get("function") or call if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise ValueError(f"{name} has tool calls without a function's name")
        arguments = function.get("arguments")
        if not isinstance(arguments, str):
            arguments = json.dumps(_present(arguments), ensure_ascii=False)
        found.append(f"Tool call: {function['name']} {arguments}")
    return found


def _present(value: Any) -> Any:
    """Without the gaps that a table's columns put into objects."""
    return {key: inner for key, inner in value.items() if inner is not None} if isinstance(value, dict) else value


def _text(content: Any, name: str) -> str:
    """The text of a message's content: text, or parts that are texts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    parts = [content] if isinstance(content, Mapping) else items(content)
    if parts is None or not parts:
        raise ValueError(f"{name} is no list of messages with a role and a text as content")
    text = ""
    for part in parts:
        piece = _part(part, name)
        apart = not text or not piece or text[-1].isspace() or piece[0].isspace()
        text += piece if apart else "\n" + piece
    return text


def _part(part: Any, name: str) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        raise ValueError(f"{name} is no list of messages with a role and a text as content")
    kind = part.get("type")
    extra = next((key for key in MEDIA if part.get(key)), None)
    if extra is not None or (kind is not None and kind not in ("text", "input_text", "output_text")):
        raise ValueError(f"{name} has content of type {extra or kind}, which a judge of texts cannot be shown")
    if not isinstance(part.get("text"), str):
        raise ValueError(f"{name} is no list of messages with a role and a text as content")
    return str(part["text"])

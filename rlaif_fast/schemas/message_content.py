"""What one message says, as text: its content and its parts, thoughts, calls of tools."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rlaif_fast.schemas.cells import decoded, items
from rlaif_fast.schemas.column_names import CALLS, INSIDE, MEDIA, THOUGHTS, TOOLS, is_there, plain

TEXTS = ("content", "value", "text", "parts")
_KINDS = ("text", "input_text", "output_text", "refusal", "thinking")


def content_of(message: Mapping[str, Any], name: str) -> Any:
    """What stands under the first key of a content that has something, or is there.

    Raises:
        ValueError: a content that cannot be read, or two that differ.
    """
    there = [message[key] for key in TEXTS if message.get(key) is not None]
    full = [value for value in there if value != [] and not (isinstance(value, str) and not value.strip())]
    if len(full) > 1:
        texts = {" ".join(text_of(value, name).split()) for value in full if isinstance(value, str | list | dict)}
        if len(texts) > 1:
            keys = [key for key in TEXTS if message.get(key) in full]
            raise ValueError(f"{name} has a message whose {' and '.join(keys)} differ; remove one")
    return next(iter(full or there), None)


def refuse_unseen(message: Mapping[str, Any], name: str) -> None:
    """Raises ValueError where a message has images, documents and the like beside its content."""
    for key, value in message.items():
        if plain(key) in MEDIA and is_there(value):
            raise ValueError(f"{name} has a message with {key}, which a judge of texts cannot be shown")
        if plain(key) in INSIDE and is_there(value):
            raise ValueError(
                f"{name} has a message with {key} beside its content; write it into the content, or remove the key"
            )


def thoughts_of(message: Mapping[str, Any], name: str) -> list[str]:
    found = {key: message[key] for key in THOUGHTS if message.get(key)}
    for key, value in found.items():
        if not isinstance(value, str):
            raise ValueError(f"{name} has a message whose {key} is no text")
    return list(dict.fromkeys(value for value in found.values() if value.strip()))


def tools_of(message: Mapping[str, Any]) -> list[str]:
    """The tools that a message offers."""
    return [tools_text(value) for key, value in message.items() if plain(key) in TOOLS and is_there(value)]


def tools_text(value: Any) -> str:
    return f"Tools: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"


def calls_of(message: Mapping[str, Any], name: str) -> list[str]:
    """The calls of a message, a text each."""
    more = message.get("additional_kwargs")  # LangChain's
    found: list[str] = []
    for holder in (message, more if isinstance(more, Mapping) else {}):
        for key in CALLS:
            if is_there(holder.get(key)) or (isinstance(holder.get(key), list) and holder[key]):
                found += [call for call in _calls(holder[key], key, name) if call not in found]
    return found


def _calls(calls: Any, key: str, name: str) -> list[str]:
    if isinstance(calls, str):
        written = decoded(calls)
        if written is None and key != "tool_calls":
            return [f"Tool call: {calls.strip()}"]
        calls = written
    if isinstance(calls, Mapping) and key != "tool_calls":
        calls = [calls]
    if not isinstance(calls, list):
        raise ValueError(f"{name} has tool calls that are no list")
    return [_call(call, name) for call in calls]


def _call(call: Any, name: str) -> str:
    function = call.get("function") or call if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise ValueError(f"{name} has tool calls without a function's name")
    keys = ("arguments", "args", "parameters", "input")
    arguments = next((function[key] for key in keys if function.get(key) is not None), None)
    if not isinstance(arguments, str):
        arguments = json.dumps(_present(arguments), ensure_ascii=False)
    return f"Tool call: {function['name']} {arguments}"


def _present(value: Any) -> Any:
    """Without the gaps that a table's columns put into objects."""
    return {key: inner for key, inner in value.items() if inner is not None} if isinstance(value, dict) else value


def text_of(content: Any, name: str) -> str:
    """The text of a message's content: text, or parts that are texts."""
    if content is None:
        return ""
    if isinstance(content, str):
        parts = decoded(content)
        if not isinstance(parts, list) or not parts or not all(map(_is_part, parts)):
            return content
    else:
        parts = [content] if isinstance(content, Mapping) else items(content)
    if parts is None or not parts:
        raise ValueError(f"{name} is not a list of messages with a role and a text as content")
    text = ""
    for part in parts:
        piece = _part(part, name)
        apart = not text or not piece or text[-1].isspace() or piece[0].isspace()
        text += piece if apart else "\n" + piece
    return text


def _is_part(part: Any) -> bool:
    """Whether this is a part of a content surely, also where it stands in a text."""
    return isinstance(part, Mapping) and (part.get("type") in _KINDS or plain(str(part.get("type"))) in MEDIA)


def _part(part: Any, name: str) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        raise ValueError(f"{name} is not a list of messages with a role and a text as content")
    kind = part.get("type")
    extra = next((key for key in part if plain(key) in MEDIA and is_there(part[key])), None)
    if extra is not None or (kind is not None and kind not in _KINDS):
        raise ValueError(f"{name} has content of type {extra or kind}, which a judge of texts cannot be shown")
    text = part.get(kind) if kind in ("refusal", "thinking") else part.get("text")
    if not isinstance(text, str):
        raise ValueError(f"{name} is not a list of messages with a role and a text as content")
    return f"<think>\n{text.strip()}\n</think>\n\n" if kind == "thinking" else text

"""The shape that ``--fields`` names."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rlaif_fast.schemas.cells import decoded, items
from rlaif_fast.schemas.human_labels import is_judged, tied
from rlaif_fast.schemas.labels_from_1 import HUMAN_FROM_1, read_from_1
from rlaif_fast.schemas.prompt_split import asked
from rlaif_fast.schemas.schema import NAMES, Row, RowSchema
from rlaif_fast.wording import meant

# What a pair may have besides, if it is named: the preferred response counted from 0 or from 1, and the kind of pair.
_OF_A_PAIR = ("label", HUMAN_FROM_1, "task")


def field_mapping(text: str, names: Sequence[str] = NAMES) -> RowSchema:
    """The shape of ``instruction=prompt,response_0=completions.0,…``; a field that is not named has its own name.

    ``a+b`` is the texts of both, a line each. Of a pair ``label``, ``human_label_from_1`` and ``task`` may be named.
    Where response_0 is taken from ``chosen`` and response_1 from ``rejected``, the label is 0, unless one is
    there, a judge chose, or their scores are the same (a tie).

    Raises:
        ValueError: no such mapping.
    """
    paths = {name: name for name in names if name != "id"}
    more = _OF_A_PAIR if "response_0" in names else ()
    seen: set[str] = set()
    for part in text.split(","):
        name, equals, path = (piece.strip() for piece in part.partition("="))
        if not equals or not path or "" in path.split("."):
            raise ValueError(f"{part.strip()!r} is not NAME=PATH, as in instruction=prompt,response_0=completions.0")
        if name not in (*names, *more):
            exchanged = path in (*names, *more)
            hint = f"; the judge's field comes first: {path}={name}" if exchanged else meant(name, (*names, *more))
            raise ValueError(f"{name!r} is none of {', '.join((*names, *more))}{hint}")
        if name in seen:
            raise ValueError(f"{name} is named twice")
        seen.add(name)
        paths[name] = path
    if {"label", HUMAN_FROM_1} <= seen:
        raise ValueError(f"label and {HUMAN_FROM_1} are the same label, counted from 0 and from 1; name one of them")
    responses = [name for name in paths if name.startswith("response")]
    chosen = [paths[name].partition(".")[0] for name in responses] == ["chosen", "rejected"]

    def read(row: Mapping[str, Any]) -> tuple[Row, Collection[str]]:
        found = {name: _found(row, name, path) for name, path in paths.items() if name not in ("id", *more)}
        texts = read_as(found, responses)
        texts |= {name: _at(row, paths[name]) for name in more if name in paths}
        if HUMAN_FROM_1 in texts:  # as the label, beside which one of the row's own has another name
            texts["label"] = read_from_1(texts.pop(HUMAN_FROM_1))
        if chosen and not is_judged(row) and not any(name in (*row, *texts) for name in ("label", HUMAN_FROM_1)):
            texts["label"] = "tie" if tied(row) else 0
        if "id" in paths:
            texts["id"] = _at(row, paths["id"])
        return texts, [path for name in paths for path in _parts(row, paths[name])]

    return RowSchema("fields", "reading " + ", ".join(f"{path} as {name}" for name, path in paths.items()), read)


def read_as(found: Row, responses: Sequence[str]) -> Row:
    """The contract's fields with conversations as text.

    Args:
        responses: names of the fields with a response each, or of the one list ``responses``.
    """
    if "instruction" not in found or any(name not in found for name in responses):
        return dict(found)
    if list(responses) == ["responses"]:
        many = items(found["responses"])
        if many is None:
            return dict(found)
        names = [f"responses.{place}" for place in range(len(many))]
        question, texts = asked(found["instruction"], many, ["instruction", *names]) if many else (None, [])
        return found | {"responses": texts} | ({"instruction": question} if many else {})
    question, texts = asked(found["instruction"], [found[name] for name in responses], ["instruction", *responses])
    return found | {"instruction": question} | dict(zip(responses, texts, strict=True))


def _parts(row: Mapping[str, Any], path: str) -> list[str]:
    return [path] if path in row else path.split("+")


def _found(row: Mapping[str, Any], name: str, path: str) -> Any:
    """What stands at the path of a field. Raises ValueError, with the row's names where the field was not mapped."""
    try:
        return _joined(row, path)
    except ValueError as error:
        if path != name:
            raise
        has = ", ".join(map(repr, row)) or "none"
        raise ValueError(f"{error} (the row has {has}); add {name}=… to --fields") from None


def _joined(row: Mapping[str, Any], path: str) -> Any:
    """What stands at a path, or at several that are joined by ``+``."""
    values = [_at(row, part.strip()) for part in _parts(row, path)]
    if len(values) == 1:
        return values[0]
    if not all(isinstance(value, str) for value in values):
        raise ValueError(f"has no texts at {path}")
    return "\n".join(value for value in values if value.strip())


def _at(row: Mapping[str, Any], path: str) -> Any:
    if path in row:
        return row[path]
    value: Any = row
    parts = path.split(".")
    for place, part in enumerate(parts):
        if isinstance(value, str):
            value = decoded(value)
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

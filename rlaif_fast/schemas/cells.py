"""Lists and objects that stand as text in a cell: CSV has no others, and other files have them too."""

from __future__ import annotations

import ast
import json
import re
import warnings
from typing import Any

_OPENS = re.compile(
    r"""\s*(?:array\(\s*)?\[\s*\{|\s*\{\s*['"](?:role|content|from|value)['"]\s*:\s*(?:array\(\s*)?\["""
)
_KEYS = (re.compile(r"""['"](?:role|from)['"]\s*:"""), re.compile(r"""['"](?:content|value)['"]\s*:"""))
_HEAD = 2000  # characters in which a list of messages shows that it is one


def decoded(text: str) -> Any:
    """The list or object that ``text`` is in JSON or as a Python literal; None where it is neither."""
    start = text.lstrip()[:1]
    if start not in ("[", "{"):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = _literal(text.strip())
    return found if isinstance(found, list | dict) else None


def _literal(text: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an escape that Python does not know is a text's own backslash
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            return None


def looks_like_messages(text: str) -> bool:
    """Whether somebody wrote messages here, in whatever notation (NumPy's, say, which cannot be read back)."""
    return bool(_OPENS.match(text)) and all(key.search(text[:_HEAD]) for key in _KEYS)


def items(value: Any) -> list[Any] | None:
    """A list as files have it: itself, as text in a cell, or an object of lists (Parquet); None for anything else."""
    if isinstance(value, str):
        value = decoded(value)
    if isinstance(value, dict) and value and all(isinstance(inner, list) for inner in value.values()):
        if len({len(inner) for inner in value.values()}) != 1:
            return None
        return [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]
    return value if isinstance(value, list) else None

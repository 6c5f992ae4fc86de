"""Lists and objects that stand as text in a cell: CSV has no others, and other files have them too."""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
import warnings
from itertools import pairwise
from typing import Any

_NAMED = r"""\{\s*['"](?:role|content|from|value)['"]\s*:"""
_OPENS = re.compile(rf"""\s*(?:array\(\s*)?\[\s*\{{|\s*{_NAMED}\s*(?:array\(\s*)?\[|\s*{_NAMED}[^\n]*\}}\s*\n\s*\{{""")
_BEGINS = re.compile(rf"""\s*(?:array\(\s*)?\[\s*{_NAMED}""")
_STARTS = re.compile(r"\s*[\[{]")
_JOINED = re.compile(r"""(['"])\1""")
_KEYS = (re.compile(r"""['"](?:role|from)['"]\s*:"""), re.compile(r"""['"](?:content|value)['"]\s*:"""))


def decoded(text: str) -> Any:
    """The list or object that ``text`` is in JSON or as a Python literal; None where it is neither."""
    if not _STARTS.match(text):
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
            found = ast.literal_eval(text)
            # Two literals side by side are one to Python; here somebody doubled a quote, as CSV does.
            return None if _JOINED.search(text) and _joins(text) else found
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            return None


def _joins(text: str) -> bool:
    kinds = [token.type for token in tokenize.generate_tokens(io.StringIO(text).readline)]
    return (tokenize.STRING, tokenize.STRING) in pairwise(kinds)


def looks_like_messages(text: str) -> bool:
    """Whether somebody wrote messages here, in whatever notation (NumPy's, say, which cannot be read back)."""
    return bool(_BEGINS.match(text)) or (bool(_OPENS.match(text)) and all(key.search(text) for key in _KEYS))


def turn_texts(value: Any) -> list[str] | None:
    """The texts of a list of texts, also as text in a cell; None for anything else."""
    found = decoded(value) if isinstance(value, str) else value
    return found if isinstance(found, list) and found and all(isinstance(text, str) for text in found) else None


def items(value: Any) -> list[Any] | None:
    """A list as files have it: itself, as text in a cell, or an object of lists (Parquet); None for anything else."""
    if isinstance(value, str):
        value = decoded(value)
    if isinstance(value, dict) and value and all(isinstance(inner, list) for inner in value.values()):
        if len({len(inner) for inner in value.values()}) != 1:
            return None
        return [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]
    return value if isinstance(value, list) else None

"""Numbers in sentences, and the word that was meant."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

_LIKE = 0.75  # of difflib's ratio, from which on a word is worth suggesting


def counted(count: int, noun: str) -> str:
    """``1 pair``, ``2 pairs``, ``1,000 rows``: a count with its noun, whose plural ends in s."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def near(word: str, words: Collection[str]) -> str | None:
    """The one of ``words`` that ``word`` is a slip of, or the beginning of; None where none is near."""
    if len(word) < 3:
        return None
    begun = [one for one in words if len(one) > 2 and (one.startswith(word) or word.startswith(one))]
    found = get_close_matches(word, begun or words, n=1, cutoff=0.0 if begun else _LIKE)
    return found[0] if found else None


def meant(word: str, words: Collection[str]) -> str:
    """``; did you mean 'both'?``, to stand behind what is wrong with ``word``, whatever its case; or nothing."""
    found = near(word.lower(), {one.lower(): one for one in words})
    return next((f"; did you mean {one!r}?" for one in words if one.lower() == found), "")

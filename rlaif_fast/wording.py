"""Numbers in sentences, and the word that was meant."""

from __future__ import annotations

from collections.abc import Collection


def counted(count: int, noun: str) -> str:
    """``1 pair``, ``2 pairs``, ``1,000 rows``: a count with its noun, whose plural ends in s."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def near(word: str, words: Collection[str]) -> str | None:
    """The one of ``words`` that ``word`` is a slip of, or the beginning of; None where none is near.

    A slip changes, adds, drops or exchanges at most one letter in four.
    """
    if len(word) < 3:
        return None
    begun = [one for one in words if len(one) > 2 and (one.startswith(word) or word.startswith(one))]
    found = {one: distance(word, one) for one in (begun or words)}
    best = min(found, key=found.__getitem__, default=None)
    return best if best is not None and (begun or found[best] <= max(1, len(word) // 4)) else None


def distance(a: str, b: str) -> int:
    """Letters to change, add, drop or exchange with the next one, to make ``b`` of ``a``."""
    above: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, before, row = row, above, [i]
        for j, y in enumerate(b, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (x != y)))
            if i > 1 and j > 1 and x == b[j - 2] and y == a[i - 2]:
                row[j] = min(row[j], before[j - 2] + 1)
    return row[-1]

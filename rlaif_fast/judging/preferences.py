"""The preference pairs that are written of rankings, and how many are not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from rlaif_fast import arguments
from rlaif_fast.files.keeping import Keep, Sieve
from rlaif_fast.judging.ranking import Which, pairs_of
from rlaif_fast.wording import counted


class Preferences:
    """Which pairs of a ranking's responses become rows.

    Attributes:
        sieve: what they go through; it counts them.
    """

    def __init__(self, which: Which = "best-worst", keep: Keep = Keep()) -> None:
        arguments.one_of("which", which, get_args(Which))
        self.which, self.sieve = which, Sieve(keep)

    def of(self, row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The verdict rows of a ranking's row, before the sieve."""
        return pairs_of(row, self.which)

    def figures(self, ranked: int) -> list[str]:
        """What the closing line says of them."""
        if (kept := self.sieve.kept) is None:
            return []
        found = [self.sieve.line("preference pair")]
        without = ranked - kept - self.sieve.dropped.total()
        if self.which == "best-worst" and without:
            found.append(f"{counted(without, 'row')} without one")
        return found

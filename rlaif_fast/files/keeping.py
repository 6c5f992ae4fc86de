"""Which of the finished rows are written, and how many are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from rlaif_fast import arguments
from rlaif_fast.wording import counted

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Keep:
    """Which verdicts, or scores, are kept.

    Attributes:
        min_margin: of a verdict's |p1 - p2|.
        only_consistent: no verdicts whose two orders name different responses.
        mark: keep all, and say it in a last field ``kept``.
        min_mass: of a score's mass.
    """

    min_margin: float = 0.0
    only_consistent: bool = False
    mark: bool = False
    min_mass: float = 0.0

    def __post_init__(self) -> None:
        """Raises ArgumentError where one is none."""
        for name in ("min_margin", "min_mass"):
            arguments.share(name, getattr(self, name))
        for name in ("only_consistent", "mark"):
            arguments.flag(name, getattr(self, name))

    def faults(self, row: Row) -> list[str]:
        """Why a row is not kept; nothing where it is."""
        found = []
        if self.min_margin and abs(row["p1"] - row["p2"]) < self.min_margin:
            found.append("below the margin")
        if self.only_consistent and row["consistent"] is False:
            found.append("inconsistent")
        if self.min_mass and row["mass"] < self.min_mass:
            found.append("below the mass")
        return found

    def __call__(self, row: Row) -> Row | None:
        """The row to write; None for none."""
        if self == Keep():
            return row
        kept = not self.faults(row)
        if not self.mark:
            return row if kept else None
        aside = "input_kept"
        while aside in row:
            aside = f"input_{aside}"
        return {aside if name == "kept" else name: value for name, value in row.items()} | {"kept": kept}


class Sieve:
    """Lets the rows through that are written, and counts them.

    Attributes:
        kept: rows of the latest pass over all of them; None before there was one.
        dropped: the others, by what is wrong with them; with ``mark`` they are written too.
    """

    def __init__(self, keep: Keep = Keep()) -> None:
        self.keep = keep
        self.kept: int | None = None
        self.dropped: Counter[str] = Counter()

    def __call__(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows to write. Counting begins anew: a table's columns are looked for in a pass of its own."""
        self.kept, self.dropped = 0, Counter()
        for row in rows:
            if faults := self.keep.faults(row):
                self.dropped[" and ".join(faults)] += 1
            else:
                self.kept += 1
            if (written := self.keep(row)) is not None:
                yield written

    @property
    def selects(self) -> bool:
        """Whether it can drop or mark a row at all."""
        return self.keep != Keep()

    @property
    def leaves_nothing(self) -> bool:
        """Whether not one row is written of those that came."""
        return self.kept == 0 and not (self.keep.mark and self.dropped)

    def line(self, what: str) -> str:
        """How many were kept, for people; ``what`` is one of them. Empty where nothing came through."""
        if self.kept is None:
            return ""
        if not self.selects:
            return counted(self.kept, what)
        how = "marked" if self.keep.mark else "dropped"
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(self.dropped.items()))
        return f"{counted(self.kept, what)} kept and {self.dropped.total():,} {how}" + (
            f" ({reasons})" if reasons else ""
        )

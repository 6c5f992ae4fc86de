"""Which files of a folder are the parts of one whole, and whether all of them are there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ENDINGS = (".parquet", ".arrow", ".jsonl", ".ndjson", ".csv", ".tsv", ".json")  # of one text in several, the first
_PACKED = re.compile(r"\.(gz|zst)$")
_OF = re.compile(r"(.*?)[-_.]?(\d+)[-_.]of[-_.](\d+)(?!\d)")  # and a digest behind it, as datasets once wrote
_SPARK = re.compile(r"(.*?)[-_.]?(\d{5})-(?:tid-\d+-)?[0-9a-f]{8}-[0-9a-f-]{27}")
_LAST = re.compile(r"(.*?)[-_.]?(?:(?<![a-z])(?:part|shard|chunk)[-_.]?)?(\d+)$")
_VERSION = re.compile(r"(?:^|[-_.])(?:v|version)[-_.]?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Part:
    """A file, by its name.

    Attributes:
        whole: what it is a part of; the name itself where it has no number.
        number: its place; None where it has none.
        total: how many parts there are, where the name says so.
    """

    path: Path
    whole: str
    number: int | None = None
    total: int | None = None

    @property
    def stem(self) -> str:
        return stem_of(self.path.name)


def stem_of(name: str) -> str:
    """A file's name without its ending and that of its packing."""
    return _PACKED.sub("", name).rpartition(".")[0]


def ending_of(name: str) -> str:
    """``.jsonl`` of train.jsonl.gz."""
    return "." + _PACKED.sub("", name.lower()).rpartition(".")[2]


def part_of(path: Path) -> Part:
    stem = stem_of(path.name)
    if found := _OF.match(stem):
        return Part(path, found[1], int(found[2]), int(found[3]))
    found = _SPARK.match(stem) or _LAST.match(stem)
    if found is None or len(found[2]) > 9 or _VERSION.search(found[1]):
        return Part(path, stem)
    return Part(path, found[1] or stem.rstrip("-_.0123456789"), int(found[2]))


def wholes(paths: Sequence[Path]) -> dict[str, list[Part]]:
    """Files by what they are parts of.

    Numbers that begin neither at 0 nor at 1 are no places (test2023, test2024): each such file is a whole of its own.
    """
    found: dict[str, list[Part]] = {}
    for part in map(part_of, paths):
        found.setdefault(part.whole, []).append(part)
    named: dict[str, list[Part]] = {}
    for whole, parts in found.items():
        numbers = [part.number for part in parts if part.number is not None]
        counted = any(part.total for part in parts) or (numbers and min(numbers) <= 1)
        if len({part.stem for part in parts}) > 1 and not (counted and len(numbers) == len(parts)):
            for part in parts:
                named.setdefault(part.stem, []).append(Part(part.path, part.stem))
        else:
            named.setdefault(whole, []).extend(parts)
    return named


def in_order(parts: Sequence[Part]) -> list[Path]:
    """The files of one whole.

    Raises:
        ValueError: which are missing, or there twice.
    """
    kinds: dict[str, list[Part]] = {}
    for part in parts:
        kinds.setdefault(part.path.name[len(part.stem) :].lower(), []).append(part)
    if len({frozenset(part.stem for part in same) for same in kinds.values()}) > 1:
        raise ValueError(f"has files of several kinds ({', '.join(sorted(kinds))}), give one of them")
    parts = kinds[min(kinds, key=lambda name: (ENDINGS.index(ending_of(f"x{name}")), len(name)))]
    complete(parts)
    return [part.path for part in sorted(parts, key=lambda part: natural(str(part.path)))]


def complete(parts: Sequence[Part]) -> None:
    """Raises ValueError where the parts' numbers have a gap, or one is there twice."""
    series: dict[tuple[Path, str], list[Part]] = {}
    for part in parts:
        if part.number is not None:
            series.setdefault((part.path.parent, part.whole), []).append(part)
    for same in series.values():
        totals, numbers = {part.total for part in same}, [part.number for part in same if part.number is not None]
        if len(totals) > 1 or len(set(numbers)) < len(numbers):
            names = " and ".join(sorted(part.path.name for part in same)[:2])
            raise ValueError(f"has parts of different sets ({names}), remove those of an earlier version")
        total, first = same[0].total, min(1, *numbers)
        if total is None and len(same) == 1:
            continue
        if total is not None and first == 1 and max(numbers) < total:
            first = 0  # as datasets counts
        wanted = range(first, (max(numbers) if total is None else first + total - 1) + 1)
        gaps = [str(number) for number in wanted if number not in set(numbers)]
        if gaps:
            which = ", ".join(gaps[:3]) + (", …" if len(gaps) > 3 else "")
            raise ValueError(f"lacks {len(gaps)} of {len(wanted)} parts ({which}), download it again")


def natural(name: str) -> list[tuple[int, str]]:
    """By which names are sorted: part-2 before part-10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", name)]


def one(named: Mapping[str, object], name: str) -> str:
    """``name`` as the mapping has it, whatever its case; itself where that is not one."""
    alike = [other for other in named if other.casefold() == name.casefold()]
    return name if name in named or len(alike) != 1 else alike[0]

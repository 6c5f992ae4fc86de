"""Files of a data set's folder: saved by ``datasets``, or downloaded."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlaif_fast.errors import PairError
from rlaif_fast.files.compression import DAMAGE, unpacked
from rlaif_fast.files.shards import ENDINGS, Part, ending_of, in_order, natural, one, stem_of, wholes

_META = re.compile(r"(?:dataset_infos?|dataset_dict|state|metadata|(?:.*[-_])?config|package)\.json", re.IGNORECASE)
_LOOKED_AT = 1 << 16  # bytes of a .json file, which may be anything
_SHOWN, _FEW = 8, 3  # files to choose from; names of others
_SPLIT = re.compile(r"(?<![a-z])(train(?:ing)?|test(?:ing)?|eval(?:uation)?|dev|val(?:id(?:ation)?)?)(?![a-z])")


def shards_of(folder: Path, split: str | None = None) -> list[Path]:
    """The files of a data set's folder, in order.

    Args:
        split: by name; None where the folder holds one.

    Raises:
        PairError: none, several splits or data sets to choose from, or no such split.
    """
    splits = _saved(folder / "dataset_dict.json", lambda found: [str(name) for name in found["splits"]])
    if splits is not None:
        saved = folder / _chosen(folder, {name: [folder / name] for name in splits}, split)
        return _listed(saved) or shards_of(saved)
    files = _listed(folder)
    if files is not None:
        if split is not None:
            raise PairError(f"{folder}: a single split, which has no name here; leave --split out")
        return files
    sets = _sets(folder)
    if split is not None and len(sets) > 1:
        sets = {where: named for where, named in sets.items() if one(named, split) in named} or sets
    if len(sets) > 1:
        more = f", with --split {split}" if split is not None else ""
        names = " or ".join(str(folder / where) for where in sorted(sets))
        raise PairError(f"{folder}: holds {len(sets)} data sets, give one of them{more}: {names}")
    if not sets:
        raise PairError(
            f"{folder}: a folder without a saved data set or files of rows ({', '.join(ENDINGS)}); {_held(folder)},"
            " give a file of pairs"
        )
    named = next(iter(sets.values()))
    chosen = _chosen(folder, {name: [part.path for part in parts] for name, parts in named.items()}, split)
    try:
        return in_order(named[chosen])
    except ValueError as error:
        raise PairError(f"{folder}: {chosen or 'the data set'} {error}") from None


def _chosen(folder: Path, splits: dict[str, list[Path]], split: str | None) -> str:
    """The split's name as it is written there."""
    if split is not None and (name := one(splits, split)) in splits:
        return name
    if len(splits) == 1 and split is None:
        return next(iter(splits))
    if split is not None:
        named = ", ".join(name for name in sorted(splits) if name) or "none with a name"
        raise PairError(f"{folder}: has no split {split} ({named}); give one that it has")
    if any(paths[0].is_file() and not _SPLIT.search(name.lower()) for name, paths in splits.items()):
        raise PairError(f"{folder}: {_files(splits)}")
    files = " or ".join(str(paths[0]) if len(paths) == 1 else str(paths[0].parent) for paths in splits.values())
    names = " or ".join(f"--split {name}" for name in sorted(splits) if name)
    raise PairError(f"{folder}: holds {len(splits)} splits, give one of them: {files or 'none is listed'}; {names}")


def _files(wholes: dict[str, list[Path]]) -> str:
    """What is said of files that are no splits of one data set: those to choose from, the first few of them."""
    choices: list[str] = []
    for name, paths in wholes.items():
        several = len({stem_of(path.name) for path in paths}) > 1
        choices += [f"--split {name} ({len(paths)} files)"] if several else map(str, paths)
    more = f", or {len(choices) - _SHOWN} more" if len(choices) > _SHOWN else ""
    count = sum(map(len, wholes.values()))
    return f"holds {count} files of rows, give one of them: {' or '.join(choices[:_SHOWN])}{more}"


def _held(folder: Path) -> str:
    """What lies in a folder that has no rows, in a few words."""
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return f"it holds {', '.join(names[:_FEW])}{more}" if names else "it is empty"


def _sets(folder: Path) -> dict[str, dict[str, list[Part]]]:
    """Files of rows by data set and split, by their names and those of the folders above."""
    found: dict[tuple[str, str | None], list[Path]] = {}
    for path in _data_files(folder):
        where = [part for part in path.relative_to(folder).parts[:-1] if part != "data"]
        stem, split = stem_of(path.name), None
        if where and _SPLIT.search(where[-1].lower()) and not _SPLIT.search(stem.lower()):
            split = where.pop()
        elif where and re.match(rf"{re.escape(where[-1])}(?![a-z])", stem):
            where.pop()
        found.setdefault(("/".join(where), split), []).append(path)
    sets: dict[str, dict[str, list[Part]]] = {}
    for (at, split), paths in found.items():
        for whole, parts in wholes(paths).items():
            name = whole if split is None else split
            sets.setdefault(at, {}).setdefault(name, []).extend(parts)
    return sets


def _is_hidden(part: str) -> bool:
    return part.startswith((".", "__MACOSX"))


def _data_files(folder: Path) -> list[Path]:
    """Those in the folder and the two levels below it."""
    paths = [path for depth in ("*", "*/*", "*/*/*") for path in folder.glob(depth)]
    shown = [
        path for path in paths if not any(part.startswith((".", "__MACOSX")) for part in path.relative_to(folder).parts)
    ]
    found = [path for path in shown if ending_of(path.name) in ENDINGS and path.is_file()]
    found = [path for path in found if ending_of(path.name) != ".json" or _has_rows(path)]
    return sorted(found, key=lambda path: natural(str(path)))


def _has_rows(path: Path) -> bool:
    """Whether a .json file is an array, or JSON Lines; what describes a data set is one object."""
    if _META.fullmatch(path.name):
        return False
    try:
        with open(path, "rb") as file:
            head = unpacked(file, str(path))[1].read(_LOOKED_AT).lstrip()
        if head.startswith(b"["):
            return True
        first, _, rest = head.partition(b"\n")
        return isinstance(json.loads(first), dict) and (not rest.strip() or rest.lstrip().startswith(b"{"))
    except (ValueError, RecursionError, OSError, *DAMAGE):
        return False


def _listed(folder: Path) -> list[Path] | None:
    """The files that a saved data set lists; None where this is none."""
    return _saved(folder / "state.json", lambda found: [folder / file["filename"] for file in found["_data_files"]])


def _saved(path: Path, take: Callable[[Any], list[Any]]) -> list[Any] | None:
    try:
        return take(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError, OSError):
        raise PairError(f"{path}: cannot be read as part of a data set, save it again with save_to_disk") from None

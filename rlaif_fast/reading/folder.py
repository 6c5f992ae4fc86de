"""Files of a data set's folder: saved by ``datasets``, or downloaded."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlaif_fast.errors import PairError

_ENDINGS = ((".parquet",), (".arrow",), (".jsonl", ".ndjson"), (".csv",), (".tsv",))  # one kind, the first there is
_PACKED = re.compile(r"\.(gz|zst)$")
_SHARD = re.compile(r"-\d{5}-of-\d{5}.*$")
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
        chosen = _chosen(folder, {name: [folder / name] for name in splits}, split)[0]
        return _listed(chosen) or shards_of(chosen)
    files = _listed(folder)
    if files is not None:
        if split is not None:
            raise PairError(f"{folder}: a single split, which has no name here; leave --split out")
        return files
    found = _data_files(folder)
    sets: dict[str, dict[str, list[Path]]] = {}
    for path in found:
        where, name = _place_of(path.relative_to(folder))
        sets.setdefault(where, {}).setdefault(name, []).append(path)
    if split is not None and len(sets) > 1:
        sets = {where: named for where, named in sets.items() if split in named} or sets
    if len(sets) > 1:
        named = " or ".join(str(folder / where) for where in sorted(sets))
        raise PairError(f"{folder}: holds {len(sets)} data sets, give one of them: {named}")
    if not sets:
        raise PairError(f"{folder}: a folder without a saved data set, .parquet or .jsonl files; give a file of pairs")
    return _chosen(folder, next(iter(sets.values())), split)


def _chosen(folder: Path, splits: dict[str, list[Path]], split: str | None) -> list[Path]:
    if split is not None and split in splits:
        return splits[split]
    if len(splits) == 1 and split is None:
        return next(iter(splits.values()))
    if split is not None:
        named = ", ".join(name for name in sorted(splits) if name) or "none with a name"
        raise PairError(f"{folder}: has no split {split} ({named}); give one that it has")
    files = " or ".join(str(paths[0]) if len(paths) == 1 else str(paths[0].parent) for paths in splits.values())
    names = " or ".join(f"--split {name}" for name in sorted(splits) if name)
    raise PairError(f"{folder}: holds {len(splits)} splits, give one of them: {files or 'none is listed'}; {names}")


def _data_files(folder: Path) -> list[Path]:
    """The files of one kind, sorted: in the folder and the two levels below it."""
    paths = [path for depth in ("*", "*/*", "*/*/*") for path in folder.glob(depth)]
    shown = [path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    for endings in _ENDINGS:
        found = [path for path in shown if _PACKED.sub("", path.name).endswith(endings) and path.is_file()]
        if found:
            return sorted(found)
    return []


def _place_of(path: Path) -> tuple[str, str]:
    """(which data set of the folder, which split) a file belongs to, by its name and those of the folders above."""
    stem = _PACKED.sub("", path.name).rpartition(".")[0]
    where = [part for part in path.parts[:-1] if part != "data"]
    name = _SHARD.sub("", stem) if _SHARD.search(stem) else ""
    if not name and _SPLIT.search(stem.lower()):
        name = re.sub(r"[-_.]?(?:part)?[-_.]?\d+$", "", stem)
    if not name and where and _SPLIT.search(where[-1].lower()):
        name = where.pop()
    elif name and where and where[-1] == name:
        where.pop()
    return "/".join(where), name


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

"""Files of a data set's folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlaif_fast.errors import PairError


def shards_of(folder: Path) -> list[Path]:
    """The files of a data set's folder, in order. PairError: none, several splits, or several kinds."""
    splits = _saved(folder / "dataset_dict.json", lambda found: [str(name) for name in found["splits"]])
    if splits is not None:
        if len(splits) != 1:
            named = " or ".join(str(folder / name) for name in splits)
            raise PairError(f"{folder}: holds {len(splits)} splits, give one of them: {named or 'none is listed'}")
        folder /= splits[0]
    files = _saved(folder / "state.json", lambda found: [folder / file["filename"] for file in found["_data_files"]])
    if files is not None:
        return files
    for endings in ((".parquet",), (".jsonl", ".jsonl.gz", ".jsonl.zst")):
        if shards := sorted(path for path in folder.iterdir() if path.name.endswith(endings)):
            return shards
    raise PairError(f"{folder}: a folder without a saved data set, .parquet or .jsonl files; give a file of pairs")


def _saved(path: Path, take: Callable[[Any], list[Any]]) -> list[Any] | None:
    try:
        return take(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError, OSError):
        raise PairError(f"{path}: cannot be read as part of a data set, save it again with save_to_disk") from None

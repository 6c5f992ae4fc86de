"""Where bundles live on this machine, and what the default judge is."""

from __future__ import annotations

import os
import re
from pathlib import Path

import platformdirs

DEFAULT_MODEL = "smollm2-135m-instruct"
# In the cache folder: bundles by name, which passed their self-test, what `select` read, what made finished files.
BUNDLES, CHECKED, READINGS, FINISHED = "bundles", "checked", "readings", "finished"
PRECISIONS = ("int8", "fp32")  # in the order that bundles of one model are looked for


def home() -> Path:
    """The cache folder: RLAIF_FAST_HOME, else the platform's own for rlaif-fast."""
    moved = os.environ.get("RLAIF_FAST_HOME")
    return Path(moved).expanduser() if moved else Path(platformdirs.user_cache_dir("rlaif-fast", appauthor=False))


def bundle_folder(model: str, precision: str = "int8", revision: str | None = None) -> Path:
    """The folder a bundle of ``model`` has where the user names none."""
    path = Path(model)
    name = path.stem if path.suffix == ".gguf" else path.resolve().name if path.exists() else model
    parts = [name, revision, precision]
    return home() / BUNDLES / "-".join(re.sub(r"[^A-Za-z0-9._]+", "-", part) for part in parts if part)


def default_bundle() -> Path | None:
    """The embedded default's folder; None where it is not exported yet."""
    folders = (bundle_folder(DEFAULT_MODEL, precision) for precision in PRECISIONS)
    return next((folder for folder in folders if folder.exists()), None)


def find_bundle(path_or_id: str | Path) -> Path:
    """A bundle's folder: the path itself where it exists, else where an exported model of that id, or name, lies."""
    path = Path(path_or_id)
    if path.exists():
        return path
    names = (bundle_folder(str(path_or_id), precision).name for precision in PRECISIONS)
    folders = (home() / BUNDLES / name for name in (*names, str(path_or_id)))  # the last as `cache list` has it
    return next((folder for folder in folders if folder.exists()), path)

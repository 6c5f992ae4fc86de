"""Where bundles live on this machine, and what the default judge is."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import platformdirs

from rlaif_fast.reports.terminal import say

DEFAULT_MODEL = "smollm2-135m-instruct"
# In the cache folder: bundles by name, those of the hub, which passed their self-test, what `select` read, what
# made finished files, and what is held by a process that changes a bundle.
BUNDLES, DOWNLOADS, CHECKED, READINGS = "bundles", "downloads", "checked", "readings"
FINISHED, LOCKS, ENGINES = "finished", "locks", "engines"  # and what was measured of engines
PRECISIONS = ("int8", "fp32")  # in the order that bundles of one model are looked for


def home() -> Path:
    """The cache folder: RLAIF_FAST_HOME, else the platform's own for rlaif-fast."""
    moved = os.environ.get("RLAIF_FAST_HOME")
    return Path(moved).expanduser() if moved else Path(platformdirs.user_cache_dir("rlaif-fast", appauthor=False))


def bundle_folder(model: str, precision: str = "int8", revision: str | None = None) -> Path:
    """The folder a bundle of ``model`` has where the user names none."""
    parts = [model_name(model), revision, precision]
    return home() / BUNDLES / "-".join(re.sub(r"[^\w.]+", "-", part) for part in parts if part)


def model_name(model: str) -> str:
    """What a bundle calls its model, which the user called ``model``: a hub id, a folder or a file."""
    path = Path(model)
    return path.stem if path.suffix == ".gguf" else path.resolve().name if path.exists() else model


def default_bundle() -> Path | None:
    """The embedded default's folder; None where it is not exported yet."""
    folders = (bundle_folder(DEFAULT_MODEL, precision) for precision in PRECISIONS)
    return next((folder for folder in folders if folder.exists()), None)


def lock_of(folder: Path, what: str) -> Path:
    """What :mod:`rlaif_fast.files.locking` locks for a bundle's folder; it outlives a folder that is replaced."""
    return home() / LOCKS / f"{what}-{hashlib.sha256(bytes(folder.resolve())).hexdigest()[:16]}"


def name_of(folder: Path) -> str:
    """What ``-b`` takes for a bundle's folder, as short as it can be: its name alone in the cache folder."""
    inside = folder.parent.resolve() == (home() / BUNDLES).resolve()
    return folder.name if inside and not Path(folder.name).exists() else str(folder)


def find_bundle(path_or_id: str | Path) -> Path:
    """A bundle's folder.

    That is the path itself where it exists, else where an exported model of that id lies, or a bundle that the cache
    folder lists under that name; else a published bundle's (``owner/name``, ``owner/name@revision``), which is
    downloaded where it is not here yet.

    Raises BundleError where the hub was asked and did not give it, or only case or dashes of a local name differ.
    """
    path = Path(path_or_id)
    if path.exists():
        return path
    from rlaif_fast.bundle.names import is_of, require_no_slip  # it needs this module

    names = (bundle_folder(str(path_or_id), precision).name for precision in PRECISIONS)
    folders = (home() / BUNDLES / name for name in (*names, str(path_or_id)))
    if (found := next((one for one in folders if one.exists() and is_of(one, str(path_or_id))), None)) is not None:
        return found
    from rlaif_fast.bundle.download import downloaded  # it reads manifests, which need this module
    from rlaif_fast.bundle.hub import Published

    published = Published.named(path_or_id) if isinstance(path_or_id, str) else None
    if published is None:
        return path
    require_no_slip(str(path_or_id))
    return downloaded(published, say)

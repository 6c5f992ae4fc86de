"""Where bundles live on this machine, and what the default judge is."""

from __future__ import annotations

import os
import re
from pathlib import Path

import platformdirs

from rlaif_fast.reports.terminal import say

DEFAULT_MODEL = "smollm2-135m-instruct"
# In the cache folder: bundles by name, those of the hub, which passed their self-test, and what `select` read.
BUNDLES, DOWNLOADS, CHECKED, READINGS = "bundles", "downloads", "checked", "readings"
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
    """A bundle's folder.

    That is the path itself where it exists, else where an exported model of that id lies, else a published bundle's
    (``owner/name``, ``owner/name@revision``), which is downloaded where it is not here yet.

    Raises BundleError where the hub was asked and did not give it.
    """
    path = Path(path_or_id)
    if path.exists():
        return path
    folders = (bundle_folder(str(path_or_id), precision) for precision in PRECISIONS)
    if (found := next((folder for folder in folders if folder.exists()), None)) is not None:
        return found
    from rlaif_fast.bundle.download import downloaded  # it reads manifests, which need this module
    from rlaif_fast.bundle.hub import Published

    published = Published.named(path_or_id) if isinstance(path_or_id, str) else None
    return path if published is None else downloaded(published, say)

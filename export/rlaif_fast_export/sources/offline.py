"""What is said of a model that is not on this machine, where the hub must not be asked."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import constants

from rlaif_fast.bundle.home import DEFAULT_MODEL
from rlaif_fast.bundle.names import nearest


def not_here(name: str) -> str:
    """One line that names the model that may be meant: of those downloaded before, or the embedded default."""
    cache = Path(constants.HF_HUB_CACHE)
    folders = cache.glob("models--*") if cache.is_dir() else ()
    here = [DEFAULT_MODEL, *(folder.name.removeprefix("models--").replace("--", "/") for folder in folders)]
    near = nearest(name, (one for one in here if one != name))
    hint = f"did you mean {near}?" if near else "check the name, give a folder, or unset it"
    return f"{name}: not on this machine, and the hub is not asked while HF_HUB_OFFLINE is set; {hint}"

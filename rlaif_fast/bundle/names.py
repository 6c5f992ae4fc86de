"""What is said of a bundle's name that leads nowhere: the one that was meant, or how to make it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from rlaif_fast.bundle.home import BUNDLES, DEFAULT_MODEL, home
from rlaif_fast.errors import BundleError

_LIKE = 0.75  # of difflib's ratio, from which on a name is worth suggesting
_HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")


def no_such_bundle(path: Path) -> str:
    """One line on a path where there is no folder: what is at hand under a similar name, or how to make the bundle."""
    name = str(path)
    near = nearest(name, (one for one in at_hand() if one != name))
    is_id = name == DEFAULT_MODEL or (_HUB_ID.fullmatch(name) and not path.parent.is_dir())
    if is_id and (near is None or _plain(near) != _plain(name)):  # models of one family have names alike
        hint = f" (or did you mean {near}?)" if near else ""
        return f"{name}: not exported yet; `rlaif-fast export {name}` makes the bundle{hint}"
    if near:
        return f"{name}: no such bundle; did you mean {near}? (`rlaif-fast cache list` shows what there is)"
    return f"{name}: no such folder; give a bundle, `rlaif-fast export MODEL` makes one"


def require_no_slip(name: str) -> None:
    """Raise BundleError where only case or dashes tell ``name`` from one that is at hand: the hub need not be asked."""
    near = nearest(name, (one for one in at_hand() if one != name))
    if near is not None and _plain(near) == _plain(name):
        raise BundleError(f"{name}: no such bundle; did you mean {near}? (`rlaif-fast cache list` shows what there is)")


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of ``names`` that ``name`` is likely meant for, whatever its case and dashes; None for none."""
    plain = {_plain(one): one for one in sorted(names)}
    found = get_close_matches(_plain(name), plain, n=1, cutoff=_LIKE)
    return plain[found[0]] if found else None


def at_hand() -> list[str]:
    """The embedded default, ids of the models exported into the cache folder, and names of the bundles there."""
    found = {DEFAULT_MODEL: None}
    folders = home() / BUNDLES
    for folder in sorted(folders.iterdir()) if folders.is_dir() else []:
        try:
            model = json.loads((folder / "manifest.json").read_bytes())["model"]["id"]
        except (OSError, ValueError, KeyError, TypeError):
            continue  # a leftover, or damaged: whoever opens it says so
        found[folder.name] = found[str(model)] = None
    return list(found)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9/]+", "", name.lower())

"""Which commit of a data set of the hub is read: one that is named, that a branch is at, or that a run began with."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlaif_fast.errors import PairError, RlaifFastError
from rlaif_fast.files.hub_errors import hub_reason
from rlaif_fast.files.shards import ENDINGS, ending_of
from rlaif_fast.files.source import Part

SCHEME = "hf://"
MAIN = "main"  # the branch that is meant where none is named
_SHORT = 12  # digits of a commit that are shown
_NAME = re.compile(r"hf://datasets/([A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?)(?:@([^\s@]+))?", re.ASCII)
_PAGE = re.compile(  # of a data set on the hub's site, or of a file of it
    r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/datasets/([\w.-]+/[\w.-]+)"
    r"(?:/(?:(?:tree|blob|resolve)/([^/?#]+)|viewer)?(?:/[^?#]*)?)?(?:[?#].*)?", re.ASCII
)  # fmt: skip
_OWN = re.compile(r"(?:datasets/)?([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)", re.ASCII)
COMMIT = re.compile("[0-9a-f]{40}")


@dataclass(frozen=True)
class Name:
    """A data set and the revision of it that is asked for: a branch, a tag or a commit."""

    repository: str
    revision: str = MAIN

    def __str__(self) -> str:
        return f"{SCHEME}datasets/{self.repository}"


@dataclass(frozen=True)
class Commit:
    """What a run reads.

    Attributes:
        sha: 40 hexadecimal digits.
        gated: whether the hub gives its files to those only whom its owner admits.
        offline: whether the hub is not to be asked.
        note: what is said of the choice.
    """

    name: Name
    sha: str
    gated: bool = False
    offline: bool = False
    note: str = ""

    def __str__(self) -> str:
        return f"{self.name}@{self.sha[:_SHORT]}"

    @property
    def pinned(self) -> str:
        """The commit, and what led to it; a run is bound to it."""
        return self.sha if self.name.revision == self.sha else f"{self.name.revision}@{self.sha}"

    def prepared(self, library: Any) -> list[Path]:
        """Folders in the cache of ``datasets`` that hold this commit, one a configuration."""
        return [path for path in _prepared(library, self.name.repository) if path.name == self.sha]


def hub_name(path: str, revision: str | None) -> Name:
    """What ``hf://datasets/OWNER/NAME@REVISION`` names. Raises PairError for anything else."""
    found = _NAME.fullmatch(path)
    if found is None:
        near = re.fullmatch(r"hf://(?:datasets?/)?([\w.-]+/[\w.-]+)(/.+)?", path, re.ASCII)
        meant = f"hf://datasets/{near[1]}" if near else ""
        meant = meant if _NAME.fullmatch(meant) else "hf://datasets/OWNER/NAME"
        raise PairError(f"{path}: names no data set of the hub; write {meant}, with --split for one of its splits")
    if revision is not None and found[2] not in (None, revision):
        raise PairError(f"{path}: --revision {revision} names another revision, leave one of them out")
    return Name(found[1], revision or found[2] or MAIN)


def data_set_meant(path: str) -> str | None:
    """``hf://datasets/OWNER/NAME`` where a path that leads to no file looks like a data set of the hub: its address
    there, or OWNER/NAME alone. None for any other path."""
    page, own = _PAGE.fullmatch(path), _OWN.fullmatch(path)
    if page is not None:
        meant = f"{SCHEME}datasets/{page[1]}" + (f"@{page[2]}" if page[2] not in (None, MAIN) else "")
        return meant if _NAME.fullmatch(meant) else None
    if own is None or Path(path).parent.exists() or ending_of(path) in ENDINGS:
        return None
    return f"{SCHEME}datasets/{own[1]}"


def commit_of(name: Name, part: Part, *, offline: bool = False) -> Commit:
    """The commit to read: what ``name`` is at, or what the run that is resumed began with.

    Args:
        part: ``resumed`` is what that run is bound to.

    Raises:
        PairError: the hub has no such data set or revision, or cannot be asked.
    """
    asked, _, pinned = str(part.resumed.get("revision", "")).rpartition("@")
    if part.resumed.get("dataset") != name.repository or (asked or pinned) != name.revision:
        pinned = ""
    if offline:
        return _offline(name, pinned)
    now = _asked(name, name.revision)
    if not pinned or pinned == now.sha:
        return now
    note = f"; {name.revision} is at {now.sha[:_SHORT]} now, the run goes on with the commit that it began with"
    try:
        found = _asked(name, pinned)
    except PairError as error:
        raise PairError(
            f"{error}: the interrupted run began with commit {pinned[:_SHORT]}; --restart begins with"
            f" {now.sha[:_SHORT]}, where {name.revision} is now"
        ) from None
    return Commit(name, found.sha, found.gated, note=note)


def _asked(name: Name, revision: str) -> Commit:
    from huggingface_hub import HfApi

    try:
        found = HfApi().dataset_info(name.repository, revision=revision)
    except (RlaifFastError, MemoryError):
        raise
    except Exception as error:
        at = "" if revision == MAIN else f"@{revision}"
        raise PairError(f"{name}{at}: {hub_reason(error)}") from None
    return Commit(name, str(found.sha), bool(found.gated))


def _offline(name: Name, pinned: str) -> Commit:
    """The commit as far as it is known without the hub: the newest one in the cache where none is named."""
    import datasets

    if wanted := pinned or (name.revision if COMMIT.fullmatch(name.revision) else ""):
        return Commit(name, wanted, offline=True)
    found = sorted(_prepared(datasets, name.repository), key=lambda path: path.stat().st_mtime)
    if not found or name.revision != MAIN:
        what = "" if name.revision == MAIN else f" at {name.revision}"
        raise PairError(
            f"{name}: HF_HUB_OFFLINE is set, and the cache of datasets does not have it{what}; fetch it before with"
            f" python -c \"import datasets; datasets.load_dataset('{name.repository}')\""
        )
    return Commit(name, found[-1].name, offline=True, note="; HF_HUB_OFFLINE is set: from the cache of datasets")


def _prepared(library: Any, repository: str) -> list[Path]:
    """Whole folders ``CONFIGURATION/VERSION/COMMIT`` in the cache of ``datasets``, as ``load_dataset`` leaves them."""
    owner, _, own = repository.rpartition("/")
    folder = "___".join(filter(None, (owner, library.naming.camelcase_to_snakecase(own))))
    found = []
    for info in Path(library.config.HF_DATASETS_CACHE).glob(f"{folder}/*/*/*/dataset_info.json"):
        if COMMIT.fullmatch(info.parent.name):
            name = json.loads(info.read_text(encoding="utf-8")).get("config_name")
            found += [info.parent] if name == info.parts[-4] else []  # else with parameters of a caller
    return found

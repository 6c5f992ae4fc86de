"""A bundle onto the hub, in one commit: its files, and a model card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlaif_fast.bundle.folder import Bundle
from rlaif_fast.bundle.hub import Published, asked
from rlaif_fast.bundle.manifest import HEADS, MANIFEST
from rlaif_fast.bundle.prompt import PROMPTS
from rlaif_fast.errors import BundleError
from rlaif_fast.files.hub_commit import MAIN

if TYPE_CHECKING:
    from huggingface_hub import HfApi

Say = Callable[[str], object]
CARD = "README.md"
_BESIDE = (CARD, ".gitattributes")  # may lie in a repository that holds nothing yet


def push(folder: Path, to: Published, card: str, *, private: bool, say: Say) -> str:
    """Publish the bundle in ``folder``; the commit. A repository or branch that is not there is made.

    Every file is compared with its digest first. What a bundle that was there before has and this one has not is
    taken out in the same commit.

    Args:
        card: README.md.
        private: make the repository private; one that is there and public is refused.

    Raises:
        BundleError: no bundle, a file of it was changed, the hub refuses, or the repository holds something else.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    bundle = Bundle(folder)
    bundle.check_files()
    files = [MANIFEST, *bundle.manifest.all_files]
    api, name, branch = HfApi(), to.repository, to.revision or MAIN
    with asked(f"{name}: cannot be made"):
        api.create_repo(name, private=private or None, exist_ok=True)
        if branch != MAIN:
            api.create_branch(name, branch=branch, exist_ok=True)
    with asked(to):
        there = _there(api, to, branch, private)
        size = sum(entry.bytes for entry in bundle.manifest.all_files.values())
        say(f"{name}: uploading {size / 1e6:,.1f} MB")
        operations: list[Any] = [CommitOperationAdd(CARD, card.encode())]
        operations += [CommitOperationAdd(file, folder / file) for file in files]
        operations += [CommitOperationDelete(file) for file in sorted(there - {*files}) if _of_a_bundle(file)]
        message = f"{bundle.manifest.model.id} as a preference judge, {bundle.manifest.precision}"
        done = api.create_commit(name, operations, commit_message=message, revision=branch)
    return str(done.oid)


def _there(api: HfApi, to: Published, branch: str, private: bool) -> set[str]:
    """Files of the repository. Raises BundleError where it is not one to push this to."""
    found = api.model_info(to.repository, revision=branch)
    files = {file.rfilename for file in found.siblings or ()}
    if private and not found.private:
        raise BundleError(f"{to}: is there already, and public; make it private on its page, or leave --private out")
    if (others := sorted(files - {*_BESIDE})) and MANIFEST not in files:
        raise BundleError(f"{to}: holds {others[0]} and no bundle; give a bundle a repository of its own")
    return files


def _of_a_bundle(file: str) -> bool:
    """Whether a bundle may have such a file and may lack it."""
    return file in HEADS or file.startswith(f"{PROMPTS}/")

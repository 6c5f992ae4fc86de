"""Prompts into a bundle, and out of it. Its graph and its weights stay as they are."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

from rlaif_fast.bundle.folder import read_manifest, write_manifest
from rlaif_fast.bundle.home import DOWNLOADS, home, lock_of, name_of
from rlaif_fast.bundle.manifest import HEAD, HEADS, MANIFEST
from rlaif_fast.bundle.names import no_prompt_called
from rlaif_fast.bundle.prompt import PROMPTS, BundlePrompt, FileEntry
from rlaif_fast.errors import BundleError, ExportError
from rlaif_fast.files.locking import alone
from rlaif_fast.files.targets import WRITING
from rlaif_fast.prompts.score_template import ScoreTemplate
from rlaif_fast.reports.terminal import say

_OF_PROMPTS = re.compile(rf".*-[0-9a-f]{{8}}\.safetensors({re.escape(WRITING)})?")


def _require_own(folder: Path) -> None:
    """Raise BundleError where the bundle cannot be written to, or is a published one in the cache folder.

    Of that the folder is called by a commit.
    """
    if (home() / DOWNLOADS).resolve() in folder.resolve().parents:
        raise BundleError(f"{folder}: downloaded, and pinned to its commit; copy the folder and change the copy")
    for path in (folder, folder / PROMPTS):
        if path.exists() and not os.access(path, os.W_OK):
            raise BundleError(f"{path}: cannot be written to; allow it, or copy the bundle and change the copy")


@contextmanager
def alone_with(folder: Path) -> Iterator[None]:
    """No other process changes or replaces the bundle meanwhile; one that does is waited for, and that is said.

    There is no lock where the cache folder cannot be written to.
    """
    lock = lock_of(folder, "prompts")
    waiting = f"waiting for another process that changes {folder} (if there is none, remove {lock}.*)"
    with suppress(OSError):
        lock.parent.mkdir(parents=True, exist_ok=True)
    with alone(lock, say, waiting) if os.access(lock.parent, os.W_OK) else nullcontext():
        yield


@contextmanager
def changing(folder: Path) -> Iterator[None]:
    """Alone with a bundle to change its prompts; it is left tidy, whatever happens.

    Raises BundleError where there is no bundle, or one that cannot be written to or was downloaded.
    """
    _require_own(folder)
    read_manifest(folder)
    with alone_with(folder):
        try:
            yield
        finally:
            tidy(folder)


def require_free(folder: Path, force: bool) -> None:
    """Raise ExportError where no bundle can be put at ``folder``.

    Args:
        force: a bundle that is there is replaced. Nothing else is: it would be deleted.
    """
    if not folder.exists():
        return
    if not folder.is_dir() or os.path.ismount(folder) or (not (folder / MANIFEST).is_file() and any(folder.iterdir())):
        raise ExportError(f"{folder}: exists already and is no bundle; give another folder with -o")
    if not force:
        raise ExportError(
            f"{folder}: exists already, give --force to replace it or another folder with -o;"
            f" rlaif-fast prompt add {folder} --template NAME adds a prompt to it"
        )


def put_prompts(folder: Path, prompts: Sequence[BundlePrompt], files: Mapping[str, FileEntry]) -> None:
    """List ``prompts``, whose files are there, in the bundle's manifest, each in the place of one of its name.

    ``files``: others that came with them. In a finished bundle only while :func:`changing` it.
    """
    manifest = read_manifest(folder)
    new = {prompt.name: prompt for prompt in prompts}
    kept = [new.pop(prompt.name, prompt) for prompt in manifest.prompts]
    found = replace(manifest, prompts=(*kept, *new.values()), files={**manifest.files, **files})
    write_manifest(folder, found)


def remove_prompts(folder: Path, names: Collection[str]) -> None:
    """Take the prompts called ``names`` out of the bundle.

    Raises:
        BundleError: there is none of a name, none would be left, or the bundle was downloaded.
    """
    with changing(folder):
        manifest = read_manifest(folder)
        there = [prompt.name for prompt in manifest.prompts]
        if unknown := [name for name in names if name not in there]:
            raise BundleError(f"{name_of(folder)}: {no_prompt_called(unknown[0], there)}")
        kept = tuple(prompt for prompt in manifest.prompts if prompt.name not in names)
        if not kept:
            raise BundleError(
                f"{folder}: a bundle keeps one prompt at least; `rlaif-fast cache remove` removes a bundle"
            )
        write_manifest(folder, replace(manifest, prompts=kept))


def tidy(folder: Path) -> None:
    """Take out files of prompts and heads that no prompt needs: also what a process that was killed has left there."""
    manifest = read_manifest(folder)
    if HEAD in manifest.files and not any(isinstance(one.template, ScoreTemplate) for one in manifest.prompts):
        manifest = replace(manifest, files={n: file for n, file in manifest.files.items() if n not in HEADS})
        write_manifest(folder, manifest)
    listed = {folder / path for path in manifest.all_files}
    prompts = folder / PROMPTS
    inside = [] if prompts.is_symlink() or not prompts.is_dir() else prompts.iterdir()
    found = [path for path in inside if _OF_PROMPTS.fullmatch(path.name)]
    found += [folder / f"{MANIFEST}{WRITING}", *(folder / name for name in HEADS)]
    for path in found:
        if path not in listed:
            with suppress(OSError):  # what cannot be removed does no harm
                path.unlink()

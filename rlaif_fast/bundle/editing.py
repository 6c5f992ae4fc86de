"""Prompts into a bundle, and out of it. Its graph and its weights stay as they are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rlaif_fast.bundle.folder import read_manifest, write_manifest
from rlaif_fast.bundle.home import DOWNLOADS, home, name_of
from rlaif_fast.bundle.manifest import HEAD, HEADS, MANIFEST
from rlaif_fast.bundle.names import no_prompt_called
from rlaif_fast.bundle.prompt import BundlePrompt, FileEntry
from rlaif_fast.errors import BundleError, ExportError
from rlaif_fast.prompts.score_template import ScoreTemplate


def require_own(folder: Path) -> None:
    """Raise BundleError where the bundle is a published one in the cache folder: its folder is called by a commit."""
    if (home() / DOWNLOADS).resolve() in folder.resolve().parents:
        raise BundleError(f"{folder}: downloaded, and pinned to its commit; copy the folder and change the copy")


def require_free(folder: Path, force: bool) -> None:
    """Raise ExportError where no bundle can be put at ``folder``.

    Args:
        force: a bundle that is there is replaced. Nothing else is: it would be deleted.
    """
    if not folder.exists():
        return
    if not folder.is_dir() or folder.is_mount() or (not (folder / MANIFEST).is_file() and any(folder.iterdir())):
        raise ExportError(f"{folder}: exists already and is no bundle; give another folder with -o")
    if not force:
        raise ExportError(
            f"{folder}: exists already, give --force to replace it or another folder with -o;"
            f" rlaif-fast prompt add {folder} --template NAME adds a prompt to it"
        )


def put_prompts(folder: Path, prompts: Sequence[BundlePrompt], files: Mapping[str, FileEntry]) -> None:
    """List ``prompts``, whose files are there, in the bundle's manifest, each in the place of one of its name.

    ``files``: others that came with them.
    """
    manifest = read_manifest(folder)
    new = {prompt.name: prompt for prompt in prompts}
    kept = [new.pop(prompt.name, prompt) for prompt in manifest.prompts]
    found = replace(manifest, prompts=(*kept, *new.values()), files={**manifest.files, **files})
    write_manifest(folder, found)
    _remove_files(folder, {prompt.path for prompt in manifest.prompts} - {prompt.path for prompt in found.prompts})


def remove_prompts(folder: Path, names: Collection[str]) -> None:
    """Take the prompts called ``names`` out of the bundle.

    Raises:
        BundleError: there is none of a name, none would be left, or the bundle was downloaded.
    """
    require_own(folder)
    manifest = read_manifest(folder)
    by_name = {prompt.name: prompt for prompt in manifest.prompts}
    if unknown := [name for name in names if name not in by_name]:
        raise BundleError(f"{name_of(folder)}: {no_prompt_called(unknown[0], list(by_name))}")
    gone = [by_name[name] for name in dict.fromkeys(names)]
    kept = tuple(prompt for prompt in manifest.prompts if prompt not in gone)
    if not kept:
        raise BundleError(f"{folder}: a bundle keeps one prompt at least; `rlaif-fast cache remove` removes a bundle")
    write_manifest(folder, replace(manifest, prompts=kept))
    _remove_files(folder, [prompt.path for prompt in gone])
    drop_unused_head(folder)


def drop_unused_head(folder: Path) -> None:
    """Take the head over the vocabulary out of a bundle that has no prompt for scores, or does not list it."""
    manifest = read_manifest(folder)
    if HEAD in manifest.files and not any(isinstance(one.template, ScoreTemplate) for one in manifest.prompts):
        manifest = replace(manifest, files={n: entry for n, entry in manifest.files.items() if n not in HEADS})
        write_manifest(folder, manifest)
    _remove_files(folder, [name for name in HEADS if name not in manifest.files])


def _remove_files(folder: Path, paths: Iterable[str]) -> None:
    for path in paths:
        (folder / path).unlink(missing_ok=True)

"""A published bundle into the cache folder: pinned to a commit, resumed, and compared with its manifest's digests.

Nothing of it is parsed before but the manifest, which vouches for itself.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from rlaif_fast.bundle.folder import LARGEST, read_manifest
from rlaif_fast.bundle.hub import Published, asked
from rlaif_fast.bundle.manifest import MANIFEST
from rlaif_fast.bundle.names import not_exported
from rlaif_fast.bundle.plain_file import digest_of, open_plain
from rlaif_fast.bundle.prompt import FileEntry
from rlaif_fast.errors import BundleError
from rlaif_fast.files.hub_commit import MAIN

Say = Callable[[str], object]


def downloaded(published: Published, say: Say) -> Path:
    """The folder of a published bundle, whole and as its manifest lists it.

    One that is here already is taken without asking the hub; see :meth:`Published.kept`. A download that was stopped
    goes on where it stood.

    Raises:
        BundleError: the hub does not give it, it is no bundle, or a file is not the one its manifest lists.
        OSError: the cache folder cannot be written to.
    """
    if (kept := published.kept()) is not None:
        return kept
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        if (kept := published.kept(offline=True)) is not None:
            return kept
        raise BundleError(
            f"{published}: no folder, not downloaded yet, and HF_HUB_OFFLINE is set; it is"
            f" {not_exported(published.repository)}"
        )
    commit, sizes = _look_up(published)
    folder = published.at(commit)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / ".lock"):
        if not folder.is_dir():
            _download(published.repository, commit, sizes, folder, say)
        published.note(commit)
    return folder


def _look_up(published: Published) -> tuple[str, dict[str, int]]:
    """The commit that is meant, and bytes of its files by name."""
    from huggingface_hub import HfApi

    advice = f"; it is no folder, and {not_exported(published.repository)}"
    with asked(published, advice):
        found = HfApi().model_info(published.repository, revision=published.revision or MAIN, files_metadata=True)
    sizes = {file.rfilename: file.size for file in found.siblings or () if file.size is not None}
    if MANIFEST not in sizes:
        advice = f"; rlaif-fast export {published.repository} makes one of a model" if "config.json" in sizes else ""
        raise BundleError(f"{published}: a repository of the hub, but no bundle (it has no {MANIFEST}){advice}")
    return str(found.sha), sizes


def _download(repository: str, commit: str, sizes: dict[str, int], folder: Path, say: Say) -> None:
    """All files of the bundle into ``folder``, which appears once they are right."""
    name, partial = f"{repository}@{commit[:12]}", folder.with_name(f".{commit}.partial")
    if sizes[MANIFEST] > LARGEST[MANIFEST]:
        raise BundleError(f"{name}: {MANIFEST} has {sizes[MANIFEST]:,} bytes, larger than such a file can be")
    _get(repository, commit, MANIFEST, sizes[MANIFEST], partial)
    try:
        files = read_manifest(partial).all_files
    except BundleError as error:
        shutil.rmtree(partial)
        raise BundleError(f"{name}: {str(error).removeprefix(f'{partial / MANIFEST}: ')}") from None
    for file, entry in files.items():
        if sizes.get(file) != entry.bytes:
            there = f"has {sizes[file]:,} bytes" if file in sizes else "is missing"
            raise BundleError(f"{name}: {file} {there}, its manifest lists {entry.bytes:,}; nothing of it is used")
    size = sum(entry.bytes for entry in files.values())
    here = sum(path.stat().st_size for path in partial.rglob("*") if path.is_file())
    if (free := shutil.disk_usage(partial).free) < size - here:
        raise BundleError(f"{name}: takes {(size - here) / 1e6:,.1f} MB, {partial} has {free / 1e6:,.1f} MB free")
    say(f"{name}: downloading {size / 1e6:,.1f} MB")
    for file, entry in files.items():
        _get(repository, commit, file, entry.bytes, partial)
    for file, entry in files.items():
        _compare(name, partial / file, entry)
    partial.rename(folder)


def _get(repository: str, commit: str, file: str, size: int, folder: Path) -> None:
    """What is missing of a file of so many bytes.

    huggingface_hub's own download would begin anew: what a killed process leaves of a file, none of its later
    versions takes up.
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    with open(path, "r+b") as stream:
        if stream.seek(0, os.SEEK_END) > size:
            stream.truncate(0)
        done = stream.seek(0, os.SEEK_END)
        if done == size:
            return
        with asked(f"{repository}@{commit[:12]}: {file}", "; what came is kept, give the command again to go on"):
            url, headers = hf_hub_url(repository, file, revision=commit), build_hf_headers()
            http_get(url, stream, resume_size=done, headers=headers, expected_size=size)


def _compare(name: str, path: Path, entry: FileEntry) -> None:
    """Raise BundleError where a file is not what the manifest lists; the next time it is downloaded again."""
    stream, size = open_plain(path, sys.maxsize)
    with stream:
        found = FileEntry(digest_of(stream), size)
    if found != entry:
        path.unlink()
        raise BundleError(f"{name}: {path.name} is not what its manifest lists (sha256 differs); nothing of it is used")

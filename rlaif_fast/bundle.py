"""A bundle on disk: a folder of four files, checked against its manifest before it is used."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from rlaif_fast.errors import BundleError
from rlaif_fast.manifest import FILES, MANIFEST, MODEL, TOKENIZER, WEIGHTS, FileEntry, Manifest

_CAP_MANIFEST = 16 << 20  # bytes; a manifest is a few kilobytes
_CHUNK = 1 << 22


class Bundle:
    """An opened bundle.

    Opening reads the manifest and checks that every file is a plain file of the right size;
    the small files' digests are checked before anything parses them. The weights are only
    mapped, never parsed: :meth:`verified` waits for their digest, and no verdict leaves a
    judge before it came.

    Raises:
        BundleError: no bundle, a file missing or changed.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        for name in FILES:
            self._check_plain(name)
        for name in (MODEL, TOKENIZER):
            self._check_digest(name)
        pool = ThreadPoolExecutor(1, thread_name_prefix="digest")
        self._weights: Future[None] = pool.submit(self._check_digest, WEIGHTS)
        pool.shutdown(wait=False)

    @property
    def model(self) -> Path:
        return self.folder / MODEL

    @property
    def tokenizer(self) -> Path:
        return self.folder / TOKENIZER

    def verified(self) -> None:
        """Wait until the weights' digest is known to be right. Raises BundleError where it is not."""
        self._weights.result()

    def _check_plain(self, name: str) -> None:
        path, entry = self.folder / name, self.manifest.files.get(name)
        if entry is None:
            raise BundleError(f"{self.folder}: the manifest does not list {name}; export the model again")
        if path.is_symlink() or not path.is_file():
            raise BundleError(f"{path}: missing or no plain file; export the model again")
        size = path.stat().st_size
        if size != entry.bytes:
            raise BundleError(f"{path}: {size:,} bytes, exported with {entry.bytes:,}; export the model again")

    def _check_digest(self, name: str) -> None:
        path = self.folder / name
        if digest(path) != self.manifest.files[name].sha256:
            raise BundleError(f"{path}: changed since it was exported (sha256 differs); export the model again")


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the bundle in ``folder``. Raises BundleError."""
    path = folder / MANIFEST
    if not folder.is_dir():
        raise BundleError(f"{folder}: no such folder; give a bundle, `rlaif-fast export MODEL` makes one")
    if path.is_symlink():
        raise BundleError(f"{path}: a symbolic link, no plain file; export the model again")
    try:
        if path.stat().st_size > _CAP_MANIFEST:
            raise BundleError(f"{path}: larger than a manifest can be")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise BundleError(f"{folder}: no bundle (it has no readable {MANIFEST})") from None
    return Manifest.from_json(text, str(path))


def digest(path: Path) -> str:
    """sha256 of a file, in hex."""
    sha = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(_CHUNK):
            sha.update(chunk)
    return sha.hexdigest()


def entry(path: Path) -> FileEntry:
    """The manifest's entry of a file."""
    return FileEntry(digest(path), path.stat().st_size)

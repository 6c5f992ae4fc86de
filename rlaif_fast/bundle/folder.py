"""A bundle on disk: a folder of four files, checked against its manifest before it is used."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from rlaif_fast.bundle.graph_guard import check_graph
from rlaif_fast.bundle.manifest import FILES, MANIFEST, MODEL, TOKENIZER, WEIGHTS, FileEntry, Manifest
from rlaif_fast.bundle.plain_file import digest_of, open_plain
from rlaif_fast.errors import BundleError

# Bytes. A manifest is a few kilobytes, a graph at most a few megabytes, the largest vocabularies take 40 MB.
_LARGEST = {MANIFEST: 16 << 20, MODEL: 256 << 20, TOKENIZER: 256 << 20, WEIGHTS: 1 << 40}


class Bundle:
    """An opened bundle.

    Opening reads the manifest and checks that every file is a plain file of the right size. The small files are
    read once: the bytes whose digest was right are those that are parsed, and the graph is looked through
    before. The weights are only mapped, never parsed: :meth:`verified` waits for their digest, and no verdict leaves
    a judge before it came.

    Attributes:
        graph: content of the ONNX file.
        tokenizer: content of tokenizer.json.

    Raises:
        BundleError: no bundle, a file missing or changed, or a graph that is more than a bundle's.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        for name in FILES:
            self._open(name).close()
        self.graph, self.tokenizer = self._read(MODEL), self._read(TOKENIZER)
        check_graph(self.graph, self.manifest.files[WEIGHTS].bytes, str(self.folder / MODEL))
        pool = ThreadPoolExecutor(1, thread_name_prefix="digest")
        self._weights: Future[None] = pool.submit(self._check_weights, self._open(WEIGHTS))
        pool.shutdown(wait=False)

    def verified(self) -> None:
        """Wait until the weights' digest is known to be right. Raises BundleError where it is not."""
        self._weights.result()

    def _open(self, name: str) -> BinaryIO:
        path, entry = self.folder / name, self.manifest.files.get(name)
        if entry is None:
            raise BundleError(f"{self.folder}: the manifest does not list {name}; export the model again")
        stream, size = open_plain(path, _LARGEST[name])
        if size != entry.bytes:
            stream.close()
            raise BundleError(f"{path}: {size:,} bytes, exported with {entry.bytes:,}; export the model again")
        return stream

    def _read(self, name: str) -> bytes:
        with self._open(name) as stream:
            content = stream.read(self.manifest.files[name].bytes)
        self._compare(name, hashlib.sha256(content).hexdigest())
        return content

    def _check_weights(self, stream: BinaryIO) -> None:
        with stream:
            self._compare(WEIGHTS, digest_of(stream))

    def _compare(self, name: str, digest: str) -> None:
        if digest != self.manifest.files[name].sha256:
            path = self.folder / name
            raise BundleError(f"{path}: changed since it was exported (sha256 differs); export the model again")


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the bundle in ``folder``. Raises BundleError."""
    path = folder / MANIFEST
    if not folder.is_dir():
        raise BundleError(f"{folder}: no such folder; give a bundle, `rlaif-fast export MODEL` makes one")
    if not path.is_symlink() and not path.is_file():
        raise BundleError(f"{folder}: no bundle (it has no {MANIFEST})")
    stream, size = open_plain(path, _LARGEST[MANIFEST])
    with stream:
        return Manifest.from_json(stream.read(size), str(path))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of the bundle in ``folder``, the same bytes on every system."""
    (folder / MANIFEST).write_bytes(manifest.to_json().encode())


def entry(path: Path) -> FileEntry:
    """The manifest's entry of a file."""
    with open(path, "rb") as stream:
        return FileEntry(digest_of(stream), path.stat().st_size)

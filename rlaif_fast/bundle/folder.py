"""A bundle on disk: a folder of files, checked against its manifest before it is used."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from rlaif_fast.bundle.graph_guard import check_graph
from rlaif_fast.bundle.home import name_of
from rlaif_fast.bundle.manifest import (
    FILES,
    HEAD,
    HEAD_WEIGHTS,
    MANIFEST,
    MODEL,
    TOKENIZER,
    WEIGHTS,
    Manifest,
)
from rlaif_fast.bundle.names import no_such_bundle
from rlaif_fast.bundle.plain_file import digest_of, open_plain, write_plain
from rlaif_fast.bundle.prompt import Arrays, BundlePrompt, FileEntry
from rlaif_fast.errors import BundleError
from rlaif_fast.prompts.kinds import Kinds

# Bytes. A manifest is a few kilobytes, a graph at most a few megabytes, the largest vocabularies take 40 MB; keys and
# values of a prefix take megabytes, of thousands of tokens gigabytes.
LARGEST = {
    MANIFEST: 16 << 20, MODEL: 256 << 20, HEAD: 16 << 20, TOKENIZER: 256 << 20, WEIGHTS: 1 << 40, HEAD_WEIGHTS: 1 << 36,
}  # fmt: skip
_LARGEST_PROMPT = 16 << 30


class Bundle:
    """An opened bundle, seen through one of its prompts.

    Opening reads the manifest and checks that every file is a plain file of the right size. The small files are
    read once: the bytes whose digest was right are those that are parsed, and the graph is looked through
    before. The weights are only mapped, never parsed: :meth:`verified` waits for their digest, and no verdict leaves
    a judge before it came.

    Attributes:
        manifest: seen through that prompt.
        graph: content of the ONNX file.
        tokenizer: content of tokenizer.json.
        arrays: what the graph is fed for the prompt.

    Raises:
        BundleError: no bundle, no such prompt in it, a file missing or changed, or a graph that is more than a
            bundle's.
    """

    def __init__(
        self, folder: str | Path, template: str | None = None,
        kinds: Kinds | None = None,
    ) -> None:  # fmt: skip
        """
        Args:
            template: name of the prompt; by default the first.
            kinds: of the template; by default any.
        """
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder).through(template, kinds, name_of(self.folder))
        for name in FILES:
            self._open(name).close()
        self.graph, self.tokenizer = self._read(MODEL), self._read(TOKENIZER)
        check_graph(self.graph, {WEIGHTS: self._entry(WEIGHTS).bytes}, str(self.folder / MODEL))
        self.arrays = self._arrays()
        self._checks = [self.checking(WEIGHTS)]

    def verified(self) -> None:
        """Wait until the weights' digest is known to be right. Raises BundleError where it is not."""
        for check in self._checks:
            check.result()

    def check_files(self) -> None:
        """Compare every file with its digest, those of all prompts too. Raises BundleError where one differs."""
        for prompt in self.manifest.prompts:
            self.through(prompt.name)
        if HEAD in self.manifest.files:
            self.head()
        self.verified()

    def head(self) -> bytes:
        """Content of the ONNX file of the head over the whole vocabulary, which scores need.

        Raises BundleError where the bundle has none, or it was changed.
        """
        graph = self._read(HEAD)
        weights = [name for name in (WEIGHTS, HEAD_WEIGHTS) if name in self.manifest.files]
        check_graph(graph, {name: self._entry(name).bytes for name in weights}, str(self.folder / HEAD))
        if not self._checks[0].done():  # what is opened now are the weights of then
            weights.remove(WEIGHTS)
        self._checks += map(self.checking, weights)
        return graph

    def through(self, template: str | None, kinds: Kinds | None = None) -> Bundle:
        """The same bundle, seen through another of its prompts; what was read and checked is not read again.

        Raises BundleError as opening it does.
        """
        found = copy(self)
        found.manifest = self.manifest.through(template, kinds, name_of(self.folder))
        found.arrays = found._arrays()
        return found

    def renewed(self) -> Bundle:
        """The same bundle with the prompts that it has by now.

        Raises BundleError where it was exported anew since it was opened.
        """
        found, manifest = copy(self), read_manifest(self.folder)
        if any(manifest.files.get(name) != self.manifest.files[name] for name in FILES):
            raise BundleError(f"{self.folder}: exported again since it was opened; run the command again")
        found.manifest = manifest
        return found

    def with_prompt(self, prompt: BundlePrompt, arrays: Arrays) -> Bundle:
        """The same bundle, seen through a prompt that is not in it, or not in it yet."""
        found = copy(self)
        found.manifest = replace(self.manifest, prompts=(prompt,), chosen=0)
        found.arrays = arrays
        return found

    def _arrays(self) -> Arrays:
        prompt = self.manifest.prompt
        return prompt.arrays(self._read(prompt.path), str(self.folder / prompt.path))

    def _entry(self, name: str) -> FileEntry:
        prompt = self.manifest.prompt
        entry = prompt.file if name == prompt.path else self.manifest.files.get(name)
        if entry is None:
            raise BundleError(f"{self.folder}: the manifest does not list {name}; export the model again")
        return entry

    def _open(self, name: str) -> BinaryIO:
        path, entry = self.folder / name, self._entry(name)
        stream, size = open_plain(path, LARGEST.get(name, _LARGEST_PROMPT))
        if size != entry.bytes:
            stream.close()
            raise BundleError(f"{path}: {size:,} bytes, exported with {entry.bytes:,}; export the model again")
        return stream

    def _read(self, name: str) -> bytes:
        with self._open(name) as stream:
            content = stream.read(self._entry(name).bytes)
        self._compare(name, hashlib.sha256(content).hexdigest())
        return content

    def checking(self, name: str) -> Future[None]:
        """Compares a file with its digest, beside whatever else is done. Raises BundleError, here or as its result."""
        stream = self._open(name)

        def check() -> None:
            with stream:
                self._compare(name, digest_of(stream))

        pool = ThreadPoolExecutor(1, thread_name_prefix="digest")
        found = pool.submit(check)
        pool.shutdown(wait=False)
        return found

    def _compare(self, name: str, digest: str) -> None:
        if digest != self._entry(name).sha256:
            path = self.folder / name
            raise BundleError(f"{path}: changed since it was exported (sha256 differs); export the model again")


def lacking(folder: Path, manifest: Manifest) -> list[str]:
    """What is not there of the bundle in ``folder``, or not whole, by the files' sizes: ``model.onnx is missing``."""
    found = []
    for name, listed in manifest.all_files.items():
        path = folder / name
        if not path.is_file():
            found.append(f"{name} is missing")
        elif (size := path.stat().st_size) != listed.bytes:
            found.append(f"{name} has {size:,} of {listed.bytes:,} bytes")
    return found


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the bundle in ``folder``. Raises BundleError."""
    path = folder / MANIFEST
    if not folder.is_dir():
        raise BundleError(no_such_bundle(folder))
    if not path.is_symlink() and not path.is_file():
        raise BundleError(f"{folder}: no bundle (it has no {MANIFEST})")
    stream, size = open_plain(path, LARGEST[MANIFEST])
    with stream:
        return Manifest.from_json(stream.read(size), str(path))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of the bundle in ``folder``, the same bytes on every system; all of it or nothing."""
    write_plain(folder / MANIFEST, manifest.to_json().encode())


def entry(path: Path) -> FileEntry:
    """The manifest's entry of a file."""
    with open(path, "rb") as stream:
        return FileEntry(digest_of(stream), path.stat().st_size)

"""A bundle that each process opens for itself: what is pickled, forked, or sent to a worker has no session in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Generic, TypeVar

from rlaif_fast import arguments
from rlaif_fast.bundle.folder import read_manifest
from rlaif_fast.bundle.home import find_bundle, name_of
from rlaif_fast.bundle.manifest import Manifest
from rlaif_fast.errors import BundleError
from rlaif_fast.judging.judge import Judge
from rlaif_fast.judging.rater import Rater
from rlaif_fast.runtime.engine_choice import AUTO, resolve
from rlaif_fast.runtime.engines import DEFAULT

S = TypeVar("S", Judge, Rater)


class Opened(Generic[S]):
    """A judge or rater, opened when it is first asked for, and only as the bundle it was made for.

    Attributes:
        manifest: of the bundle, seen through the prompt.
        folder: absolute.
        threads: of the runtime; 0 for the usable physical cores.
    """

    def __init__(
        self, kind: type[S], path_or_id: str | Path, template: str | None, threads: int, digest: str | None = None
    ) -> None:
        """Raises ArgumentError; BundleError: there is no bundle, no such prompt, or it is not the one of ``digest``."""
        self.kind: type[S] = kind
        arguments.optional_text("template", template)
        self.threads = arguments.threads(threads)
        found = find_bundle(arguments.path_or_name("path_or_id", path_or_id))
        self.folder = found.resolve()
        self.manifest: Manifest = read_manifest(found).through(template, kind.kinds, name_of(found))
        if digest is not None:
            self._require(digest)
        self._sessions: dict[int, S] = {}  # by process

    @property
    def template(self) -> str:
        """The prompt's name."""
        return self.manifest.prompt.name

    def __call__(self) -> S:
        """This process's: the threads of one opened before a fork are not there behind it.

        That one is kept: to let it go would wait for its threads.
        """
        if os.getpid() not in self._sessions:
            folder, engine = resolve(self.folder, AUTO, self.template)
            if folder.resolve() != self.folder:  # what `tune` found best is another bundle of the model
                engine = DEFAULT
            session = self.kind.load(self.folder, template=self.template, threads=self.threads, engine=engine)
            if session.digest != self.manifest.digest:
                raise self._another()
            self._sessions[os.getpid()] = session
        return self._sessions[os.getpid()]

    def __reduce__(self) -> tuple[Any, ...]:
        return Opened, (self.kind, str(self.folder), self.template, self.threads, self.manifest.digest)

    def _require(self, digest: str) -> None:
        if self.manifest.digest != digest:
            raise self._another()

    def _another(self) -> BundleError:
        return BundleError(f"{self.folder}: another bundle than the one that was opened first; make a new object")

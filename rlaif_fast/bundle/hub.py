"""The Hugging Face hub as a place for bundles: names there, what is kept of it here, and its errors as BundleError."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rlaif_fast.bundle.home import DOWNLOADS, home
from rlaif_fast.errors import BundleError, RlaifFastError, lacks_memory
from rlaif_fast.files.hub_commit import COMMIT, MAIN
from rlaif_fast.files.hub_errors import hub_reason

_NAME = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([^\s@]+))?", re.ASCII)
_REFS = "refs.json"


@dataclass(frozen=True)
class Published:
    """A repository of the hub and what of it is meant: a branch, a tag or a commit; None: its main branch."""

    repository: str
    revision: str | None = None

    @classmethod
    def of(cls, text: str) -> Published | None:
        """What ``owner/name`` or ``owner/name@revision`` says; None for anything else."""
        found = _NAME.fullmatch(text)
        if found is None or ".." in found[1] or "--" in found[1]:  # the hub has no such names
            return None
        return cls(found[1], found[2])

    @classmethod
    def named(cls, text: str) -> Published | None:
        """The same of an argument that may be a path: one into a folder that is here is not asked for at the hub."""
        return None if Path(text).parent.exists() else cls.of(text)

    def __str__(self) -> str:
        return self.repository + (f"@{self.revision}" if self.revision else "")

    @property
    def folder(self) -> Path:
        """Where its downloads lie, each in a folder that is called like its commit."""
        return home() / DOWNLOADS / self.repository.replace("/", "--")

    def at(self, commit: str) -> Path:
        """The folder of the bundle of that commit, downloaded or not."""
        return self.folder / commit

    def kept(self, *, offline: bool = False) -> Path | None:
        """The downloaded bundle that is meant, as far as that is known without the hub.

        A commit names itself. What was downloaded from the main branch stays where no revision is named; a branch
        or tag that is named may have moved since, which only counts ``offline``.
        """
        commit = self.revision
        if commit is None or (offline and not COMMIT.fullmatch(commit)):
            commit = self._refs().get(commit or MAIN)
        if commit is None or not COMMIT.fullmatch(commit):
            return None
        return self.at(commit) if self.at(commit).is_dir() else None

    def note(self, commit: str) -> None:
        """Remember that the revision named this commit. The folder must be there."""
        if self.revision is not None and COMMIT.fullmatch(self.revision):
            return
        fresh = self.folder / f".{_REFS}.new"
        fresh.write_text(json.dumps({**self._refs(), self.revision or MAIN: commit}), encoding="utf-8")
        fresh.replace(self.folder / _REFS)

    def _refs(self) -> dict[str, str]:
        with suppress(OSError, ValueError, RecursionError):
            found = json.loads((self.folder / _REFS).read_text(encoding="utf-8"))
            if isinstance(found, dict) and all(isinstance(commit, str) for commit in found.values()):
                return found
        return {}


def downloads() -> Iterator[tuple[str, Path]]:
    """(name, folder) of every download, ``owner/name@commit``; a stopped one's folder begins with a dot."""
    for repository in sorted(path for path in (home() / DOWNLOADS).glob("*") if path.is_dir()):
        for path in sorted(path for path in repository.iterdir() if path.is_dir() or path.is_symlink()):
            yield f"{repository.name.replace('--', '/', 1)}@{path.name}", path


def published_name(folder: Path) -> str | None:
    """``owner/name@commit`` of a bundle that was downloaded; None of any other folder."""
    inside = folder.resolve()
    return next((name for name, path in downloads() if path.resolve() == inside), None)


def forget_empty() -> None:
    """Take away what is remembered of repositories of which nothing is kept."""
    for repository in (home() / DOWNLOADS).glob("*"):
        if repository.is_dir() and not any(path.is_dir() for path in repository.iterdir()):
            shutil.rmtree(repository)


@contextmanager
def asked(what: object, advice: str = "") -> Iterator[None]:
    """Raise BundleError, naming ``what``, in place of whatever huggingface_hub raises: one line, no token in it.

    Nothing of what was raised is kept: a traceback of it could hold the token. This package's own errors, a lack of
    memory and what the file system refuses pass.
    """
    from huggingface_hub.utils import disable_progress_bars

    if sys.stderr is None or not sys.stderr.isatty():
        disable_progress_bars()
    try:
        yield
    except (RlaifFastError, MemoryError):
        raise
    except Exception as error:
        if lacks_memory(error) or (isinstance(error, OSError) and error.filename is not None):
            raise
        raise BundleError(f"{what}: {hub_reason(error)}{advice}") from None

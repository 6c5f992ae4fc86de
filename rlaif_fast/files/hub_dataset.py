"""A data set of the Hugging Face hub, read through the library ``datasets``.

The revision is resolved to a commit before the first row is read, so all passes of a run, and the runs that resume it,
read the same rows. Rows are streamed: of a large set only what is judged is fetched, once, and kept in a file that has
no name. What ``datasets`` has prepared in its own cache at that commit is read from there, and nothing else is where
HF_HUB_OFFLINE is set.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlaif_fast.errors import PairError, RlaifFastError, lacks_memory
from rlaif_fast.files.arrow_tables import plain
from rlaif_fast.files.extra import optional
from rlaif_fast.files.hub_commit import Commit, commit_of, hub_name
from rlaif_fast.files.hub_errors import GATED, hub_reason, own_words
from rlaif_fast.files.source import Part, Row, Source
from rlaif_fast.files.spool import Spool
from rlaif_fast.files.targets import named

Say = Callable[[str], object]


@contextmanager
def hub_rows(path: str, part: Part, say: Say | None = None) -> Iterator[Source]:
    """The rows of ``hf://datasets/OWNER/NAME``; their ids are their split and index where they have none.

    Args:
        say: is told which commit is read.

    Raises:
        PairError: the name is none, ``datasets`` is not installed, or the hub does not give it: not there, gated, no
            such split or configuration, no network.
    """
    name = hub_name(path, part.revision)
    library = optional("datasets", path, extra="datasets", what="a data set of the hub")
    _quiet(library)
    commit = commit_of(name, part, offline=library.config.HF_HUB_OFFLINE)
    table = _opened(library, commit, part)
    split = _split(table, part.split)
    origin = {"dataset": commit.name.repository, "config": part.config, "split": split, "revision": commit.pinned}
    if say is not None:
        say(f"{commit}: split {split}{f' of {part.config}' if part.config else ''}{commit.note}")
    folder = Path(library.config.HF_DATASETS_CACHE)
    with named(folder, "set HF_HOME to a folder that can be written to"):
        folder.mkdir(parents=True, exist_ok=True)
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (an error of the caller's block is not ours)
    with file:
        spool = Spool(_values(table, split), file)

        def rows() -> Iterator[Row]:
            for index, value in enumerate(spool.values()):
                yield Row(index + 1, f"{commit}, {split}[{index}]", value, key=f"{split}-{index}")

        yield Source(str(commit), "hub", True, rows, origin)


def _quiet(library: Any) -> None:
    """What matters is said in lines of our own."""
    from huggingface_hub.utils import disable_progress_bars
    from huggingface_hub.utils import logging as hub_logging

    library.disable_progress_bars()
    disable_progress_bars()
    library.logging.set_verbosity_error()
    hub_logging.set_verbosity_error()


@dataclass(frozen=True)
class _Table:
    """A configuration of a data set at a commit.

    Attributes:
        splits: their names.
        rows: a stream over the rows of one.
    """

    commit: Commit
    splits: list[str]
    rows: Callable[[str], Iterator[Any]]


def _opened(library: Any, commit: Commit, part: Part) -> _Table:
    """What is streamed from the hub, or read from the cache of ``datasets``."""
    if commit.offline:
        return _of_builder(_cached(library, commit, part.config), commit)
    try:
        builder = library.load_dataset_builder(commit.name.repository, part.config, revision=commit.sha)
        if builder.hash != commit.sha:  # the library takes what it has cached of another commit, where the hub fails
            raise ConnectionError(f"{commit.name.repository} at that commit")
        known = _in_cache(library, commit, builder.config.name)
        return _of_builder(known or builder, commit)
    except (RlaifFastError, MemoryError):
        raise
    except Exception as error:
        if lacks_memory(error):
            raise
        reason = GATED if commit.gated and isinstance(error, FileNotFoundError) else hub_reason(error)
        if isinstance(error, library.exceptions.DataFilesNotFoundError | library.data_files.EmptyDatasetError):
            reason = "has no files of rows that datasets reads"
        elif isinstance(error, ValueError):
            reason = _no_configuration(library, commit, part.config) or own_words(error)
        raise PairError(f"{commit}: {reason}") from None


def _no_configuration(library: Any, commit: Commit, wanted: str | None) -> str:
    """What is said where a configuration is to be named, or there is no such one; empty where it is neither."""
    try:
        names = library.get_dataset_config_names(commit.name.repository, revision=commit.sha)
    except Exception:
        return ""
    if wanted in names:
        return ""
    found = f"holds {len(names)} configurations" if wanted is None else f"has no configuration {wanted}"
    return f"{found}; give one of them: {' or '.join(f'--config {name}' for name in names)}"


def _of_builder(builder: Any, commit: Commit) -> _Table:
    files = getattr(builder.config, "data_files", None) or builder.info.splits or {}

    def rows(split: str) -> Iterator[Any]:
        stream = builder.as_streaming_dataset(split=split)
        return iter(stream.decode(False) if stream.features else stream)  # an image stays a file's bytes

    return _Table(commit, [str(name) for name in files], rows)


def _cached(library: Any, commit: Commit, config: str | None) -> Any:
    """The builder over the cache of ``datasets``. Raises PairError where it has none."""
    name = commit.name.repository
    found = _in_cache(library, commit, config)
    if found is None:
        advice = f"""; fetch it before with python -c "import datasets; datasets.load_dataset('{name}')\""""
        raise PairError(f"{commit}: HF_HUB_OFFLINE is set, and the cache of datasets does not have it{advice}")
    return found


def _in_cache(library: Any, commit: Commit, config: str | None) -> Any:
    """The builder over what ``load_dataset`` has prepared of that commit; None for nothing, or for several."""
    from datasets.packaged_modules.cache.cache import Cache

    found = [folder for folder in commit.prepared(library) if config in (None, folder.parts[-3])]
    if len(found) != 1:
        return None
    config, version, sha = found[0].parts[-3:]
    repository = commit.name.repository
    return Cache(
        dataset_name=repository.rpartition("/")[2], repo_id=repository, config_name=config, version=version, hash=sha
    )


def _split(table: _Table, wanted: str | None) -> str:
    names = table.splits
    if wanted in names:
        return str(wanted)
    options = " or ".join(f"--split {name}" for name in names)
    if wanted is not None:
        raise PairError(f"{table.commit}: has no split {wanted}; give {options or 'another data set: it has none'}")
    if len(names) == 1:
        return names[0]
    raise PairError(f"{table.commit}: holds {len(names)} splits, give one of them: {options}")


def _values(table: _Table, split: str) -> Iterator[Any]:
    index = 0
    try:
        for value in table.rows(split):
            yield plain(value)
            index += 1
    except (RlaifFastError, MemoryError, GeneratorExit):
        raise
    except Exception as error:
        if lacks_memory(error):
            raise
        damaged = isinstance(error, ValueError | TypeError | KeyError)
        reason = f"cannot be read ({own_words(error)})" if damaged else hub_reason(error)
        advice = "" if damaged else "; what was judged is kept, give the same command again"
        raise PairError(f"{table.commit}, {split}[{index}]: {reason}{advice}") from None

"""What made a finished file, remembered in the cache folder by the file's own bytes.

So nothing of it stands in the rows or beside the file, the form of the output does not matter, and a file that was
moved or renamed is still known. One that was edited since, or comes from elsewhere, is not: it is never replaced
without being asked to.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from rlaif_fast.bundle.home import FINISHED, home
from rlaif_fast.errors import PairError
from rlaif_fast.files.difference import difference
from rlaif_fast.wording import counted

_SCHEMA = 1
_MOST = 16  # runs that are remembered for the same bytes: those of a file without rows are every such run's


@dataclass(frozen=True)
class Finished:
    """A run that ended.

    Attributes:
        bound: what its verdicts depend on, by the option's name; JSON values.
        form: what became of them on their way into the file, likewise.
        input: digest of the items it judged, hexadecimal.
        items: how many these were.
        skipped: rows that were set aside.
        summary: its closing line, without rate and seconds.
    """

    bound: Mapping[str, Any]
    form: Mapping[str, Any]
    input: str
    items: int
    skipped: int
    summary: str


def remember(output: Path, run: Finished) -> None:
    """Keep what made ``output``; a cache folder that cannot be written to keeps nothing."""
    with suppress(OSError):
        record = _record(output)
        record.parent.mkdir(parents=True, exist_ok=True)
        runs = [run, *(one for one in _read(record) if one != run)][:_MOST]
        fresh = record.with_name(f"{record.name}.{os.getpid()}")
        fresh.write_text(
            json.dumps({"schema": _SCHEMA, "runs": [asdict(one) for one in runs]}) + "\n", encoding="utf-8"
        )
        os.replace(fresh, record)


def found(output: Path, now: Callable[[], Finished]) -> Finished | None:
    """The run that made ``output``, where it is the same as ``now``; None where there is nothing that could be lost.

    Args:
        now: is asked where some run made it; ``skipped`` and ``summary`` are not looked at.

    Raises:
        PairError: another run made it, or it is not known what did.
    """
    if not output.exists():
        return None
    runs, is_empty = _read(_record(output)), output.stat().st_size == 0  # which many runs leave, and mktemp
    if is_empty and not runs:
        return None
    if not runs:
        raise PairError(
            f"{output}: exists already, and not as a run on this machine wrote it; give another name, or --restart to"
            " replace it"
        )
    this = now()
    hows = {_how(run, this): run for run in reversed(runs)}
    if is_empty or "" in hows:
        return hows.get("")
    same = [run for run in runs if not _options(run, this)]  # several runs may have made the same bytes
    raise PairError(
        f"{output}: finished already, {_how((same or runs)[0], this)}; give another name, or --restart to judge again"
    )


def _how(before: Finished, now: Finished) -> str:
    """How the two differ; empty where they do not."""
    options = _options(before, now)
    if options or (before.input, before.items) == (now.input, now.items):
        return options
    if before.items == now.items:
        return "from rows that have changed since"
    return f"from {counted(before.items, 'row')}, now there are {now.items:,}"


def _options(before: Finished, now: Finished) -> str:
    return difference(before.bound, now.bound) or difference(before.form, now.form)


def _record(output: Path) -> Path:
    digest = hashlib.sha256()
    with open(output, "rb") as stream:
        while part := stream.read(1 << 20):
            digest.update(part)
    return home() / FINISHED / f"{digest.hexdigest()}.json"


def _read(record: Path) -> list[Finished]:
    """What a record holds; nothing where there is none, or it is torn."""
    try:
        raw = json.loads(record.read_text(encoding="utf-8"))
        if raw["schema"] != _SCHEMA:
            return []
        return [Finished(**{field.name: one[field.name] for field in fields(Finished)}) for one in raw["runs"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []

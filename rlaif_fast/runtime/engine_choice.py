"""Which engine judges: the one that was named, or the one ``tune`` found best, remembered in the cache folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from rlaif_fast import arguments
from rlaif_fast.bundle.float32_bundle import float32_of, same_judge
from rlaif_fast.bundle.folder import read_manifest
from rlaif_fast.bundle.home import ENGINES, home
from rlaif_fast.errors import BundleError
from rlaif_fast.runtime.engines import DEFAULT, variants
from rlaif_fast.runtime.fingerprint import fingerprint

AUTO = "auto"


@dataclass(frozen=True)
class Tried:
    """A variant over a bundle, as it did on the probes."""

    engine: str
    folder: str  # the bundle's, absolute
    precision: str
    ms: float | None  # a probe pair: the default's median times the ratio; None where it was not timed
    ratio: float | None  # its time over the default's, measured in turns
    mean: float | None  # |difference to PyTorch fp32| on the probes, log-odds
    max: float | None
    refusal: str  # why it cannot be chosen; empty where it can


@dataclass(frozen=True)
class Tuned:
    """What was tried for a bundle, and what was chosen."""

    tried: tuple[Tried, ...]
    chosen: int  # index into tried
    digest: str  # of the chosen bundle's manifest
    limit: float  # mean error allowed, log-odds; of a float32 bundle the largest

    @property
    def choice(self) -> Tried:
        return self.tried[self.chosen]


def known(engine: str) -> str:
    """``engine``, which must be AUTO or a variant's name. Raises ArgumentError."""
    name: str = arguments.one_of("engine", engine, (AUTO, *(one.name for one in variants())))
    return name


def resolve(folder: Path, engine: str, template: str | None = None) -> tuple[Path, str]:
    """(the bundle to open, the variant's name) for ``folder`` and what ``--engine`` said.

    What was found best holds for all prompts of a bundle; where it is another bundle's, that one needs ``template``.

    Raises:
        BundleError: there is no bundle.
        ArgumentError: there is no such engine.
    """
    known(engine)
    if engine != AUTO:
        return folder, engine
    table = remembered(folder)
    if table is None or not may_judge(Path(table.choice.folder), folder, template):
        return folder, DEFAULT
    return Path(table.choice.folder), table.choice.engine


def may_judge(other: Path, folder: Path, template: str | None) -> bool:
    """Whether the bundle in ``other`` may take the place of ``folder``'s through the prompt called ``template``.

    Where it is another bundle of the model, that has to have the same prompt: one of the same name may ask otherwise.
    """
    if template is None or other.resolve() == folder.resolve():
        return True
    try:
        return same_judge(*(read_manifest(path).through(template) for path in (folder, other)))
    except BundleError:
        return False


def remembered(folder: Path) -> Tuned | None:
    """What was found for the bundle on this machine with these versions; None where nothing was, or no longer holds."""
    if not _records().is_dir():
        return None
    try:
        raw = json.loads(_record(folder).read_text(encoding="utf-8"))
        tried = tuple(Tried(**{f.name: one[f.name] for f in fields(Tried)}) for one in raw["tried"])
        found = Tuned(tried, int(raw["chosen"]), str(raw["digest"]), float(raw["limit"]))
        same = read_manifest(Path(found.choice.folder)).digest == found.digest
    except (OSError, ValueError, KeyError, TypeError, IndexError, BundleError):
        return None  # none, torn, or a bundle that is gone: the default is always right
    return found if same else None


def remember(folder: Path, table: Tuned) -> None:
    """Keep ``table`` for the bundle; a read-only cache folder keeps nothing."""
    path = _record(folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(table)) + "\n", encoding="utf-8")
    except OSError:
        pass


def _records() -> Path:
    return home() / ENGINES


def _record(folder: Path) -> Path:
    """A file for the bundle, the float32 bundle beside it, the engines and the machine: what a choice depends on."""
    manifest = read_manifest(folder)
    beside = float32_of(folder, manifest)
    bundles = [manifest.digest, beside[1].digest if beside else None]
    return _records() / f"{fingerprint([bundles, [[v.name, v.version()] for v in variants()]])}.json"

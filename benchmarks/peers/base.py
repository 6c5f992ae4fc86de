"""What a peer is: prepare files once, load them, answer a pair."""

from __future__ import annotations

import importlib.util
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rlaif_fast.prompts.template import SUMMARY
from rlaif_fast.rows.pairs import Pair


class Unavailable(Exception):
    """Why a peer cannot run with this model; the text is for people."""


@dataclass(frozen=True)
class Task:
    """A pair, and its prompts as token ids: forward, swapped."""

    pair: Pair
    prompts: Sequence[list[int]]

    def to_dict(self) -> dict[str, Any]:
        pair = self.pair
        return {"pair": [pair.instruction, pair.response_0, pair.response_1], "prompts": self.prompts}


@dataclass(frozen=True)
class Setup:
    """The work, the same for every peer."""

    model: str  # as the user gave it
    folder: Path  # the model as a Hugging Face folder
    gguf: Path | None  # the model as a GGUF file, where there is one
    bundle: Path  # where rlaif-fast's bundle of it is, or will be
    cache: Path  # what peers prepare lies below it, one folder each
    threads: int
    label_ids: tuple[int, int]
    prefix_ids: tuple[int, ...]  # what every prompt of the template begins with
    longest: int  # tokens of the longest prompt
    template: str = SUMMARY.name  # of the bundle's prompt

    def to_dict(self) -> dict[str, Any]:
        return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> Setup:
        paths = {k: Path(raw[k]) for k in ("folder", "bundle", "cache")}
        gguf = None if raw["gguf"] is None else Path(raw["gguf"])
        ids = {k: tuple(raw[k]) for k in ("label_ids", "prefix_ids")}
        return cls(**{**raw, **paths, **ids, "gguf": gguf})


class Peer(ABC):
    """One way to judge. Heavy libraries are imported inside the methods: a peer that is missing costs nothing."""

    name: str
    what: str  # a line for people

    def available(self) -> str | None:
        """Why this peer cannot run on this machine (a package, the chip), or None."""
        return None

    def prepare(self, setup: Setup) -> None:  # noqa: B027  (most have nothing to prepare)
        """Export, quantize or convert; a process of its own, and nothing to do the second time. Raises Unavailable."""

    @abstractmethod
    def load(self, setup: Setup) -> None:
        """Open the model with ``setup.threads`` threads."""

    @abstractmethod
    def log_odds(self, task: Task) -> tuple[float, float]:
        """Log-odds of response_0: shown first, then second. This is what is timed."""

    @abstractmethod
    def files(self, setup: Setup) -> list[Path]:
        """The files or folders the model was loaded from."""

    def tokens(self, pair: Pair) -> list[list[int]] | None:  # noqa: ARG002  (for those who override it)
        """The prompts' ids by this peer's own tokenizer, to compare; None where it takes ids only."""
        return None


class TwoPasses(Peer):
    """A peer that judges each order on its own."""

    @abstractmethod
    def label_logits(self, ids: list[int]) -> tuple[float, float]:
        """Logits (or log-probabilities) of the two label tokens behind the prompt."""

    def log_odds(self, task: Task) -> tuple[float, float]:
        (a, b), (c, d) = (self.label_logits(ids) for ids in task.prompts)
        return a - b, d - c


def texts_of(pair: Pair) -> list[str]:
    """The pair's prompts: forward, swapped."""
    a, b = pair.response_0, pair.response_1
    return [SUMMARY.render(pair.instruction, a, b), SUMMARY.render(pair.instruction, b, a)]


def missing(*modules: str) -> str | None:
    """The reason for modules that are not installed, or None."""
    absent = [name for name in modules if not _installed(name)]
    return f"not installed: {', '.join(absent)}" if absent else None


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package a submodule would be in
        return False


def once(folder: Path, make: Callable[[Path], None]) -> Path:
    """``folder``, made by ``make`` where it is not there yet; it appears whole or not at all."""
    if not folder.exists():
        partial = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            make(partial)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """How many leading tokens two prompts share, the last of ``b`` left out: it must be computed for its logits."""
    limit = min(len(a), len(b) - 1)
    return next((i for i in range(limit) if a[i] != b[i]), limit)

"""The project's own pairs: what bundles are verified on, fitted to, and held against."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib import resources
from typing import TypeVar

from rlaif_fast.bundle.prompt import Probe
from rlaif_fast.rows.pairs import Pair, pair_from_row

P = TypeVar("P", Pair, Probe)

# Of a model with so many parameters a prompt takes seconds, and fewer of them have to do.
LARGE = 500_000_000
_OF_LARGE = {"probes": 4, "calibration": 8, "heldout": 6}


def shipped_pairs(name: str, parameters: int = 0) -> list[Pair]:
    """``probes`` (8, stored in every bundle), ``calibration`` (16) or ``heldout`` (12), of four tasks in turn.

    Fewer for a model with many ``parameters``.
    """
    file = resources.files("rlaif_fast_export").joinpath(f"data/{name}.jsonl")
    pairs = [pair_from_row(json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]
    return pairs[: _OF_LARGE[name]] if parameters >= LARGE else pairs


def by_length(pairs: Iterable[P]) -> list[P]:
    """The shortest first."""
    return sorted(pairs, key=lambda pair: len(pair.instruction + pair.response_0 + pair.response_1))

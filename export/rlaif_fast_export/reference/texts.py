"""The project's own pairs: what bundles are verified on, fitted to, and held against."""

from __future__ import annotations

import json
from importlib import resources

from rlaif_fast.rows.pairs import Pair, pair_from_row


def shipped_pairs(name: str) -> list[Pair]:
    """``probes`` (8, stored in every bundle), ``calibration`` (40) or ``heldout`` (24); each of several tasks."""
    file = resources.files("rlaif_fast_export").joinpath(f"data/{name}.jsonl")
    return [pair_from_row(json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]

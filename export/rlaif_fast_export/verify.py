"""Hold an exported bundle against the reference, on prompts that really occur."""

from __future__ import annotations

import json
from importlib import resources

import numpy as np
import numpy.typing as npt

from rlaif_fast.agreement import agreement
from rlaif_fast.errors import ExportError
from rlaif_fast.manifest import Fidelity
from rlaif_fast.pairs import Pair, pair_from_row

TOLERANCE = 1e-3  # log-odds, any single prompt, fp32


def probe_pairs() -> list[Pair]:
    """The pairs every bundle is verified on: the project's own, of all tasks, 60 to 500 words."""
    text = resources.files("rlaif_fast_export").joinpath("data/probes.jsonl").read_text(encoding="utf-8")
    return [pair_from_row(json.loads(line)) for line in text.splitlines()]


def fidelity(got: npt.NDArray[np.float64], reference: npt.NDArray[np.float64], prompts: str) -> Fidelity:
    """The manifest's card: log-odds of response_0, [pairs, 2] each, on ``prompts``."""
    found = agreement(got, reference)
    return Fidelity(prompts, len(got), found.mean, found.p99, found.max, found.flip_share, found.r)


def require_faithful(found: Fidelity, model: str) -> None:
    """Raise ExportError where a bundle deviates from PyTorch."""
    if not found.max <= TOLERANCE:  # a NaN deviates as well
        raise ExportError(
            f"{model}: the exported graph deviates from PyTorch by up to {found.max:.2g} in log-odds on"
            f" {found.prompts} (limit {TOLERANCE:g}); nothing was kept, please report the model"
        )

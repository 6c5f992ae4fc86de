"""Hold an exported bundle against the reference, on prompts that really occur."""

from __future__ import annotations

import json
from importlib import resources

import numpy as np
import numpy.typing as npt

from rlaif_fast.errors import ExportError
from rlaif_fast.manifest import Agreement
from rlaif_fast.pairs import Pair, pair_from_row

TOLERANCE = 1e-3  # log-odds, any single prompt, fp32


def probe_pairs() -> list[Pair]:
    """The pairs every bundle is verified on: the project's own, of all tasks, 60 to 500 words."""
    text = resources.files("rlaif_fast_export").joinpath("data/probes.jsonl").read_text(encoding="utf-8")
    return [pair_from_row(json.loads(line)) for line in text.splitlines()]


def agreement(got: npt.NDArray[np.float64], reference: npt.NDArray[np.float64], prompts: str) -> Agreement:
    """How far ``got`` is from ``reference``: log-odds of response_0, [pairs, orders] each."""
    error = np.abs(got - reference)
    flips = (_p1(got) > 0.5) != (_p1(reference) > 0.5)
    r = float(np.corrcoef(got.mean(1), reference.mean(1))[0, 1]) if len(got) > 2 else None
    return Agreement(
        prompts, len(got), float(error.mean()), float(np.quantile(error, 0.99)), float(error.max()),
        float(flips.mean()), r,
    )  # fmt: skip


def _p1(log_odds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return (1 / (1 + np.exp(-log_odds))).mean(1)


def require_faithful(found: Agreement, model: str) -> None:
    """Raise ExportError where a bundle deviates from PyTorch."""
    if not found.max <= TOLERANCE:  # a NaN deviates as well
        raise ExportError(
            f"{model}: the exported graph deviates from PyTorch by up to {found.max:.2g} in log-odds on"
            f" {found.prompts} (limit {TOLERANCE:g}); nothing was kept, please report the model"
        )

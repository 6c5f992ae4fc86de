"""Figures of agreement with labels. Each follows from sums over pairs, so resampled pairs need resampled sums only."""

from __future__ import annotations

import numpy as np

from rlaif_fast.evaluation.records import Floats, Sample

BINS = 10  # of confidence, max(p1, p2), from 0.5 to 1
# Lower edges of the margins' bins, |p1 - p2|.
MARGIN_EDGES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5)
FIGURES = (
    "accuracy", "kappa", "same_position_rate", "consistency", "first_position_rate", "ece", "brier", "log_loss",
    "longer", "first", "over_longer",
)  # fmt: skip
SHARES = {"accuracy", "same_position_rate", "consistency", "first_position_rate", "longer", "first"}  # of those
OF_BOTH_ORDERS = {"same_position_rate", "consistency"}  # of those, shares of the pairs judged in both orders
_PLAIN = 12  # columns of :func:`terms` before those of the bins
_TINY = 2.0**-53


def confidence_bin(sample: Sample) -> Floats:
    """[n] number of the pair's bin: [0.5, 0.55), …, [0.95, 1]."""
    return np.minimum(np.floor((sample.confidence - 0.5) * (2 * BINS)), BINS - 1)


def terms(sample: Sample) -> Floats:
    """[n, 12 + 2 * BINS] what each pair adds to the sums that :func:`figures` takes."""
    human, picks, right = sample.human_0, sample.picks_0, sample.right
    both = ~np.isnan(sample.by_order).any(1)
    names_0 = sample.by_order > 0.5  # nan names nothing
    same = both & (names_0[:, 0] != names_0[:, 1])
    prompts = (~np.isnan(sample.by_order)).sum(1)
    first = names_0[:, 0].astype(int) + (both & ~names_0[:, 1])
    longer = np.where(sample.longer == 0, 0.5, (sample.longer > 0) == human)
    said = np.clip(np.where(human, sample.p1, 1 - sample.p1), _TINY, 1 - _TINY)
    plain = [
        np.ones(len(sample)), right, picks, human, both, same, prompts, first,
        (sample.p1 - human) ** 2, -np.log(said), longer, human,
    ]  # fmt: skip
    inside = confidence_bin(sample)[:, None] == np.arange(BINS)
    binned = [inside * sample.confidence[:, None], inside * right[:, None]]
    return np.column_stack([*plain, *binned]).astype(np.float64)


def figures(sums: Floats) -> dict[str, Floats]:
    """The figures [...] of sums [..., columns of :func:`terms`]; nan where one is not defined."""
    n, right, picks, human, both, same, prompts, first, squared, log_loss, longer, first_right = (
        sums[..., column] for column in range(_PLAIN)
    )
    confidence, right_in = (sums[..., _PLAIN + BINS * part : _PLAIN + BINS * (part + 1)] for part in range(2))
    with np.errstate(divide="ignore", invalid="ignore"):
        chance = (picks * human + (n - picks) * (n - human)) / n**2
        found = {
            "accuracy": right / n,
            "kappa": np.where(chance < 1, (right / n - chance) / (1 - chance), np.nan),
            "same_position_rate": same / both,
            "consistency": (both - same) / both,
            "first_position_rate": first / prompts,
            "ece": np.abs(confidence - right_in).sum(-1) / n,
            "brier": squared / n,
            "log_loss": log_loss / n,
            "longer": longer / n,
            "first": first_right / n,
            "over_longer": (right - longer) / n,
        }
    assert tuple(found) == FIGURES
    return found

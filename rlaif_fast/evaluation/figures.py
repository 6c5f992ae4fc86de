"""Figures of labelled verdicts, with their intervals."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rlaif_fast.evaluation import bootstrap, metrics, share
from rlaif_fast.evaluation.records import Bools, Sample


@dataclass(frozen=True)
class Figure:
    """A figure and where it may lie, with 95 % confidence; None where it is not defined."""

    value: float | None
    interval: list[float] | None


@dataclass(frozen=True)
class Baselines:
    """Agreement of judges that read nothing."""

    longer: Figure  # the response with more characters; half a point where both are as long
    first: Figure  # response_0, always


@dataclass(frozen=True)
class Figures:
    """docs/eval.md defines them."""

    pairs: int
    groups: int
    accuracy: Figure
    kappa: Figure
    same_position_rate: Figure
    consistency: Figure
    first_position_rate: Figure
    ece: Figure
    brier: Figure
    log_loss: Figure
    baselines: Baselines
    over_longer: Figure

    @property
    def beats_longer(self) -> bool | None:
        """Whether the judge is shown to be better than picking the longer response; None where that is not known."""
        return share.is_positive(self.over_longer.value, self.over_longer.interval, self.groups)


@dataclass(frozen=True)
class Bin:
    """Pairs of a range, low <= x < high (the last one with its end)."""

    low: float
    high: float
    pairs: int
    confidence: float | None  # mean of max(p1, p2)
    accuracy: float | None
    interval: list[float] | None  # of the accuracy


def figures_of(sample: Sample) -> Figures:
    """The figures with their intervals."""
    terms = metrics.terms(sample)
    values, spans = metrics.figures(terms.sum(0)), bootstrap.intervals(terms, sample.group, metrics.figures)
    found = {
        name: Figure(None, None) if np.isnan(values[name]) else _figure(name, float(values[name]), spans[name], sample)
        for name in metrics.FIGURES
    }
    baselines = Baselines(found.pop("longer"), found.pop("first"))
    return Figures(len(sample), sample.groups, baselines=baselines, **found)


def _figure(name: str, value: float, span: list[float] | None, sample: Sample) -> Figure:
    """A figure with an interval that is possible."""
    if name in metrics.SHARES:
        return Figure(value, share.interval(value, _instructions(name, sample), span))
    return Figure(value, share.interval_of_other(sample.groups, span))


def _instructions(name: str, sample: Sample) -> int:
    """How many instructions a share is of."""
    if name not in metrics.OF_BOTH_ORDERS:
        return sample.groups
    return len(np.unique(sample.group[~np.isnan(sample.by_order).any(1)]))


def margin_bins(sample: Sample) -> list[Bin]:
    """By |p1 - p2|."""
    edges = (*metrics.MARGIN_EDGES, 1.0)
    place = np.searchsorted(metrics.MARGIN_EDGES, sample.margin, side="right") - 1
    return [_bin(sample, place == k, *ends) for k, ends in enumerate(pairwise(edges))]


def confidence_bins(sample: Sample) -> list[Bin]:
    """By max(p1, p2)."""
    place, edges = metrics.confidence_bin(sample), np.linspace(0.5, 1, metrics.BINS + 1).tolist()
    return [_bin(sample, place == k, *ends) for k, ends in enumerate(pairwise(edges))]


def _bin(sample: Sample, inside: Bools, low: float, high: float) -> Bin:
    pairs, right = int(inside.sum()), sample.right[inside]
    confidence = float(sample.confidence[inside].mean()) if pairs else None
    accuracy = float(right.mean()) if pairs else None
    return Bin(low, high, pairs, confidence, accuracy, share.interval_of(right, sample.group[inside]))

"""Every figure of an eval in one place, and the tables that show them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from rlaif_fast.evaluation import binomial, bootstrap, metrics
from rlaif_fast.evaluation.calibration import Calibration
from rlaif_fast.evaluation.coverage import DISAGREEMENTS, ERROR, Decided, Point, coverage, decided
from rlaif_fast.evaluation.records import Bools, Sample
from rlaif_fast.reports.tables import INTERVAL, Table, margin_text
from rlaif_fast.schemas.human_labels import LeftOut, Maker, labels_of, whose
from rlaif_fast.wording import counted

SCHEMA = 1
_FEW = 100  # pairs


@dataclass(frozen=True)
class Figure:
    """A figure and where it may lie, with 95 % confidence; None where it is not defined."""

    value: float | None
    interval: list[float] | None


@dataclass(frozen=True)
class Baselines:
    """Alignment of judges that read nothing."""

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


@dataclass(frozen=True)
class Bin:
    """Pairs of a range, low <= x < high (the last one with its end)."""

    low: float
    high: float
    pairs: int
    confidence: float | None  # mean of max(p1, p2)
    accuracy: float | None
    interval: list[float] | None  # exact binomial


@dataclass(frozen=True)
class Fit:
    """A calibration, and what it does to pairs it was not fitted on."""

    calibration: Calibration
    pairs: int  # fitted on
    groups: int
    before: Figures
    after: Figures


@dataclass(frozen=True)
class Labels:
    """Whose preferences the labels are, and the rows that were left out because theirs prefers neither response."""

    made_by: Maker
    ties: int
    gaps: int


@dataclass(frozen=True)
class PairArrays:
    """One entry a pair: everything above follows from these."""

    id: list[Any]
    group: list[int]
    task: list[str | None]
    human_label: list[int]
    p1: list[float]
    p1_by_order: list[list[float]]
    longer: list[int]  # 1 response_0, -1 response_1, 0 neither


@dataclass(frozen=True)
class Report:
    """An eval. ``asdict`` of it is the JSON, with the fields of ``figures`` at its top."""

    source: str
    command: str
    judge: dict[str, Any] | None  # the bundle, where pairs were judged on the way
    method: dict[str, Any]
    figures: Figures
    by_margin: list[Bin]
    reliability: list[Bin]
    coverage: list[Point]
    decided_within: list[Decided]
    by_task: dict[str, Figures]
    fit: Fit | None
    labels: Labels
    warnings: list[str]
    pairs: PairArrays

    def to_json(self) -> str:
        raw = asdict(self)
        raw["arrays"] = raw.pop("pairs")
        raw["decided_within"] = {f"{one['disagreement']:g}": one for one in raw["decided_within"]}
        top = {name: raw.pop(name) for name in ("source", "command", "judge", "method")}
        return json.dumps({"schema": SCHEMA, **top, **raw.pop("figures"), **raw}, allow_nan=False) + "\n"

    @property
    def title(self) -> str:
        return f"{self.judge['name']} on {self.source}" if self.judge else self.source

    @property
    def where(self) -> str:
        """What was looked at, in a sentence."""
        left_out = str(LeftOut(self.labels.ties, self.labels.gaps))
        return (
            f"{counted(self.figures.pairs, 'pair')}, {counted(self.figures.groups, 'instruction')};"
            f" {left_out}{'; ' if left_out else ''}95 % intervals by {bootstrap.RESAMPLES:,} resamples of instructions"
        )

    @property
    def whose(self) -> str:
        """Whose preferences the labels are: people's, or who else preferred."""
        return whose(self.labels.made_by)

    @property
    def agreement(self) -> str:
        """What the accuracy is called."""
        return f"agreement with {labels_of(self.labels.made_by)}"

    def tables(self) -> list[Table]:
        """What people read: the same on the terminal and in HTML."""
        found = [_main_table(self.figures, self.agreement)]
        if len(self.by_task) > 1:
            found.append(_task_table(self.by_task))
        found += [_bin_table("by margin, |p1 - p2|", self.by_margin), _coverage_table(self.coverage)]
        found.append(_decided_table(self.decided_within))
        if self.fit is not None:
            found.append(_fit_table(self.fit))
        return found


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
    """A figure with an interval that is possible.

    Where all resamples give the same figure the bootstrap knows nothing of what else could be: a share gets the exact
    binomial interval of as many trials as there are instructions, and another figure none.
    """
    if span is None or span[0] < span[1]:
        return Figure(value, span)
    return Figure(value, binomial.interval(value * sample.groups, sample.groups) if name in metrics.SHARES else None)


def evaluate(
    sample: Sample, *, source: str, command: str, judge: dict[str, Any] | None = None, fit: Fit | None = None,
    left_out: LeftOut | None = None, in_orders: bool = True,
) -> Report:  # fmt: skip
    """The report on labelled verdicts.

    Args:
        left_out: those that are not in the sample.
        in_orders: whether the judge was shown both responses in an order; a reward model was not.
    """
    left_out = left_out or LeftOut()
    figures = figures_of(sample)
    if not in_orders:
        figures = replace(figures, first_position_rate=Figure(None, None))
    tasks = dict.fromkeys(task for task in sample.task if task is not None)
    return Report(
        source, command, judge, _method(), figures,
        by_margin=_margin_bins(sample),
        reliability=_confidence_bins(sample),
        coverage=coverage(sample),
        decided_within=[decided(sample, share) for share in DISAGREEMENTS],
        by_task={task: figures_of(sample.where(np.array([t == task for t in sample.task]))) for task in tasks},
        fit=fit,
        labels=Labels(sample.made_by, left_out.ties, left_out.gaps),
        warnings=_warnings(sample, figures, fit, in_orders),
        pairs=PairArrays(
            list(sample.id), sample.group.tolist(), list(sample.task), np.where(sample.human_0, 0, 1).tolist(),
            sample.p1.tolist(), [[p for p in row if p == p] for row in sample.by_order.tolist()],
            sample.longer.tolist(),
        ),
    )  # fmt: skip


def _method() -> dict[str, Any]:
    return {
        "interval": "cluster bootstrap by instruction, percentiles", "level": bootstrap.LEVEL,
        "resamples": bootstrap.RESAMPLES, "seed": bootstrap.SEED, "decided_error": ERROR,
    }  # fmt: skip


def _margin_bins(sample: Sample) -> list[Bin]:
    edges = (*metrics.MARGIN_EDGES, 1.0)
    place = np.searchsorted(metrics.MARGIN_EDGES, sample.margin, side="right") - 1
    return [_bin(sample, place == k, *ends) for k, ends in enumerate(pairwise(edges))]


def _confidence_bins(sample: Sample) -> list[Bin]:
    place, edges = metrics.confidence_bin(sample), np.linspace(0.5, 1, metrics.BINS + 1).tolist()
    return [_bin(sample, place == k, *ends) for k, ends in enumerate(pairwise(edges))]


def _bin(sample: Sample, inside: Bools, low: float, high: float) -> Bin:
    pairs, right = int(inside.sum()), int(sample.right[inside].sum())
    confidence = float(sample.confidence[inside].mean()) if pairs else None
    return Bin(low, high, pairs, confidence, right / pairs if pairs else None, binomial.interval(right, pairs))


def _warnings(sample: Sample, figures: Figures, fit: Fit | None, in_orders: bool) -> list[str]:
    found = []
    if len(sample) < _FEW:
        few = f"{counted(len(sample), 'pair')} {'is' if len(sample) == 1 else 'are'} few"
        found.append(f"{few}: look at the intervals before the figures")
    of, are = whose(sample.made_by), "prefer" if sample.made_by == "people" else "are for"
    if sample.human_0.all() or not sample.human_0.any():
        found.append(
            f"{of} {are} response_{0 if sample.human_0[0] else 1} in every pair, so order-averaged figures hold, but"
            " kappa and the baseline of always response_0 say nothing"
        )
    if in_orders and np.isnan(sample.by_order).any():
        found.append(
            "some pairs were judged in one order only: position bias is part of their labels (not of those of a reward"
            " model, which -b names)"
        )
    rate = figures.same_position_rate.value
    if rate is not None and rate > 0.5:
        found.append(f"in {100 * rate:.0f} % of the pairs both orders pick the same position: mostly position bias")
    span = figures.accuracy.interval
    if span is not None and span[1] < 0.5:
        found.append(f"the judge agrees with {of} less often than a coin would")
    span = figures.over_longer.interval
    if span is not None and span[0] <= 0:
        found.append("the judge is not shown to be better than picking the longer response")
    if fit is not None and fit.calibration.at_limit:
        found.append(
            "the fitted temperature is at its limit: on the part fitted on, log-odds "
            + ("say nothing about the preferences" if fit.calibration.a < 1 else "are right about every pair")
        )
    return found


def _main_table(of: Figures, agreement: str) -> Table:
    rows = [
        _row(f"{agreement} (accuracy)", of.accuracy), _row("Cohen's kappa", of.kappa, share=False),
        _row("baseline: pick the longer", of.baselines.longer), _row("baseline: always response_0", of.baselines.first),
        _row("gain over picking the longer", of.over_longer, signed=True),
        _row("same position in both orders", of.same_position_rate), _row("consistent", of.consistency),
        _row("first position picked, single prompts", of.first_position_rate),
        _row("expected calibration error", of.ece, share=False), _row("Brier score", of.brier, share=False),
        _row("log loss", of.log_loss, share=False),
    ]  # fmt: skip
    return Table("agreement", ["value", INTERVAL], rows)


def _task_table(tasks: dict[str, Figures]) -> Table:
    rows = [
        [task, str(of.pairs), *_row("", of.accuracy)[1:], percent(of.baselines.longer.value),
         percent(of.same_position_rate.value), number(of.ece.value)]
        for task, of in tasks.items()
    ]  # fmt: skip
    return Table("by task", ["pairs", "accuracy", INTERVAL, "longer", "same position", "ECE"], rows)


def _bin_table(title: str, bins: Sequence[Bin]) -> Table:
    rows = [
        [margin_text(bin_.low, bin_.high), str(bin_.pairs), percent(bin_.accuracy), span_text(bin_.interval)]
        for bin_ in bins
    ]
    return Table(title, ["pairs", "accuracy", INTERVAL], rows)


def _coverage_table(points: Sequence[Point]) -> Table:
    """Every fourth point, each number of pairs once: the JSON and the plot have all."""
    shown = {at.pairs: at for at in reversed(points[3::4])}
    rows = [
        [percent(at.coverage), str(at.pairs), f"{at.threshold:.4f}", percent(at.accuracy), span_text(at.interval)]
        for at in shown.values()
    ]
    return Table("by coverage", ["pairs", "margin at least", "accuracy", INTERVAL], rows)


def _decided_table(found: Sequence[Decided]) -> Table:
    rows = []
    for one in found:
        behind = f"{one.errors} of {one.tested}, at most {percent(one.upper_bound)}" if one.tested else "-"
        threshold = "-" if one.threshold is None else f"{one.threshold:.4f}"
        rows.append([f"at most {100 * one.disagreement:g} % disagreement", percent(one.value), threshold, behind])
    return Table("coverage at bounded disagreement", ["coverage", "margin at least", "errors, 95 % bound"], rows)


def _fit_table(fit: Fit) -> Table:
    of = fit.calibration
    pairs = (
        ("accuracy", "accuracy", percent), ("same position in both orders", "same_position_rate", percent),
        ("expected calibration error", "ece", number), ("Brier score", "brier", number),
        ("log loss", "log_loss", number),
    )  # fmt: skip
    rows = [
        [name, form(getattr(fit.before, key).value), form(getattr(fit.after, key).value)] for name, key, form in pairs
    ]
    rows.append([f"fitted on {fit.pairs} pairs, tested on", str(fit.before.pairs), str(fit.after.pairs)])
    title = f"calibration: temperature {1 / of.a:.4g}, position offset {of.b:+.4g}"
    return Table(title, ["before", "after"], rows)


def _row(name: str, of: Figure, *, share: bool = True, signed: bool = False) -> list[str]:
    form = (lambda value: percent(value, signed)) if share else number
    return [name, form(of.value), span_text(of.interval, form)]


def percent(value: float | None, signed: bool = False) -> str:
    return "-" if value is None else f"{100 * value:{'+' if signed else ''}.1f} %"


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def span_text(interval: list[float] | None, form: Callable[[float], str] = percent) -> str:
    """An interval; ``form`` writes one of its ends."""
    return "-" if interval is None else " to ".join(map(form, interval))


def short_span(interval: list[float] | None, form: Callable[[float], str]) -> str:
    """The same beside its value; nothing where there is none."""
    return span_text(interval, form).replace(" % to ", " to ") if interval else ""

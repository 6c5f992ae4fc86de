"""Every figure of an eval in one place."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from rlaif_fast.evaluation.calibration import Calibration
from rlaif_fast.evaluation.coverage import DISAGREEMENTS, ERROR, Decided, Point, coverage, decided
from rlaif_fast.evaluation.figures import Bin, Figure, Figures, confidence_bins, figures_of, margin_bins
from rlaif_fast.evaluation.records import Sample
from rlaif_fast.evaluation.report_tables import tables_of
from rlaif_fast.evaluation.share import METHOD, SAID
from rlaif_fast.reports.markdown import markdown
from rlaif_fast.reports.tables import Table
from rlaif_fast.schemas.human_labels import LeftOut, Maker, labels_of, whose
from rlaif_fast.wording import counted

SCHEMA = 1
_FEW = 100  # pairs


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

    @property
    def whose(self) -> str:
        """Who prefers a response, in a sentence."""
        return whose(self.made_by)

    @property
    def agreement(self) -> str:
        """What the accuracy is called."""
        return f"agreement with {labels_of(self.made_by)}"

    @property
    def left_out(self) -> str:
        """What was left out, in words; empty where nothing was."""
        return str(LeftOut(self.ties, self.gaps))


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

    def to_markdown(self) -> str:
        """The tables, for a pull request or a model card."""
        return markdown(self.title, self.tables(), self.warnings, self.where, self.command)

    @property
    def title(self) -> str:
        return f"{self.judge['name']} on {self.source}" if self.judge else self.source

    @property
    def where(self) -> str:
        """What was looked at, in a sentence."""
        left_out = self.labels.left_out
        return (
            f"{counted(self.figures.pairs, 'pair')}, {counted(self.figures.groups, 'instruction')};"
            f" {left_out}{'; ' if left_out else ''}{SAID}"
        )

    def tables(self) -> list[Table]:
        """What people read."""
        return [*tables_of(self)]


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
        source, command, judge, METHOD | {"decided_error": ERROR}, figures,
        by_margin=margin_bins(sample),
        reliability=confidence_bins(sample),
        coverage=coverage(sample),
        decided_within=[decided(sample, share) for share in DISAGREEMENTS],
        by_task={task: figures_of(sample.where(np.array([t == task for t in sample.task]))) for task in tasks},
        fit=fit,
        labels=Labels(sample.made_by, left_out.ties, left_out.gaps),
        warnings=_warnings(sample, figures, fit, in_orders, judge is not None),
        pairs=PairArrays(
            list(sample.id), sample.group.tolist(), list(sample.task), np.where(sample.human_0, 0, 1).tolist(),
            sample.p1.tolist(), [[p for p in row if p == p] for row in sample.by_order.tolist()],
            sample.longer.tolist(),
        ),
    )  # fmt: skip


def _one_order(sample: Sample, named: bool) -> str:
    single = int(np.isnan(sample.by_order).any(1).sum())
    pairs = "all pairs" if single == len(sample) else f"{single} of {len(sample)} pairs"
    if named:
        return f"{pairs} were judged in one order only, so position bias is part of their labels"
    return (
        f"{pairs} have one value in p1_by_order, and the rows do not say why: judged in one order, position bias is"
        " part of their labels; judged by a reward model, there is none. Give -b BUNDLE, the one that judged them"
    )


def _warnings(sample: Sample, figures: Figures, fit: Fit | None, in_orders: bool, named: bool) -> list[str]:
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
        found.append(_one_order(sample, named))
    rate = figures.same_position_rate.value
    if rate is not None and rate > 0.5:
        found.append(f"in {100 * rate:.0f} % of the pairs both orders pick the same position: mostly position bias")
    span = figures.accuracy.interval
    if span is not None and span[1] < 0.5:
        found.append(f"the judge agrees with {of} less often than a coin would")
    if figures.beats_longer is False:
        found.append("the judge is not shown to be better than picking the longer response")
    if fit is not None and fit.calibration.at_limit:
        found.append(
            "the fitted temperature is at its limit: on the part fitted on, log-odds "
            + ("say nothing about the preferences" if fit.calibration.a < 1 else "are right about every pair")
        )
    return found

"""Several labelled files, or several judges, in one report: each by itself, and overall."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from rlaif_fast.evaluation import bootstrap, metrics, share
from rlaif_fast.evaluation.figures import Figure, Figures, figures_of
from rlaif_fast.evaluation.records import Bools, Floats, Record, sample_of
from rlaif_fast.evaluation.report import Labels
from rlaif_fast.reports.markdown import markdown
from rlaif_fast.reports.tables import INTERVAL, Table, number, percent, short_span
from rlaif_fast.schemas.human_labels import LeftOut
from rlaif_fast.wording import counted

SCHEMA = 1
_FEW = 100  # pairs
_ALL, _MEAN = "all pairs", "mean of files"


@dataclass(frozen=True)
class Verdicts:
    """A judge's verdicts on the labelled pairs of a file.

    Attributes:
        judge: None where the verdicts were given, whose rows do not say who judged.
        in_orders: whether the judge was shown both responses in an order; a reward model was not.
    """

    file: str
    judge: str | None
    records: Sequence[Record]
    left_out: LeftOut
    in_orders: bool = True


@dataclass(frozen=True)
class Entry:
    """What a judge did on a file."""

    file: str
    judge: str | None
    labels: Labels
    figures: Figures


@dataclass(frozen=True)
class Overall:
    """What a judge did on all files.

    Attributes:
        pairs: the figures of all pairs together: a file counts by its pairs.
        files: the mean of the files' figures, by name: a file counts once.
    """

    judge: str | None
    pairs: Figures
    files: dict[str, Figure]


@dataclass(frozen=True)
class SuiteReport:
    """An evaluation of a suite. docs/eval.md defines the figures."""

    name: str
    command: str
    judges: list[dict[str, Any]]
    entries: list[Entry]
    overall: list[Overall]

    def to_json(self) -> str:
        files = [asdict(entry) for entry in self.entries]
        overall = {"pairs": "every pair counts the same", "files": "every file counts the same"}
        method = share.METHOD | {"overall": overall}
        raw = {"schema": SCHEMA, "suite": self.name, "command": self.command, "method": method, "judges": self.judges,
               "files": files, "overall": [asdict(one) for one in self.overall]}  # fmt: skip
        return json.dumps(raw, allow_nan=False) + "\n"

    def to_markdown(self) -> str:
        """The tables, for a pull request or a model card."""
        return markdown(self.title, self.tables(), self.warnings, self.where, self.command)

    @property
    def title(self) -> str:
        names = [one.judge for one in self.overall if one.judge is not None]
        return f"suite {self.name}" if len(names) != 1 else f"suite {self.name}: {names[0]}"

    @property
    def where(self) -> str:
        """What was looked at, and how the overall figures are weighted."""
        first = [entry for entry in self.entries if entry.judge == self.entries[0].judge]
        left_out = LeftOut(sum(one.labels.ties for one in first), sum(one.labels.gaps for one in first))
        more = f"; {left_out}" if str(left_out) else ""
        of = self.overall[0].pairs
        return (
            f"{counted(len(first), 'file')}, {counted(of.pairs, 'pair')}, {counted(of.groups, 'instruction')}{more};"
            f" {share.SAID}. All pairs: every pair counts the same; mean of files: every file counts the same;"
            " instructions are resampled over all files together"
        )

    @property
    def warnings(self) -> list[str]:
        found = [
            f"the labels of {entry.file} are {entry.labels.whose}"
            for entry in self.entries
            if entry.labels.made_by != "people" and entry.judge == self.entries[0].judge
        ]
        few = [entry.file for entry in self.entries if entry.figures.pairs < _FEW]
        if few := list(dict.fromkeys(few)):
            found.append(f"fewer than {_FEW} pairs are in {', '.join(few)}: look at the intervals before the figures")
        for one in self.overall:
            by = f" by {one.judge}" if len(self.overall) > 1 else ""
            rate, over = one.pairs.same_position_rate.value, one.files["over_longer"]
            if rate is not None and rate > 0.5:
                found.append(
                    f"in {100 * rate:.0f} % of the pairs judged in both orders the position decides{by}: mostly"
                    " position bias"
                )
            if share.is_positive(over.value, over.interval, one.pairs.groups) is False:
                who = one.judge if len(self.overall) > 1 else "the judge"
                found.append(f"{who} is not shown to be better than picking the longer response (mean of files)")
        return found

    def tables(self) -> list[Table]:
        """What people read: the same on the terminal, in Markdown and in HTML."""
        columns = ["pairs", "accuracy", INTERVAL, "pick the longer", "same position", "ECE"]
        rows = [_row(entry.file, entry.judge, entry.figures.pairs, _of(entry.figures)) for entry in self.entries]
        for one in self.overall:
            rows.append(_row(_ALL, one.judge, one.pairs.pairs, _of(one.pairs)))
            rows.append(_row(_MEAN, one.judge, one.pairs.pairs, one.files))
        if len(self.overall) == 1:
            return [Table("file", columns, [[name, *cells] for name, _, *cells in rows])]
        numbers = {one.judge or "-": str(number) for number, one in enumerate(self.overall, 1)}  # names are long
        return [
            Table("judge", ["number"], [list(named) for named in numbers.items()]),
            Table("file", ["judge", *columns], [[name, numbers[judge], *cells] for name, judge, *cells in rows]),
        ]


def evaluate_suite(
    name: str, verdicts: Sequence[Verdicts], *, command: str, judges: Sequence[dict[str, Any]] = ()
) -> SuiteReport:
    """The report on the verdicts of one judge or several, each on all files, which are in the same order for each."""
    names = list(dict.fromkeys(one.judge for one in verdicts))
    return SuiteReport(
        name, command, list(judges), [_entry(one) for one in verdicts],
        [_overall([one for one in verdicts if one.judge == judge]) for judge in names],
    )  # fmt: skip


def _entry(of: Verdicts) -> Entry:
    sample = sample_of(of.records)
    labels = Labels(sample.made_by, of.left_out.ties, of.left_out.gaps)
    return Entry(of.file, of.judge, labels, _figures(of.records, of.in_orders))


def _figures(records: Sequence[Record], in_orders: bool) -> Figures:
    found = figures_of(sample_of(records))
    return found if in_orders else replace(found, first_position_rate=Figure(None, None))


def _overall(files: Sequence[Verdicts]) -> Overall:
    """Instructions are resampled with all their pairs in all files: files may share them."""
    records = [one for file in files for one in file.records]
    sample = sample_of(records)
    of_pair = metrics.terms(sample)  # [n, k]
    file_of = np.repeat(np.arange(len(files)), [len(file.records) for file in files])
    inside = file_of[:, None] == np.arange(len(files))  # [n, files]
    terms = (inside[:, :, None] * of_pair[:, None, :]).reshape(len(records), -1)  # [n, files * k]

    def means(sums: Floats) -> dict[str, Floats]:
        found = metrics.figures(sums.reshape(*sums.shape[:-1], len(files), -1))
        return {name: values.mean(-1) for name, values in found.items()}

    def in_each(pairs: Bools) -> list[int]:
        return [len(np.unique(sample.group[pairs & (file_of == number)])) for number in range(len(files))]

    values, spans = means(terms.sum(0)), bootstrap.intervals(terms, sample.group, means)
    both = np.asarray(~np.isnan(sample.by_order).any(1))
    sizes = {name: in_each(both if name in metrics.OF_BOTH_ORDERS else np.ones_like(both)) for name in metrics.SHARES}
    return Overall(
        files[0].judge, _figures(records, files[0].in_orders),
        {name: _mean(float(values[name]), spans[name], sizes.get(name), sample.groups) for name in metrics.FIGURES},
    )  # fmt: skip


def _mean(value: float, span: list[float] | None, sizes: Sequence[int] | None, distinct: int) -> Figure:
    """A mean of files.

    Args:
        sizes: of a share, the instructions of each file. Its mean over files that share none varies as much as a share
            of F² / sum(1 / size) instructions.
        distinct: instructions of all files, which may share some.
    """
    if np.isnan(value):
        return Figure(None, None)
    if sizes is not None:
        return Figure(value, share.interval(value, min(distinct, len(sizes) ** 2 / sum(1 / n for n in sizes)), span))
    return Figure(value, share.interval_of_other(distinct, span))


def _of(figures: Figures) -> dict[str, Figure]:
    return {
        "accuracy": figures.accuracy, "longer": figures.baselines.longer,
        "same_position_rate": figures.same_position_rate, "ece": figures.ece,
    }  # fmt: skip


def _row(name: str, judge: str | None, pairs: int, of: dict[str, Figure]) -> list[str]:
    accuracy = of["accuracy"]
    return [
        name, judge or "-", str(pairs), percent(accuracy.value), short_span(accuracy.interval, percent) or "-",
        percent(of["longer"].value), percent(of["same_position_rate"].value), number(of["ece"].value),
    ]  # fmt: skip

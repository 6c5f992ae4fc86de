"""What ``select`` found: every figure in one place, the tables that show them, and a sentence that says what to do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rlaif_fast.evaluation import bootstrap
from rlaif_fast.evaluation.figures import Figure, figures_of
from rlaif_fast.evaluation.report import Labels
from rlaif_fast.reports.tables import INTERVAL, Table, number, percent, with_span
from rlaif_fast.selection.comparison import LEVEL
from rlaif_fast.selection.decision import Tested, Tried
from rlaif_fast.wording import counted

SCHEMA = 1
_FEW = 100  # pairs of a part


@dataclass(frozen=True)
class Selection:
    """A finished selection.

    Attributes:
        judge: the bundle: name of its model, precision, engine.
        current: the prompt that the others are held against, in both orders.
        tried: what was tried, the most accurate of those that read every pair first.
        best: of them; None where nothing else could be tried.
        tested: the best one on the other part.
        examples: ids of the pairs that prompts with examples show.
        chosen_on: ids of the pairs the choice was made on.
        groups: instructions of these.
        left_out: what could not be tried, and why.
    """

    source: str
    command: str
    judge: dict[str, Any]
    current: str
    tried: Sequence[Tried]
    best: Tried | None
    tested: Tested | None
    examples: Sequence[Any]
    chosen_on: Sequence[Any]
    groups: int
    left_out: Sequence[str]
    labels: Labels

    @property
    def recommended(self) -> bool:
        """Whether the best one is shown to be better than the current one, on both parts."""
        return self.best is not None and self.tested is not None and self.best.better and self.tested.better

    @property
    def title(self) -> str:
        return f"{self.judge['model']} ({self.judge['precision']}): prompts against {self.current}, on {self.source}"

    @property
    def conclusion(self) -> str:
        """What to do, in a sentence."""
        best, tested = self.best, self.tested
        if best is None or tested is None:
            return f"nothing is recommended: no prompt but {self.current} could be tried"
        name = _name(best)
        if not best.better:
            return (
                f"nothing is recommended: no prompt is shown to be better than {self.current}; the best one, {name},"
                f" has p = {best.found.p:.3g}, corrected for {counted(len(self.tried), 'comparison')}"
            )
        by = f"{percent(tested.difference, True)}, 95 % interval {_span(tested.interval, signed=True)}"
        if not tested.better:
            return (
                f"nothing is recommended: {name} was better than {self.current} on the selection set, but that is not"
                f" shown on the test set ({by})"
            )
        return (
            f"recommended: {name}. On the test set ({tested.pairs} pairs) its {self.labels.agreement} is"
            f" {percent(_accuracy(tested.sample))}, that of {self.current} {percent(_accuracy(tested.current))} ({by})"
        )

    @property
    def where(self) -> str:
        """What was looked at, in a sentence."""
        left_out = self.labels.left_out
        tested = f", {self.tested.pairs} in the test set" if self.tested else ""
        examples = f", {len(self.examples)} as examples" if self.examples else ""
        return (
            f"{counted(len(self.chosen_on), 'pair')} ({counted(self.groups, 'instruction')}) in the selection set"
            f"{tested}{examples}; they share no instruction{'; ' if left_out else ''}{left_out}; p one-sided, corrected"
            f" for {counted(len(self.tried), 'comparison')} (maxT), 95 % intervals not corrected"
        )

    @property
    def warnings(self) -> list[str]:
        """What the reader has to know before the figures."""
        found = list(self.left_out)
        parts = [len(self.chosen_on), *([self.tested.pairs] if self.tested else [])]
        if min(parts) < _FEW:
            found.append(f"a set of {min(parts)} pairs is small: only large differences can be shown")
        if self.tested is not None and self.best is not None:
            kept, name = (
                (self.tested.sample, self.best.prompt) if self.recommended else (self.tested.current, self.current)
            )
            figures = figures_of(kept)
            if (span := figures.accuracy.interval) is not None and span[0] <= 0.5:
                found.append(f"{name} is not shown to be better than chance: {_with_span(figures.accuracy)}")
            if figures.beats_longer is False:
                longer = percent(figures.baselines.longer.value)
                found.append(
                    f"{name} is not shown to be better than picking the longer response, which is right in {longer}:"
                    f" {_with_span(figures.over_longer, signed=True)} above that"
                )
        return found

    def tables(self) -> list[Table]:
        """What people read: the same on the terminal and in HTML."""
        whole = self.tried[0].found.pairs if self.tried else 0
        rows = [
            [_name(one), str(one.found.pairs), percent(one.found.accuracy), f"{100 * one.found.difference:+.1f}",
             _points(one.found.interval), f"{one.found.p:.2g}"]
            for one in self.tried if one.orders == "both" or one.found.pairs == whole
        ]  # fmt: skip
        columns = ["pairs", "accuracy", "difference, points", INTERVAL, "p"]
        tables = [Table(f"compared with {self.current}", columns, rows)]
        if self.tested is not None and self.best is not None:
            tables.append(_test_table(self.tested, _name(self.best), self.current))
        return tables

    def to_json(self) -> str:
        """Everything, and what the test's figures follow from."""
        raw = {
            "schema": SCHEMA, "source": self.source, "command": self.command, "judge": self.judge,
            "method": _method(), "current": self.current, "recommended": self.recommended,
            "conclusion": self.conclusion, "warnings": self.warnings,
            "tried": [_row(one) for one in self.tried],
            "best": None if self.best is None else _row(self.best),
            "test": None if self.tested is None else _test(self.tested),
            "labels": asdict(self.labels),
            "parts": {
                "examples": list(self.examples), "chosen_on": list(self.chosen_on),
                "tested_on": [] if self.tested is None else list(self.tested.sample.id[: self.tested.pairs]),
            },
        }  # fmt: skip
        return json.dumps(raw, allow_nan=False) + "\n"


def _method() -> dict[str, Any]:
    return {
        "comparison": "paired by pair; resampled by instruction", "correction": "single-step maxT", "level": LEVEL,
        "test": "95 % interval of the paired difference above 0", "resamples": bootstrap.RESAMPLES,
        "seed": bootstrap.SEED,
    }  # fmt: skip


def _row(one: Tried) -> dict[str, Any]:
    return {"prompt": one.prompt, "orders": one.orders, **asdict(one.found), "better": one.better}


def _test(tested: Tested) -> dict[str, Any]:
    best, current = tested.sample, tested.current
    return {
        "better": tested.better,
        "difference": asdict(Figure(tested.difference, tested.interval)),
        "best": asdict(figures_of(best)), "current": asdict(figures_of(current)),
        "arrays": {
            "id": list(best.id), "exchanged": (np.arange(len(best)) >= tested.pairs).tolist(),
            "group": best.group.tolist(), "human_label": np.where(best.human_0, 0, 1).tolist(),
            "p1": best.p1.tolist(), "current_p1": current.p1.tolist(),
        },
    }  # fmt: skip


def _test_table(tested: Tested, name: str, current: str) -> Table:
    best, before = figures_of(tested.sample), figures_of(tested.current)

    def both(what: str, pick: str) -> list[str]:
        return [what, *(_with_span(getattr(figures, pick)) for figures in (best, before))]

    rows = [
        both("accuracy", "accuracy"), both("gain over picking the longer", "over_longer"),
        both("same position in both orders", "same_position_rate"),
        ["log loss", *(number(figures.log_loss.value) for figures in (best, before))],
        ["difference in accuracy, points", f"{100 * tested.difference:+.1f} ({_points(tested.interval)})", ""],
    ]  # fmt: skip
    return Table(f"test set, {counted(tested.pairs, 'pair')}", [name, current], rows)


def _name(one: Tried) -> str:
    return one.prompt if one.orders == "both" else f"{one.prompt}, one order"


def _points(interval: list[float] | None) -> str:
    return "-" if interval is None else " to ".join(f"{100 * end:+.1f}" for end in interval)


def _accuracy(sample: Any) -> float:
    return float(sample.right.mean())


def _with_span(figure: Figure, signed: bool = False) -> str:
    return with_span(figure.value, figure.interval, signed)


def _span(interval: list[float] | None, *, signed: bool = False) -> str:
    return "-" if interval is None else " to ".join(percent(end, signed) for end in interval)

"""Two files of verdicts on the same pairs: what differs, by how much, and for whom."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rlaif_fast.bundle.agreement import EDGES, MarginBin, correlation
from rlaif_fast.errors import EvalError, escaped
from rlaif_fast.evaluation.binomial import mcnemar
from rlaif_fast.evaluation.records import Bools, Floats, Record, by_order_of, log_odds_of
from rlaif_fast.evaluation.report import Labels, number, percent
from rlaif_fast.reports.tables import Table, margin_text
from rlaif_fast.schemas.human_labels import Label, LeftOut, labels_of, maker, whose
from rlaif_fast.wording import counted

SCHEMA = 1
TEXTS = ("instruction", "response_0", "response_1")
_NAMED = 5  # missing ids that are said
_SHORT = 70  # characters of a text that is shown


@dataclass(frozen=True)
class Side:
    """One of the files."""

    name: str
    pairs: int  # rows in the file
    only_here: list[Any]  # ids that the other file lacks
    same_position_rate: float | None  # of the pairs compared; None where none was judged in both orders
    consistency: float | None
    first_position_rate: float
    accuracy: float | None  # against the labels, where they are there


@dataclass(frozen=True)
class Human:
    """Both files against people, or who else preferred, on the pairs that have a label."""

    pairs: int
    lost: int  # A is right, B is not
    won: int  # B is right, A is not
    p_value: float  # McNemar's exact test, two-sided


@dataclass(frozen=True)
class Direction:
    """Whom the flips went to."""

    to_response_0: int
    to_response_1: int
    to_longer: int  # in characters
    to_shorter: int


@dataclass(frozen=True)
class Example:
    """A pair the files differ on."""

    id: Any
    flip: bool
    p1: tuple[float, float]  # A's, B's
    difference: float  # of log-odds, B - A, orders averaged
    human_label: Label
    instruction: str
    response_0: str
    response_1: str


@dataclass(frozen=True)
class PairArrays:
    """One entry a pair that both files have."""

    id: list[Any]
    log_odds: list[tuple[float, float]]  # of response_0, A's and B's, each averaged over the orders that it has
    flip: list[bool]


@dataclass(frozen=True)
class Comparison:
    """``asdict`` of it is the JSON. Differences are of log-odds of response_0, |B - A|.

    They are taken prompt by prompt where both files have the same orders, else of each pair's average over the orders
    that a file has, as its label and p1 are.
    """

    command: str
    a: Side
    b: Side
    pairs: int
    same_orders: bool  # each pair in both files; else its differences are of the averages over the orders judged
    prompts: int  # that both judged
    flips: int
    flip_share: float
    mean: float  # over prompts, or pairs
    p99: float
    max: float
    r: float | None  # Pearson, order-averaged log-odds
    by_margin: list[MarginBin]  # A's |order-averaged log-odds|
    direction: Direction
    labels: Labels
    human: Human | None
    examples: list[Example]
    arrays: PairArrays
    schema: int = SCHEMA

    def to_json(self) -> str:
        return json.dumps(asdict(self), allow_nan=False) + "\n"

    @property
    def title(self) -> str:
        return f"B: {self.b.name} against A: {self.a.name}"

    @property
    def where(self) -> str:
        left_out = "" if self.human is None else str(LeftOut(self.labels.ties, self.labels.gaps))
        more = f"; of the labels {left_out}" if left_out else ""
        rule = (
            "log-odds"
            if self.same_orders
            else ("each pair's log-odds, averaged over the orders it was judged in: the files have different ones")
        )
        return f"{counted(self.pairs, 'pair')} in both files; differences are of {rule}{more}"

    @property
    def whose(self) -> str:
        """Whose preferences the labels are."""
        return whose(self.labels.made_by)

    @property
    def agreement(self) -> str:
        """What the accuracy is called."""
        return f"agreement with {labels_of(self.labels.made_by)}"

    @property
    def missing(self) -> list[str]:
        """A line for each file that lacks pairs of the other."""
        lines = []
        for here, there in ((self.a, self.b), (self.b, self.a)):
            if here.only_here:
                named = ", ".join(map(repr, here.only_here[:_NAMED]))
                more = ", …" if len(here.only_here) > _NAMED else ""
                are = "is" if len(here.only_here) == 1 else "are"
                pairs = counted(len(here.only_here), "pair")
                lines.append(f"{pairs} of {here.name} {are} not in {there.name}: {named}{more}")
        return lines

    def tables(self) -> list[Table]:
        """What people read."""
        of = self.direction
        rows = [
            ["labels flipped", f"{self.flips} of {self.pairs} ({percent(self.flip_share)})"],
            ["  to response_0, to response_1", f"{of.to_response_0}, {of.to_response_1}"],
            ["  to the longer, to the shorter", f"{of.to_longer}, {of.to_shorter}"],
            ["difference, mean", f"{self.mean:.3g}"], ["difference, p99", f"{self.p99:.3g}"],
            ["difference, max", f"{self.max:.3g}"], ["correlation", number(self.r)],
        ]  # fmt: skip
        if self.human is not None:
            rows.append(["right in A, wrong in B", str(self.human.lost)])
            rows.append(["wrong in A, right in B", str(self.human.won)])
            rows.append(["McNemar's exact test, p", f"{self.human.p_value:.3g}"])
        sides = [
            [name, percent(getattr(self.a, key)), percent(getattr(self.b, key))]
            for name, key in (
                ("same position in both orders", "same_position_rate"), ("consistent", "consistency"),
                ("first position picked", "first_position_rate"), (self.agreement, "accuracy"),
            )
        ]  # fmt: skip
        margins = [
            [margin_text(bin_.low, bin_.high), str(bin_.pairs), str(bin_.flips),
             percent(bin_.flips / bin_.pairs if bin_.pairs else None)]
            for bin_ in self.by_margin
        ]  # fmt: skip
        return [
            Table("difference", ["B - A"], rows), Table("each file", ["A", "B"], sides),
            Table("flips by margin of A, |log-odds|", ["pairs", "flips", "share"], margins),
        ]  # fmt: skip

    def examples_text(self) -> list[str]:
        """The examples for a terminal, a few lines each."""
        lines = []
        for one in self.examples:
            lines.append(f"{_short(str(one.id))}: {self.said(one)}")
            lines += [f"    {name}: {_short(getattr(one, name))}" for name in TEXTS]
        return lines

    def said(self, one: Example) -> str:
        """What the files say of a pair, and whoever labelled it."""
        a, b = one.p1
        are = "prefer" if self.whose == "people" else "are for"
        human = "" if one.human_label is None else f", {self.whose} {are} response_{one.human_label}"
        what = "flip" if one.flip else "same label"
        return f"p1 {a:.4f} -> {b:.4f}, log-odds {one.difference:+.3f}, {what}{human}"


def compare(
    a: Sequence[Record], b: Sequence[Record], names: tuple[str, str], *, examples: int = 5, command: str = ""
) -> Comparison:
    """Match by id and compare.

    Raises:
        EvalError: an id stands twice, the files have no pair in common, or a pair's texts or
            human labels are not the same in both.
    """
    first, second = _by_key(a, names[0]), _by_key(b, names[1])
    keys = [key for key in first if key in second]
    if not keys:
        raise EvalError(f"{names[0]} and {names[1]} have no id in common; give verdicts on the same pairs")
    ours, theirs = [first[key] for key in keys], [second[key] for key in keys]
    for one, other in zip(ours, theirs, strict=True):
        _check_same(one, other, names)
    odds_a, odds_b = log_odds_of(by_order_of(ours)), log_odds_of(by_order_of(theirs))
    mean_a, mean_b = np.nanmean(odds_a, 1), np.nanmean(odds_b, 1)
    same_orders = bool((np.isnan(odds_a) == np.isnan(odds_b)).all())
    error = np.abs(odds_b - odds_a)
    error = error[~np.isnan(error)] if same_orders else np.abs(mean_b - mean_a)
    picks_a, picks_b = (np.array([one.label == 1 for one in side]) for side in (ours, theirs))
    flips = picks_a != picks_b
    labels = [one.human_label if one.human_label is not None else other.human_label
              for one, other in zip(ours, theirs, strict=True)]  # fmt: skip
    left_out = LeftOut()
    labels = [None if left_out(label) else label for label in labels]
    asked = np.array([label is not None for label in labels])
    said = [one.made_by for one in (*ours, *theirs)]
    made_by = maker(labels, said) if asked.any() else "people"
    people_0 = np.array([label == 0 for label in labels])
    return Comparison(
        command,
        _side(names[0], a, first.keys() - second.keys(), first, ours, (picks_a == people_0)[asked]),
        _side(names[1], b, second.keys() - first.keys(), second, theirs, (picks_b == people_0)[asked]),
        pairs=len(keys), same_orders=same_orders, prompts=int((~np.isnan(odds_b - odds_a)).sum()),
        flips=int(flips.sum()), flip_share=float(flips.mean()),
        mean=float(error.mean()), p99=float(np.quantile(error, 0.99)), max=float(error.max()),
        r=correlation(mean_a, mean_b),
        by_margin=_by_margin(np.abs(mean_a), flips),
        direction=_direction(ours, flips, picks_b),
        labels=Labels(made_by, left_out.ties, left_out.gaps),
        human=_human((picks_a == people_0)[asked], (picks_b == people_0)[asked]),
        examples=_examples(ours, theirs, mean_b - mean_a, flips, labels, examples),
        arrays=PairArrays(
            [one.id for one in ours], list(zip(mean_a.tolist(), mean_b.tolist(), strict=True)), flips.tolist()
        ),
    )  # fmt: skip


def _by_key(records: Sequence[Record], name: str) -> dict[str, Record]:
    found: dict[str, Record] = {}
    for one in records:
        if found.setdefault(one.key, one) is not one:
            raise EvalError(f"{name}: id {one.id!r} stands twice; make ids unique")
    return found


def _check_same(a: Record, b: Record, names: tuple[str, str]) -> None:
    for field in TEXTS:
        if getattr(a, field) != getattr(b, field):
            raise EvalError(
                f"id {a.id!r}: {field} is not the same in {names[0]} and {names[1]}; give verdicts on the same pairs"
            )
    if None not in (a.human_label, b.human_label) and a.human_label != b.human_label:
        raise EvalError(f"id {a.id!r}: human_label is not the same in {names[0]} and {names[1]}")


def _side(
    name: str, rows: Sequence[Record], lacking: set[str], by_key: Mapping[str, Record], compared: Sequence[Record],
    right: Bools,
) -> Side:  # fmt: skip
    orders = by_order_of(compared)
    both = ~np.isnan(orders).any(1)
    names_0 = orders > 0.5
    same = float((names_0[both, 0] != names_0[both, 1]).mean()) if both.any() else None
    first = int(names_0[:, 0].sum()) + int((~names_0[both, 1]).sum())
    return Side(
        name, len(rows), [one.id for key, one in by_key.items() if key in lacking], same,
        None if same is None else 1 - same, first / (len(orders) + int(both.sum())),
        float(right.mean()) if len(right) else None,
    )  # fmt: skip


def _by_margin(margin: Floats, flips: Bools) -> list[MarginBin]:
    place = np.searchsorted(EDGES, margin, side="right") - 1
    ends = (*EDGES[1:], None)
    return [
        MarginBin(low, high, int((place == k).sum()), int((flips & (place == k)).sum()))
        for k, (low, high) in enumerate(zip(EDGES, ends, strict=True))
    ]


def _direction(rows: Sequence[Record], flips: Bools, picks: Bools) -> Direction:
    longer = np.array([len(one.response_0) - len(one.response_1) for one in rows]) * np.where(picks, 1, -1)
    return Direction(
        int((flips & picks).sum()), int((flips & ~picks).sum()), int((flips & (longer > 0)).sum()),
        int((flips & (longer < 0)).sum()),
    )  # fmt: skip


def _human(right_a: Bools, right_b: Bools) -> Human | None:
    if not len(right_a):
        return None
    lost, won = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    return Human(len(right_a), lost, won, mcnemar(lost, won))


def _examples(
    a: Sequence[Record], b: Sequence[Record], difference: Floats, flips: Bools, labels: Sequence[Label], count: int
) -> list[Example]:
    """The flips with the largest differences, then other pairs."""
    worst = sorted(range(len(a)), key=lambda k: (not flips[k], -abs(difference[k])))[:count]
    return [
        Example(
            a[k].id, bool(flips[k]), (a[k].p1, b[k].p1), float(difference[k]), labels[k], a[k].instruction,
            a[k].response_0, a[k].response_1,
        )
        for k in worst
    ]  # fmt: skip


def _short(text: str) -> str:
    """Its beginning on one line, with escapes for what a terminal would obey."""
    words = escaped(" ".join(text.split()))
    return words if len(words) <= _SHORT else words[: _SHORT - 1] + "…"

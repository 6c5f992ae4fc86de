"""What two files of verdicts on the same pairs differ in, for programs and for people."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from rlaif_fast.bundle.agreement import MarginBin
from rlaif_fast.errors import escaped
from rlaif_fast.evaluation.report import Labels
from rlaif_fast.reports.tables import Table, margin_text, number, percent, with_span
from rlaif_fast.schemas.human_labels import Label
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
    accuracy_interval: list[float] | None  # 95 %, as `eval` has it


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
        left_out = "" if self.human is None else self.labels.left_out
        more = f"; of the labels {left_out}" if left_out else ""
        rule = "each prompt's log-odds; those of examples are of the average over both orders"
        if not self.same_orders:
            rule = "each pair's log-odds, averaged over the orders it was judged in: the files have different ones"
        elif self.prompts == self.pairs:
            rule = "log-odds"
        return f"{counted(self.pairs, 'pair')} in both files; differences are of {rule}{more}"

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
            ["|difference|, mean", f"{self.mean:.3g}"], ["|difference|, p99", f"{self.p99:.3g}"],
            ["|difference|, max", f"{self.max:.3g}"], ["correlation", number(self.r)],
        ]  # fmt: skip
        if self.human is not None:
            rows.append(["right in A, wrong in B", str(self.human.lost)])
            rows.append(["wrong in A, right in B", str(self.human.won)])
            rows.append(["McNemar's exact test, p", f"{self.human.p_value:.3g}"])
        sides = [
            [name, percent(getattr(self.a, key)), percent(getattr(self.b, key))]
            for name, key in (
                ("same position in both orders", "same_position_rate"), ("consistent", "consistency"),
                ("first position picked", "first_position_rate"),
            )
        ]  # fmt: skip
        right = [with_span(side.accuracy, side.accuracy_interval) for side in (self.a, self.b)]
        sides.append([self.labels.agreement, *right])
        margins = [
            [margin_text(bin_.low, bin_.high), str(bin_.pairs), str(bin_.flips),
             percent(bin_.flips / bin_.pairs if bin_.pairs else None)]
            for bin_ in self.by_margin
        ]  # fmt: skip
        return [
            Table("difference", ["B against A"], rows), Table("each file", ["A", "B"], sides),
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
        are = "prefer" if self.labels.whose == "people" else "are for"
        human = "" if one.human_label is None else f", {self.labels.whose} {are} response_{one.human_label}"
        what = "flip" if one.flip else "same label"
        return f"p1 {a:.4f} -> {b:.4f}, log-odds {one.difference:+.3f}, {what}{human}"


def _short(text: str) -> str:
    """Its beginning on one line, with escapes for what a terminal would obey."""
    words = escaped(" ".join(text.split()))
    return words if len(words) <= _SHORT else words[: _SHORT - 1] + "…"

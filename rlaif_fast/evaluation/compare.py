"""Two files of verdicts on the same pairs: what differs, by how much, and for whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from rlaif_fast.bundle.agreement import EDGES, MarginBin, correlation
from rlaif_fast.errors import EvalError
from rlaif_fast.evaluation.binomial import mcnemar
from rlaif_fast.evaluation.comparison import TEXTS, Comparison, Direction, Example, Human, PairArrays, Side
from rlaif_fast.evaluation.records import Bools, Floats, Record, by_appearance, by_order_of, log_odds_of
from rlaif_fast.evaluation.report import Labels
from rlaif_fast.evaluation.share import interval_of
from rlaif_fast.schemas.human_labels import Label, LeftOut, maker


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
    group = by_appearance([one.instruction for one in ours])[asked]
    return Comparison(
        command,
        _side(names[0], a, first.keys() - second.keys(), first, ours, (picks_a == people_0)[asked], group),
        _side(names[1], b, second.keys() - first.keys(), second, theirs, (picks_b == people_0)[asked], group),
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
            raise EvalError(f"{name}: id {one.id!r} occurs twice; make ids unique")
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
    right: Bools, group: npt.NDArray[np.int64],
) -> Side:  # fmt: skip
    orders = by_order_of(compared)
    both = ~np.isnan(orders).any(1)
    names_0 = orders > 0.5
    same = float((names_0[both, 0] != names_0[both, 1]).mean()) if both.any() else None
    first = int(names_0[:, 0].sum()) + int((~names_0[both, 1]).sum())
    return Side(
        name, len(rows), [one.id for key, one in by_key.items() if key in lacking], same,
        None if same is None else 1 - same, first / (len(orders) + int(both.sum())),
        float(right.mean()) if len(right) else None, interval_of(right, group),
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

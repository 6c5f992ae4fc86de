"""Verdicts in both orders or in one, from the log-odds of a prompt's two orders.

One order is tried without the judge's leaning to a position only, which a calibration takes out. With it, a judge that
looks at nothing but the position is as good as the file's own order: where response_0 is preferred in most rows, it
would be the best of all. With both orders the leaning changes no label.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rlaif_fast.evaluation.calibration import Calibration, fit
from rlaif_fast.evaluation.records import Bools, Floats, Sample, by_appearance
from rlaif_fast.judging.judge import Orders

WAYS: tuple[Orders, ...] = ("both", "forward")


def right(odds: Floats, human_0: Bools, orders: Orders) -> Floats:
    """[n] 1.0 where the label is people's, 0.0 where it is not, from log-odds [n, 2] of response_0 by order.

    A tie is response_1's, as in every verdict. One order is the mean of the pair as it stands and with its responses
    exchanged, so the order they have in the file is worth nothing. The offset is fitted to these pairs; it needs no
    label.
    """
    if orders == "both":
        averaged: Floats = ((odds.sum(1) > 0) == human_0).astype(np.float64)
        return averaged
    centred = odds - position_offset(odds) * np.array([1.0, -1.0])
    mean: Floats = ((centred > 0) == human_0[:, None]).mean(1)
    return mean


def position_offset(odds: Floats) -> float:
    """Log-odds that the response shown first has for its place, from log-odds [n, 2] of response_0 by order."""
    return float((odds @ [0.5, -0.5]).mean())


def with_odds(sample: Sample, odds: Floats) -> Sample:
    """The sample as if a judge had answered with log-odds [n, 2]; nan for an order that was not judged."""
    with np.errstate(invalid="ignore"):
        by_order = np.exp(-np.logaddexp(0.0, -odds))
    return replace(sample, by_order=by_order, p1=np.nanmean(by_order, 1))


def exchanged(sample: Sample) -> Sample:
    """The same pairs with their responses exchanged."""
    return replace(
        sample, p1=1 - sample.p1, by_order=1 - sample.by_order[:, ::-1], human_0=~sample.human_0, longer=-sample.longer
    )


def both_ways(sample: Sample, orders: Orders) -> Sample:
    """Verdicts on each pair as it stands, and behind them with its responses exchanged; [2 n].

    Args:
        sample: judged in both orders.
        orders: of "forward", only the order in which the pair then stands is looked at.
    """
    there, back = sample, exchanged(sample)
    if orders == "forward":
        there, back = (
            replace(one, p1=one.by_order[:, 0], by_order=one.by_order * [1.0, np.nan]) for one in (there, back)
        )
    return Sample(
        (*there.id, *back.id), np.concatenate([there.p1, back.p1]), np.concatenate([there.by_order, back.by_order]),
        np.concatenate([there.human_0, back.human_0]), by_appearance([*there.group.tolist(), *back.group.tolist()]),
        np.concatenate([there.longer, back.longer]), (*there.task, *back.task), there.made_by,
    )  # fmt: skip


def calibration_of(sample: Sample, orders: Orders, digest: str, source: str) -> Calibration | None:
    """The calibration for these orders, fitted to pairs judged in both orders; None where there is none to apply.

    With both orders none is taken whose temperature is at its limit: it would say nothing but that the log-odds do
    not tell how sure the judge may be.
    """
    a, b = fit(sample, orders)
    found = Calibration(digest, a, b, {"source": source, "pairs": len(sample), "groups": sample.groups})
    return None if orders == "both" and found.at_limit else found

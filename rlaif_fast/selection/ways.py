"""Ways to take a verdict from the log-odds of a prompt's two orders."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np

from rlaif_fast.evaluation.calibration import Calibration, fit
from rlaif_fast.evaluation.records import Bools, Floats, Sample


class Way(NamedTuple):
    """How a pair is read through a prompt.

    Attributes:
        orders: as ``judge --orders``.
        offset: whether the position's leaning is taken out, as a calibration does. With both orders that changes no
            label, so there it is not told apart.
    """

    orders: Literal["both", "forward"]
    offset: bool = False

    def __str__(self) -> str:
        return f"{self.orders}, position offset" if self.offset else self.orders


BOTH = Way("both")
WAYS = (BOTH, Way("forward"), Way("forward", offset=True))


def picks_0(odds: Floats, way: Way) -> Bools:
    """[n] whether response_0 is preferred, from log-odds [n, 2] of it by order.

    A tie is response_1's, as in every verdict. The offset is fitted to these pairs; it needs no label.
    """
    if way.orders == "both":
        found: Bools = odds.sum(1) > 0
        return found
    lean = position_offset(odds) if way.offset else 0.0
    forward: Bools = odds[:, 0] - lean > 0
    return forward


def position_offset(odds: Floats) -> float:
    """Log-odds that the response shown first has for its place, from log-odds [n, 2] of response_0 by order."""
    return float((odds @ [0.5, -0.5]).mean())


def with_odds(sample: Sample, odds: Floats) -> Sample:
    """The sample as if a judge had answered with log-odds [n, 2]; nan for an order that was not judged."""
    with np.errstate(invalid="ignore"):
        by_order = np.exp(-np.logaddexp(0.0, -odds))
    return replace(sample, by_order=by_order, p1=np.nanmean(by_order, 1))


def calibration_of(sample: Sample, way: Way, digest: str, source: str) -> Calibration | None:
    """The calibration for a way, fitted to pairs judged in both orders; None where there is none to apply.

    With both orders none is taken whose temperature is at its limit: it would say nothing but that the log-odds do
    not tell how sure the judge may be.
    """
    if way == Way("forward"):
        return None
    a, b = fit(sample)
    found = Calibration(digest, a, b, {"source": source, "pairs": len(sample), "groups": sample.groups})
    return None if way == BOTH and found.at_limit else found

"""Which form each group gets: the cheapest mix whose expected error is small enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rlaif_fast_export.int8.forms import Kind
from rlaif_fast_export.int8.sensitivity import Moves, expected_error

# What an element costs beside the products, in multiply-adds of an int8 product, measured on one
# machine (docs/performance.md): the passes over the input, and over the output.
_PER_INPUT = {Kind.STATIC: 70, Kind.ROWS: 350, Kind.TERMS: 650, Kind.FLOAT: 0}
_PER_OUTPUT = {Kind.STATIC: 0, Kind.ROWS: 60, Kind.TERMS: 180, Kind.FLOAT: 0}
_PRODUCTS = {Kind.STATIC: 1, Kind.ROWS: 1, Kind.TERMS: 2, Kind.FLOAT: 4}


@dataclass(frozen=True)
class Size:
    """A group's products together: K inputs, N outputs."""

    k: int
    n: int

    def cost(self, kind: Kind) -> int:
        """Multiply-adds of int8 a token, or what takes as long."""
        return _PRODUCTS[kind] * self.k * self.n + _PER_INPUT[kind] * self.k + _PER_OUTPUT[kind] * self.n


@dataclass(frozen=True)
class Mix:
    """The choice, by group, and the mean |error| in log-odds expected of it."""

    kinds: dict[str, Kind]
    expected: float
    worst: Sequence[str]  # groups by the error they add, the largest first


def choose(moves: Mapping[str, Moves], sizes: Mapping[str, Size], target: float) -> Mix:
    """Start cheap; while the expected error is above ``target``, take the step that buys most for its time."""
    kinds = dict.fromkeys(moves, Kind.STATIC)
    variances = {name: {kind: m.variance(kind) for kind in Kind} for name, m in moves.items()}

    def total() -> float:
        return sum(variances[name][kind] for name, kind in kinds.items())

    while expected_error(total()) > target:
        best, most = None, 0.0
        for name, now in kinds.items():
            for kind in Kind:
                gain = variances[name][now] - variances[name][kind]
                price = sizes[name].cost(kind) - sizes[name].cost(now)
                if gain > 0 and price > 0 and gain / price > most:
                    best, most = (name, kind), gain / price
        if best is None:
            break
        kinds[best[0]] = best[1]
    left = sorted(kinds, key=lambda name: -variances[name][kinds[name]])
    return Mix(kinds, expected_error(total()), left)

"""Which form each group gets: the cheapest mix whose expected error is small enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rlaif_fast_export.int8.forms import Kind
from rlaif_fast_export.int8.sensitivity import Moves, expected_error, variance_of

# What an element costs beside the products, in multiply-adds of an int8 product, measured on one
# machine (docs/performance.md): the passes over the input, and over the output.
_PER_INPUT = {Kind.ROWS: 350, Kind.TERMS: 550, Kind.FLOAT: 0}
_PER_OUTPUT = {Kind.ROWS: 60, Kind.TERMS: 60, Kind.FLOAT: 0}
_FORMS = list(Kind)  # each more precise than the one before
_LEAST = 1e-12  # of a limit that gains are measured by
_PRODUCTS = {Kind.ROWS: 1, Kind.TERMS: 2, Kind.FLOAT: 4}


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
    """The choice, by group.

    Attributes:
        expected: mean |error|, log-odds.
        unsteady: mean |difference| expected between two kinds of processors.
    """

    kinds: dict[str, Kind]
    expected: float
    unsteady: float
    worst: Sequence[str]  # groups by the error they add, the largest first


def choose(moves: Mapping[str, Moves], sizes: Mapping[str, Size], target: float, steady: float) -> Mix:
    """Start cheap; while too much is expected, take the step that buys most for its time.

    Args:
        target: mean |error| to expect.
        steady: mean |difference| to expect between two processors, whose inputs are rounded independently: the last
            bits of float32 sums differ, and in a deep model that turns roundings everywhere behind them.
    """
    kinds = dict.fromkeys(moves, Kind.ROWS)
    limits = variance_of(target), variance_of(steady) / 2
    variances = {n: {kind: (m.variance(kind), m.inputs_variance(kind)) for kind in Kind} for n, m in moves.items()}

    def total(part: int) -> float:
        return sum(variances[name][kind][part] for name, kind in kinds.items())

    while over := [part for part in (0, 1) if total(part) > limits[part]]:
        best, most = None, 0.0
        for name, now in kinds.items():
            for kind in _FORMS[_FORMS.index(now) + 1 :]:  # never back: two limits could send it to and fro for ever
                less = [variances[name][now][part] - variances[name][kind][part] for part in over]
                gain = sum(d / max(limits[part], _LEAST) for d, part in zip(less, over, strict=True))
                price = max(1, sizes[name].cost(kind) - sizes[name].cost(now))  # of few channels float32 costs less
                if gain / price > most:
                    best, most = (name, kind), gain / price
        if best is None:
            break
        kinds[best[0]] = best[1]
    left = sorted(kinds, key=lambda name: -variances[name][kinds[name]][0])
    return Mix(kinds, expected_error(total(0)), expected_error(2 * total(1)), left)

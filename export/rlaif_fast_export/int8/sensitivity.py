"""How much each product's rounding moves the verdict, without running the model once a product.

The verdict is the difference d of two logits. To first order, an error e in a product's output
changes d by the inner product of e and the gradient of d there. One backward pass a prompt gives
that gradient for every product at once, and the error of every candidate form is computed from the
product's real input. Errors of different products are taken as independent: their squares add up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from rlaif_fast_export.int8.forms import SHARES, Kind, rounding_error


@dataclass
class Moves:
    """How far d moves on each prompt, in log-odds, when one group alone is int8; by the form it has."""

    inputs: dict[Kind, list[float]] = field(default_factory=dict)
    weights: dict[Kind, list[float]] = field(default_factory=dict)

    @classmethod
    def of(cls, prompts: Sequence[Mapping[Kind, tuple[float, float]]]) -> Moves:
        """What :func:`moves_of` found on each prompt, together."""
        inputs, weights = ({kind: [found[kind][part] for found in prompts] for kind in SHARES} for part in (0, 1))
        return cls(inputs, weights)

    def numbers(self) -> list[dict[str, list[float]]]:
        """Texts and numbers, by which :meth:`found` makes it again."""
        return [{kind.value: moved for kind, moved in part.items()} for part in (self.inputs, self.weights)]

    @classmethod
    def found(cls, numbers: list[dict[str, list[float]]]) -> Moves:
        """From :meth:`numbers`."""
        return cls(*({Kind(kind): moved for kind, moved in part.items()} for part in numbers))

    def variance(self, kind: Kind) -> float:
        """Mean square over the prompts."""
        return self.inputs_variance(kind) + _mean_square(self.weights.get(kind, [0.0]))

    def inputs_variance(self, kind: Kind) -> float:
        """The inputs' part: it is another on every kind of processor, since a last bit turns a rounding."""
        return _mean_square(self.inputs.get(kind, [0.0]))


def expected_error(variance: float) -> float:
    """Mean |error| of a normal error of this mean square."""
    return math.sqrt(2 / math.pi * variance)


def variance_of(expected: float) -> float:
    """The mean square of a normal error of this mean |error|."""
    return math.pi / 2 * expected**2


def moves_of(
    forms: Mapping[float, tuple[torch.Tensor, torch.Tensor]], x: torch.Tensor, gradient: torch.Tensor,
    flow: torch.Tensor, ending: int,
) -> dict[Kind, tuple[float, float]]:  # fmt: skip
    """How far one group's inputs and its weights in int8 move d on one prompt, by the form it has.

    Args:
        forms: its channels' scale [K] and what rounding its weights for inputs scaled so adds to them, [N, K]; by the
            share of a channel's range that the weights take over (SHARES).
        x: what it is fed, [tokens, K].
        gradient: of d at its output, [tokens, N].
        flow: of d at what it is fed, through its own weights alone, [tokens, K].
        ending: the last tokens of a prompt are computed with TERMS, whatever the others are.
    """
    found = {}
    pull = gradient.T @ x  # [N, K]
    for share, (scale, added) in forms.items():
        z, there = x / scale, flow * scale
        of_weights = float(torch.dot(pull.view(-1), added.view(-1)))
        least = float(rounding_error(z[-ending:], Kind.TERMS, share).mul_(there[-ending:]).sum())
        for kind in (kind for kind, own in SHARES.items() if own == share):
            of_rows = float(rounding_error(z[:-ending], kind, share).mul_(there[:-ending]).sum())
            found[kind] = least + of_rows, of_weights
    return found


def _mean_square(values: Sequence[float]) -> float:
    return sum(v * v for v in values) / len(values)

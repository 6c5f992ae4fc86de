"""How much each product's rounding moves the verdict, without running the model once a product.

The verdict is the difference d of two logits. To first order, an error e in a product's output
changes d by the inner product of e and the gradient of d there. One backward pass a prompt gives
that gradient for every product at once, and the error of every candidate form is computed from the
product's real input. Errors of different products are taken as independent: their squares add up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from rlaif_fast_export.graph.trace import LabelJudge
from rlaif_fast_export.graph.weights import Weights
from rlaif_fast_export.int8.forms import SHARES, Kind, rounding_error
from rlaif_fast_export.int8.gradients import backward, gradient_of, recorded
from rlaif_fast_export.int8.products import Group, RoundedGroup


@dataclass
class Moves:
    """How far d moves on each prompt, in log-odds, when one group alone is int8; by the form it has."""

    inputs: dict[Kind, list[float]] = field(default_factory=dict)
    weights: dict[Kind, list[float]] = field(default_factory=dict)

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


def sensitivity(
    judge: LabelJudge, weights: Weights, products: Mapping[Group, Mapping[float, RoundedGroup]],
    prompts: Sequence[Sequence[int]], prefix: int, ending: int, tick: Callable[[float], None],
) -> dict[str, Moves]:  # fmt: skip
    """The moves of every group, by name, over ``prompts`` behind their baked ``prefix`` tokens.

    The last ``ending`` tokens are computed with TERMS, whatever the others are.

    Args:
        products: each group's weights by the share of a channel's range they take over (SHARES).
    """
    moves = {g.name: Moves({kind: [] for kind in SHARES}, {kind: [] for kind in SHARES}) for g in products}
    modules = {p.module for g in products for p in g.pieces}
    for number, prompt in enumerate(prompts):
        tick(number / len(prompts))
        with recorded(judge, weights, modules) as (fed, gradients):
            backward(judge, prompt)
        with torch.inference_mode():
            for group, forms in products.items():
                x, exact = fed[group.probe][prefix:], weights.joined(group.pieces)
                gradient = gradient_of(group, gradients)[prefix:]  # [tokens, N]
                pull = gradient.T @ x  # [N, K]
                for share, stored in forms.items():
                    z, weight = x / stored.scale, stored.rounded.dequantized()
                    flow = gradient @ weight
                    of_weights = float((pull * (weight / stored.scale - exact)).sum())
                    least = float(rounding_error(z[-ending:], Kind.TERMS).mul_(flow[-ending:]).sum())
                    for kind in (kind for kind, own in SHARES.items() if own == share):
                        of_rows = float(rounding_error(z[:-ending], kind).mul_(flow[:-ending]).sum())
                        moves[group.name].inputs[kind].append(least + of_rows)
                        moves[group.name].weights[kind].append(of_weights)
    return moves


def _mean_square(values: Sequence[float]) -> float:
    return sum(v * v for v in values) / len(values)

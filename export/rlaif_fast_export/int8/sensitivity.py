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

from rlaif_fast_export.int8.forms import Kind, rounding_error
from rlaif_fast_export.int8.gradients import backward, gradient_of, recorded
from rlaif_fast_export.int8.products import Group, RoundedGroup
from rlaif_fast_export.trace import LabelJudge
from rlaif_fast_export.weights import Weights


@dataclass
class Moves:
    """How far d moves on each prompt, in log-odds, when one group alone is int8."""

    inputs: dict[Kind, list[float]] = field(default_factory=dict)  # by the form of the input
    weights: list[float] = field(default_factory=list)

    def variance(self, kind: Kind) -> float:
        """Mean square over the prompts."""
        if kind is Kind.FLOAT:
            return 0.0
        return _mean_square(self.inputs[kind]) + _mean_square(self.weights)


def expected_error(variance: float) -> float:
    """Mean |error| of a normal error of this mean square."""
    return math.sqrt(2 / math.pi * variance)


def sensitivity(
    judge: LabelJudge, weights: Weights, products: Mapping[Group, RoundedGroup], prompts: Sequence[Sequence[int]],
    prefix: int, ending: int, tick: Callable[[float], None],
) -> dict[str, Moves]:  # fmt: skip
    """The moves of every group, by name, over ``prompts`` behind their baked ``prefix`` tokens.

    The last ``ending`` tokens are computed with TERMS, whatever the others are.
    """
    moves = {g.name: Moves({kind: [] for kind in Kind}) for g in products}
    modules = {p.module for g in products for p in g.pieces}
    for number, prompt in enumerate(prompts):
        tick(number / len(prompts))
        with recorded(judge, weights, modules) as (fed, gradients):
            backward(judge, prompt)
        with torch.inference_mode():
            for group, stored in products.items():
                z = fed[group.probe][prefix:] / stored.scale
                gradient = gradient_of(group, gradients)[prefix:]  # [tokens, N]
                weight = stored.rounded.dequantized()
                flow = gradient @ weight
                error = weight.sub_(weights.joined(group.pieces) * stored.scale)  # [N, K]
                found = moves[group.name]
                found.weights.append(float((gradient.T @ z).mul_(error).sum()))
                z, last, flow, flow_last = z[:-ending], z[-ending:], flow[:-ending], flow[-ending:]
                least = float(rounding_error(last, Kind.TERMS).mul_(flow_last).sum())
                for kind in Kind:
                    found.inputs[kind].append(least + float(rounding_error(z, kind).mul_(flow).sum()))
    return moves


def _mean_square(values: Sequence[float]) -> float:
    return sum(v * v for v in values) / len(values)

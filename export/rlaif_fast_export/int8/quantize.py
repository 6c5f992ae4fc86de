"""From a graph of leaves to int8 products: observe, round, weigh, choose."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import onnx_ir as ir
import torch

from rlaif_fast_export.int8.calibration import observe, token_worth
from rlaif_fast_export.int8.forms import Kind, scaling
from rlaif_fast_export.int8.mix import Mix, Size, choose
from rlaif_fast_export.int8.products import Group, RoundedGroup, groups
from rlaif_fast_export.int8.rounding import compensated
from rlaif_fast_export.int8.sensitivity import sensitivity
from rlaif_fast_export.trace import LabelJudge
from rlaif_fast_export.weights import Weights

_PROMPTS_WEIGHED = 16  # a backward pass each
_GRAM_BYTES = 2**30  # Gram matrices held at once: at least this, at most half of what the weights take


@dataclass(frozen=True)
class Product:
    """How one group is computed."""

    group: Group
    kind: Kind
    stored: RoundedGroup


@dataclass(frozen=True)
class Int8:
    """What the lowering needs, and what was expected of it."""

    products: list[Product]
    mix: Mix
    log_odds: list[float]  # the model's own, of the calibration prompts


def quantize(
    model: ir.Model, judge: LabelJudge, weights: Weights, prompts: Sequence[Sequence[int]], prefix: int, ending: int,
    target: float, progress: Callable[[str, float], None],
) -> Int8:  # fmt: skip
    """Choose and round every product of ``model``.

    Args:
        model: a graph of leaves, its products final (nothing joins or cuts them later).
        judge: the traced model, unchanged.
        prompts: token sequences to calibrate on.
        prefix: their baked tokens, computed in float32 once and for all.
        ending: their last tokens, at least one, always computed with TERMS.
        target: mean |error| in log-odds the mix is chosen for.
    """
    rounded: dict[Group, RoundedGroup] = {}
    wanted = groups(model)
    worth, log_odds = token_worth(
        judge, weights, wanted, prompts, prefix, lambda done: progress("weighing the calibration texts", done)
    )
    for batch in _batches(wanted, weights):
        seen = observe(
            judge, weights, batch, prompts, worth, prefix,
            lambda done: progress("observing the calibration texts", done),
        )  # fmt: skip
        with torch.inference_mode():
            for number, group in enumerate(batch):
                progress("rounding the weights", number / len(batch))
                found, weight = seen.pop(group.name), weights.joined(group.pieces)
                scale = scaling(found.largest, weight.abs().amax(0))
                gram = found.gram.div_(scale).div_(scale[:, None])
                rounded[group] = RoundedGroup(scale, compensated(weight * scale, gram))
    step = max(1, len(prompts) // _PROMPTS_WEIGHED)
    moves = sensitivity(
        judge, weights, rounded, prompts[::step], prefix, ending,
        lambda done: progress("weighing every product's error", done),
    )  # fmt: skip
    open_to_choice = {g.name: moves[g.name] for g in rounded if not g.critical}
    sizes = {g.name: Size(*weights.features(g.pieces)) for g in rounded}
    mix = choose(open_to_choice, sizes, target)
    products = [Product(g, mix.kinds.get(g.name, Kind.TERMS), stored) for g, stored in rounded.items()]
    return Int8(products, mix, log_odds)


def _batches(wanted: list[Group], weights: Weights) -> Iterator[list[Group]]:
    """Groups whose Gram matrices are held together."""
    sizes = [weights.features(g.pieces) for g in wanted]
    limit = max(_GRAM_BYTES, sum(4 * k * n for k, n in sizes) // 2)
    batch: list[Group] = []
    held = 0
    for group, (k, _) in zip(wanted, sizes, strict=True):
        if batch and held + 4 * k * k > limit:
            yield batch
            batch, held = [], 0
        batch.append(group)
        held += 4 * k * k
    yield batch

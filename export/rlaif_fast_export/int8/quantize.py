"""From a graph of leaves to int8 products: observe, round, weigh, choose."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import onnx_ir as ir
import torch

from rlaif_fast_export.graph.trace import LabelJudge
from rlaif_fast_export.graph.weights import Weights
from rlaif_fast_export.int8.calibration import observe, token_worth
from rlaif_fast_export.int8.forms import SHARES, Kind, scaling
from rlaif_fast_export.int8.mix import Mix, Size, choose
from rlaif_fast_export.int8.products import Group, RoundedGroup, groups
from rlaif_fast_export.int8.rounding import compensated
from rlaif_fast_export.int8.sensitivity import Moves, sensitivity

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


@dataclass(frozen=True)
class Calibrated:
    """A model's products rounded, and what is known of their errors: mixes are chosen from it at no cost.

    Attributes:
        rounded: a group's weights in int8, by the group's name and the share of a channel's range they take over.
        moves: how far each group moves the verdict.
        sizes: of the products.
        log_odds: the model's own, of the calibration prompts.
    """

    rounded: dict[str, dict[float, RoundedGroup]]
    moves: dict[str, Moves]
    sizes: dict[str, Size]
    log_odds: list[float]

    def choose(self, model: ir.Model, target: float, steady: float) -> Int8:
        """The form of every product of ``model``, a graph of the leaves that were calibrated.

        Args:
            target: mean |error| in log-odds the mix is chosen for.
            steady: mean |difference| in log-odds between two kinds of processors.
        """
        found = groups(model)
        open_to_choice = {g.name: self.moves[g.name] for g in found if not g.critical}
        mix = choose(open_to_choice, self.sizes, target, steady)
        kinds = {g.name: mix.kinds.get(g.name, Kind.TERMS) for g in found}
        return Int8([Product(g, kinds[g.name], self._stored(g.name, kinds[g.name])) for g in found], mix)

    def _stored(self, name: str, kind: Kind) -> RoundedGroup:
        return self.rounded[name][SHARES.get(kind, SHARES[Kind.TERMS])]


def calibrate(
    model: ir.Model, judge: LabelJudge, weights: Weights, prompts: Sequence[Sequence[int]],
    others: Sequence[Sequence[int]], prefix: int, ending: int, progress: Callable[[str, float], None],
) -> Calibrated:  # fmt: skip
    """Round every product of ``model``, and weigh the errors of each form it could have.

    Args:
        model: a graph of leaves, its products final (nothing joins or cuts them later).
        judge: the traced model, unchanged.
        prompts: token sequences to calibrate on.
        others: more of them, on which the errors are weighed too: the weights are not fitted to these.
        prefix: their baked tokens, computed in float32 once and for all.
        ending: their last tokens, at least one, always computed with TERMS.
    """
    rounded: dict[Group, dict[float, RoundedGroup]] = {}
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
                rounded[group] = {}
                for share in sorted({*SHARES.values()}):
                    scale = scaling(found.largest, weight.abs().amax(0), share)
                    gram = found.gram / scale / scale[:, None]
                    rounded[group][share] = RoundedGroup(scale, compensated(weight * scale, gram))
    step = max(1, len(prompts) // _PROMPTS_WEIGHED)
    moves = sensitivity(
        judge, weights, rounded, [*prompts[::step], *others], prefix, ending,
        lambda done: progress("weighing every product's error", done),
    )  # fmt: skip
    sizes = {g.name: Size(*weights.features(g.pieces)) for g in rounded}
    return Calibrated({g.name: forms for g, forms in rounded.items()}, moves, sizes, log_odds)


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

"""From a graph of leaves to int8 products: observe, round, weigh, choose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import onnx_ir as ir
import torch

from rlaif_fast_export.graph.forms import UnsupportedModule
from rlaif_fast_export.graph.weights import Weights
from rlaif_fast_export.int8.calibration import CalibratedGroup, Texts, calibrated_block, nearest_block
from rlaif_fast_export.int8.forms import SHARES, Kind
from rlaif_fast_export.int8.mix import Mix, Size, choose
from rlaif_fast_export.int8.products import Group, RoundedGroup, groups
from rlaif_fast_export.int8.sensitivity import Moves
from rlaif_fast_export.int8.spool import Spooled
from rlaif_fast_export.int8.work import Work
from rlaif_fast_export.reference.blockwise import Blockwise, Prompt


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

    def in_8_bits(self) -> set[ir.Node]:
        """The leaves that are fed 8 bits."""
        return {leaf for p in self.products if p.kind is Kind.ROWS for leaf in p.group.leaves}

    def of(self, model: ir.Model) -> Int8:
        """The same for ``model``'s leaves, which are those that were chosen for, or copies of them."""
        found = {group.name: group for group in groups(model)}
        return replace(self, products=[replace(p, group=found[p.group.name]) for p in self.products])


@dataclass(frozen=True)
class Calibrated:
    """A model's products rounded, and what is known of their errors: mixes are chosen from it at no cost.

    Attributes:
        rounded: a group's weights in int8, by the group's name and the share of a channel's range they take over.
        moves: how far each group moves the verdict; None where that was not weighed: it is computed with TERMS.
        sizes: of the products.
    """

    rounded: dict[str, dict[float, RoundedGroup]]
    moves: dict[str, Moves | None]
    sizes: dict[str, Size]

    def choose(self, model: ir.Model, target: float, steady: float) -> Int8:
        """The form of every product of ``model``, a graph of the leaves that were calibrated.

        Args:
            target: mean |error| in log-odds the mix is chosen for.
            steady: mean |difference| in log-odds between two kinds of processors.
        """
        found = groups(model)
        open_to_choice = {g.name: moves for g in found if not g.critical and (moves := self.moves[g.name]) is not None}
        mix = choose(open_to_choice, self.sizes, target, steady)
        kinds = {g.name: mix.kinds.get(g.name, Kind.TERMS) for g in found}
        return Int8([Product(g, kinds[g.name], self._stored(g.name, kinds[g.name])) for g in found], mix)

    def _stored(self, name: str, kind: Kind) -> RoundedGroup:
        return self.rounded[name][SHARES.get(kind, SHARES[Kind.TERMS])]


def calibrate(
    graph: ir.Model, model: Blockwise, weights: Weights, texts: Texts, inputs: Mapping[tuple[int, Prompt], Spooled],
    gradients: dict[Prompt, torch.Tensor] | None, work: Work, tick: Callable[[float], None],
) -> Calibrated:  # fmt: skip
    """Round every product of ``graph``, and weigh the errors of each form it could have, from the last block on.

    Args:
        graph: of leaves, its products final (nothing joins or cuts them later).
        weights: of ``model``.
        inputs: what each block is fed, [1, tokens, D].
        gradients: of log(p1/p2) behind the last block, [1, tokens, D]; without them every value is rounded to the
            nearest, and nothing weighed.
        work: takes the rounded weights, and what is needed to go on behind a finished block.
    """
    wanted, of_block = groups(graph), _by_block(groups(graph), model, weights)
    found, left = _finished(work, len(model.blocks), texts, gradients)
    for index in reversed(range(left)):
        tick(1 - (index + 1) / len(model.blocks))
        own = of_block[index]
        if gradients is None:
            made = nearest_block(index, own, model, weights, texts, inputs, work.spool)
        else:
            made = calibrated_block(index, own, model, weights, texts, inputs, gradients, work.spool)
            work.save(f"gradients-{index}", [gradients[prompt] for prompt in texts.all])
        work.save(f"block-{index}", {group: calibrated.numbers() for group, calibrated in made.items()})
        work.drop(f"gradients-{index + 1}")
        found |= made
    sizes = {g.name: Size(*weights.features(g.pieces)) for g in wanted}
    rounded, moves = ({n: getattr(c, what) for n, c in found.items()} for what in ("forms", "moves"))
    return Calibrated(rounded, moves, sizes)


def _finished(
    work: Work, blocks: int, texts: Texts, gradients: dict[Prompt, torch.Tensor] | None
) -> tuple[dict[str, CalibratedGroup], int]:  # fmt: skip
    """The groups of the last blocks, as far as they are in ``work``, and how many blocks before them are left.

    ``gradients`` are those behind the first of these afterwards; without them, none of the finished is of use.
    """
    found: dict[str, CalibratedGroup] = {}
    left = blocks
    while left and (done := work.load(f"block-{left - 1}")) is not None:
        found |= {group: CalibratedGroup.found(numbers, work.spool) for group, numbers in done.items()}
        left -= 1
    if gradients is not None and 0 < left < blocks:
        if (behind := work.load(f"gradients-{left}")) is None:
            return {}, blocks
        gradients |= dict(zip(texts.all, behind, strict=True))
    return found, left


def _by_block(wanted: Sequence[Group], model: Blockwise, weights: Weights) -> list[list[Group]]:
    """The groups that each block has. Raises UnsupportedModule where one is outside of all."""
    place = {module: index for index, block in enumerate(model.blocks) for module in block.modules()}
    found: list[list[Group]] = [[] for _ in model.blocks]
    for group in wanted:
        if (index := place.get(weights.module(group.probe))) is None:
            raise UnsupportedModule(f"{group.probe} is a product outside of the model's blocks")
        found[index].append(group)
    return found

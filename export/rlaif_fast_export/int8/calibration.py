"""One block of the model in int8: what its products are fed, their weights rounded, the errors of each form weighed.

The block runs once more on every prompt, forward and backward. That gives the gradient of the verdict behind each of
its products, by which tokens and errors are weighed, and the gradient in front of the block, which the block before it
goes on from: the passes of a whole model with one block in memory (the scheme of AutoRound's and llm-compressor's
sequential pipelines).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rlaif_fast_export.graph.weights import Weights
from rlaif_fast_export.int8.forms import SHARES, Kind, scaling
from rlaif_fast_export.int8.gradients import Record, recorded
from rlaif_fast_export.int8.products import Group, RoundedGroup
from rlaif_fast_export.int8.rounding import LARGE, Rounded, compensated, feature_parts, nearest
from rlaif_fast_export.int8.sensitivity import Moves, moves_of
from rlaif_fast_export.int8.spool import Spool, Spooled
from rlaif_fast_export.reference.blockwise import Blockwise, Prompt
from rlaif_fast_export.reference.workers import at_once

WEIGHED = 8  # calibration prompts that errors are weighed on, half of them at most; the weights are fitted to all
_FLOOR = 0.3  # of a token's weight is the same for all: no token is worth nothing
_TOGETHER = 16  # prompts whose records are held at once, beside those that the errors are weighed on
_SAME = 1e-4  # of a gradient's largest value: what other sums leave of a difference
_PANEL = 256  # channels of a Gram matrix that are computed together


@dataclass(frozen=True)
class Texts:
    """The prompts of a calibration, without their baked tokens, which never pass an int8 product.

    Attributes:
        fitted: the weights are rounded for these.
        weighed: the errors are weighed on these; some of ``fitted``, and others.
        ending: their last tokens, at least one, always computed with TERMS.
    """

    fitted: Sequence[Prompt]
    weighed: Sequence[Prompt]
    ending: int

    @property
    def all(self) -> list[Prompt]:
        """Each once."""
        return list(dict.fromkeys((*self.fitted, *self.weighed)))


@dataclass(frozen=True)
class CalibratedGroup:
    """A group's weights in int8 by the share of a channel's range they take over, and how far each form moves d.

    Where nothing was weighed there are weights for TERMS only.
    """

    forms: dict[float, RoundedGroup]
    moves: Moves | None = None

    def numbers(self) -> dict[str, Any]:
        """Tensors, numbers and texts, by which :meth:`found` makes it again."""
        forms = {share: [form.scale, form.steps, form.values.numbers] for share, form in self.forms.items()}
        return {"forms": forms, "moves": None if self.moves is None else self.moves.numbers()}

    @classmethod
    def found(cls, numbers: dict[str, Any], spool: Spool) -> CalibratedGroup:
        """From :meth:`numbers`, its values in ``spool``."""
        forms = {
            share: RoundedGroup(scale, steps, spool.at(*values))
            for share, (scale, steps, values) in numbers["forms"].items()
        }
        return cls(forms, None if numbers["moves"] is None else Moves.found(numbers["moves"]))


class _Gram:
    """A sum of outer products that is symmetric, [width, width]."""

    def __init__(self, width: int) -> None:
        self._sum = torch.zeros(width, width)

    def add(self, weighed: torch.Tensor, plain: torch.Tensor) -> None:
        """``weighed.T @ plain``, [tokens, width] both."""
        for start in range(0, len(self._sum), _PANEL):  # of a symmetric matrix the lower panels suffice
            self._sum[start:, start : start + _PANEL].addmm_(weighed[:, start:].T, plain[:, start : start + _PANEL])

    def whole(self) -> torch.Tensor:
        return self._sum.tril().add_(self._sum.tril(-1).T)


class _Observed:
    """What one group was fed, each token weighed by its worth, and the verdict's gradients behind it.

    Attributes:
        largest: of |x|, [K].
        fed: of the inputs [tokens, K].
        behind: of the gradients, for as many features as :func:`feature_parts` says.
    """

    def __init__(self, width: int, features: int) -> None:
        self.largest, self.fed = torch.zeros(width), _Gram(width)
        self._parts = feature_parts(features)
        self.behind = [_Gram(n) for n in self._parts]

    def add(self, x: torch.Tensor, gradient: torch.Tensor) -> None:
        """Inputs [tokens, K]; a token's worth is the squared gradient [tokens, N] behind it, its mean 1.

        Most of it lies on a prompt's last tokens, three quarters on the five of the ending (docs/performance.md).
        """
        squares = gradient.square().sum(1)
        worth = (1 - _FLOOR) * squares / squares.mean().clamp(min=1e-30) + _FLOOR
        self.largest = torch.maximum(self.largest, x.abs().amax(0))
        self.fed.add(x * worth[:, None], x)
        for gram, part in zip(self.behind, gradient.split(self._parts, 1), strict=True):
            gram.add(part, part)


def calibrated_block(
    index: int, groups: Sequence[Group], model: Blockwise, weights: Weights, texts: Texts,
    inputs: Mapping[tuple[int, Prompt], Spooled], gradients: dict[Prompt, torch.Tensor], spool: Spool,
) -> dict[str, CalibratedGroup]:  # fmt: skip
    """Block ``index``'s groups by name.

    Args:
        inputs: what blocks are fed.
        gradients: of the verdict behind the block, [1, tokens, D]; in front of it afterwards.
        spool: takes the rounded weights.
    """
    modules = {p.module for group in groups for p in group.pieces}
    fitted, weighed = {*texts.fitted}, {*texts.weighed}
    observed = {group: _Observed(*weights.features(group.pieces)) for group in groups}
    records: dict[Prompt, Record] = {}

    def record_of(prompt: Prompt, group: Group) -> tuple[torch.Tensor, torch.Tensor]:
        record = records[prompt]
        return record.fed[group.probe], record.gradient_of(group)

    with model.block(index) as block:
        exact = {group: weights.joined(group.pieces) for group in groups}

        def replay(prompt: Prompt) -> None:
            record, fed = begin(), inputs[index, prompt].read().requires_grad_(True)
            with torch.enable_grad():
                block(prompt, fed).backward(gradients[prompt])
            assert fed.grad is not None
            gradients[prompt], records[prompt] = fed.grad, record

        def observe(group: Group) -> None:
            for prompt in together:
                if prompt in fitted:
                    observed[group].add(*record_of(prompt, group))

        def round_group(group: Group) -> dict[float, tuple[torch.Tensor, Rounded]]:
            return _rounded(exact[group], observed.pop(group))

        def flow_of(prompt: Prompt, group: Group) -> torch.Tensor:
            if group in sole:
                return records[prompt].before[group.probe]
            return record_of(prompt, group)[1] @ exact[group]

        def weigh(prompt: Prompt) -> dict[Group, dict[Kind, tuple[float, float]]]:
            return {
                group: moves_of(added[group], *record_of(prompt, group), flow_of(prompt, group), texts.ending)
                for group in groups
            }

        with recorded(weights, modules) as begin, at_once() as each:
            for start in range(0, len(texts.all), _TOGETHER):
                together = texts.all[start : start + _TOGETHER]
                each(replay, together)
                each(observe, groups)
                for prompt in {*together} - weighed:
                    del records[prompt]
            small = [group for group in groups if exact[group].numel() < LARGE]
            forms = dict(zip(small, each(round_group, small), strict=True))
        forms |= {group: round_group(group) for group in groups if group not in forms}  # with all threads each
        added = {
            group: {share: (scale, form.dequantized() / scale - exact[group]) for share, (scale, form) in of.items()}
            for group, of in forms.items()
        }  # fmt: skip
        sole = {group for group in groups if _is_sole(records[texts.weighed[0]], group, exact[group])}
        with at_once() as each:
            moves = each(weigh, texts.weighed)
    return {
        group.name: CalibratedGroup(
            {share: RoundedGroup(scale, r.scales, spool.put(r.values)) for share, (scale, r) in forms[group].items()},
            Moves.of([found[group] for found in moves]),
        )
        for group in groups
    }


def nearest_block(
    index: int, groups: Sequence[Group], model: Blockwise, weights: Weights, texts: Texts,
    inputs: Mapping[tuple[int, Prompt], Spooled], spool: Spool,
) -> dict[str, CalibratedGroup]:  # fmt: skip
    """Block ``index``'s groups by name, each value rounded for itself: one pass forward, for the inputs' ranges."""
    share, modules = SHARES[Kind.TERMS], {p.module for group in groups for p in group.pieces}
    largest: list[dict[Group, torch.Tensor]] = []
    with model.block(index) as block, at_once() as each:
        with recorded(weights, modules) as begin:

            def observe(prompt: Prompt) -> None:
                record = begin()
                with torch.no_grad():
                    block(prompt, inputs[index, prompt].read())
                largest.append({g: record.fed[g.probe].abs().amax(0) for g in groups})

            each(observe, texts.fitted)

        def rounded(group: Group) -> CalibratedGroup:
            weight = weights.joined(group.pieces)
            reach = torch.stack([of_prompt[group] for of_prompt in largest]).amax(0)
            scale = scaling(reach, weight.abs().amax(0), share)
            form = nearest(weight, scale)
            return CalibratedGroup({share: RoundedGroup(scale, form.scales, spool.put(form.values))})

        return {group.name: rounded(group) for group in groups}


def _is_sole(record: Record, group: Group, weight: torch.Tensor) -> bool:
    """Whether nothing else is fed what the group is, so that the gradient there is its own alone.

    No structure of a model's code tells; the numbers do.
    """
    own, there = record.gradient_of(group) @ weight, record.before[group.probe]
    return float((own - there).abs().max()) <= _SAME * float(own.abs().max())


def _rounded(weight: torch.Tensor, observed: _Observed) -> dict[float, tuple[torch.Tensor, Rounded]]:
    """A group's weights [N, K] for what was observed: by SHARES, the channels' scale and what it gave."""
    scales = {share: scaling(observed.largest, weight.abs().amax(0), share) for share in sorted({*SHARES.values()})}
    behind = [gram.whole() for gram in observed.behind]
    forms = compensated(weight, observed.fed.whole(), behind, [*scales.values()])
    return {share: (scale, form) for (share, scale), form in zip(scales.items(), forms, strict=True)}

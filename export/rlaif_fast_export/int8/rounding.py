"""Rounding a weight matrix to int8 so that the verdict moves little, not the matrix.

Input channels are rounded one after the other, and what rounding one adds to the product is taken out of those that
are not rounded yet. That is GPTQ (Frantar et al. 2022, arXiv 2210.17323), in the form of Babai's nearest plane (Chen et
al. 2025, arXiv 2507.18553), which gives the same and needs one Cholesky factor of the inputs' Gram matrix and no
inverse. The same is done with output features, by the Gram matrix of the verdict's gradients behind them: an error that
moves the verdict is taken out by features that are not rounded yet. Both together are the two-sided rounding of YAQA
(Tseng et al. 2025, arXiv 2505.22988), here for one verdict in place of a distribution. What each leaves of the error is
in docs/performance.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from rlaif_fast_export.reference.workers import at_once

LEVELS = 127  # symmetric: -127..127
_FEW = 32  # channels that are rounded one by one
LARGE = 1 << 22  # weights: of fewer, threads only wait for each other
_DAMPING = 0.01  # of the Gram matrix's mean diagonal; directions never seen stay near the nearest value
_DAMPING_BEHIND = 0.2  # the same behind the product: the gradient of another prompt has other directions too
TOGETHER = 1024  # output features that take over each other's errors, at most
_TURNS = 8  # in which they are rounded: those of one turn do not take over each other's


@dataclass(frozen=True)
class Rounded:
    """A matrix [N, K] as ``values * scales[:, None]``."""

    values: torch.Tensor  # int8 [N, K]
    scales: torch.Tensor  # float32 [N]

    def dequantized(self) -> torch.Tensor:
        """float32 [N, K]."""
        return self.values.float() * self.scales[:, None]


def nearest(weight: torch.Tensor, scaling: torch.Tensor) -> Rounded:
    """``weight * scaling`` [N, K], each value rounded for itself."""
    scaled = weight * scaling
    scales = _scales(scaled)
    return Rounded((scaled / scales[:, None]).round_().to(torch.int8), scales)


def feature_parts(features: int) -> list[int]:
    """How many output features, of so many, take over each other's errors: they are cut into so large parts."""
    return [len(part) for part in torch.arange(features).chunk(math.ceil(features / TOGETHER))]


def compensated(
    weight: torch.Tensor, gram: torch.Tensor, behind: Sequence[torch.Tensor], scalings: Sequence[torch.Tensor]
) -> list[Rounded]:
    """Round ``weight * scaling``, [N, K] each, so that the verdict moves little.

    All scalings share one factor of the Gram matrix, damped and ordered as the first one wants it. Nothing given is
    changed.

    Args:
        gram: ``x.T @ x`` of the inputs x before they are scaled, [K, K].
        behind: ``g.T @ g`` of the gradients g behind the features, [n, n] for each part of :func:`feature_parts`.
        scalings: of the channels, [K] each; inputs are ``x / scaling``.
    """
    first = scalings[0]
    order = torch.argsort(gram.diagonal() / first.square())  # the last is rounded first, while all others can give
    share = _shares(gram[order[:, None], order].div_(first[order]).div_(first[order][:, None]))
    ratios = torch.stack([(first / s)[order] for s in scalings], 1)

    def round_rows(parts: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> list[list[Rounded]]:
        found = [_Features(rows, scalings, order, gradients) for rows, gradients in parts]
        for turn in range(_TURNS):  # all parts side by side
            targets, scales = zip(*(part.begin(turn) for part in found), strict=True)
            rounded = _InOrder(torch.cat(targets, 2).flatten(1), ratios, torch.cat(scales, 1), share)
            sizes = [target.shape[2] for target in targets]
            shape = len(order), len(scalings), sum(sizes)
            errors, values = (made.view(shape).split(sizes, 2) for made in (rounded.left, rounded.values))
            for part, *made in zip(found, errors, values, strict=True):
                part.end(turn, *made)
        return [part.rounded() for part in found]

    parts = list(zip(weight.split(feature_parts(len(weight))), behind, strict=True))
    if weight.numel() < LARGE:
        made = round_rows(parts)
    else:
        size = math.ceil(len(parts) / torch.get_num_threads())
        with at_once() as each:
            of_threads = each(round_rows, [parts[n : n + size] for n in range(0, len(parts), size)])
        made = [part for found in of_threads for part in found]
    return [
        Rounded(torch.cat([r.values for r in of]), torch.cat([r.scales for r in of])) for of in zip(*made, strict=True)
    ]


class _Features:
    """Output features of a weight that take over each other's errors, in n scalings.

    Those whose gradients are largest come first. What a feature is to be is its exact value, and what takes out of the
    verdict the errors of those that are rounded.
    """

    def __init__(
        self, weight: torch.Tensor, scalings: Sequence[torch.Tensor], channels: torch.Tensor, gradients: torch.Tensor
    ) -> None:
        """
        Args:
            weight: their rows, [N, K].
            channels: the order of the channels, [K].
            gradients: see ``behind`` of :func:`compensated`, [N, N].
        """
        self._order, self._channels = torch.argsort(gradients.diagonal()), channels
        self._lower = _lower(gradients[self._order[:, None], self._order], _DAMPING_BEHIND)
        self._scales = torch.stack([_scales(weight * s) for s in scalings])
        exact = (weight * scalings[0]).T[channels][:, self._order]
        self._left = exact[:, None].repeat(1, len(scalings), 1)  # [K, n, N]; where it is rounded, the error
        self._values = torch.empty(self._left.shape, dtype=torch.int8)
        self._given = torch.zeros(())

    def begin(self, turn: int) -> tuple[torch.Tensor, torch.Tensor]:
        """What this turn's features are to be, [K, n, features], and their scales, [n, features]."""
        own, done = self._places(turn)
        taken = torch.linalg.solve_triangular(self._lower[own, own], self._lower[done, own], upper=False, left=False)
        self._given = self._left[:, :, done] @ taken
        return self._left[:, :, own] + self._given, self._scales[:, self._order[own]]

    def end(self, turn: int, left: torch.Tensor, values: torch.Tensor) -> None:
        """Args: left: what they were to be, less ``values``, [K, n, features] both."""
        own, _ = self._places(turn)
        self._values[:, :, own] = values
        self._left[:, :, own] = left - self._given

    def rounded(self) -> list[Rounded]:
        """One for each scaling."""
        values = self._values[torch.argsort(self._channels)][:, :, torch.argsort(self._order)]
        return [Rounded(values[:, i].T.contiguous(), scales) for i, scales in enumerate(self._scales)]

    def _places(self, turn: int) -> tuple[slice, slice]:
        """Of this turn's features, and of those that are rounded."""
        count = len(self._order)
        start, end = (count * (_TURNS - turn - more) // _TURNS for more in (1, 0))
        return slice(start, end), slice(end, count)


def _scales(scaled: torch.Tensor) -> torch.Tensor:
    return (scaled.abs().amax(1) / LEVELS).clamp(min=torch.finfo(torch.float32).tiny)


class _InOrder:
    """Rounds a matrix's channels from the last one on, for n scalings side by side.

    Attributes:
        values: int8 [K, n * N].
        left: ``exact`` less what the values stand for.
    """

    def __init__(self, exact: torch.Tensor, ratios: torch.Tensor, scales: torch.Tensor, share: torch.Tensor) -> None:
        """
        Args:
            exact: weight * the first scaling, for each scaling, [K, n * N].
            ratios: of the first scaling to each, [K, n].
            scales: of each scaling's values, [n, N].
            share: see :func:`_shares`.
        """
        self._exact, self._ratios, self._scales, self._share = exact, ratios, scales, share
        self.left = exact.clone()  # what a channel is to be; once it is rounded, the error
        self.values = torch.empty(exact.shape, dtype=torch.int8)
        self._round(0, len(exact))

    def _round(self, start: int, end: int) -> None:
        if end - start <= _FEW:
            self._round_channels(start, end)
            return
        middle = (start + end) // 2  # halves again and again, so that most of the work is in large products
        self._round(middle, end)
        self.left[start:middle].addmm_(self._share[middle:end, start:middle].T, self.left[middle:end])
        self._round(start, middle)

    def _round_channels(self, start: int, end: int) -> None:
        own = self._exact[start:end].numpy()
        steps = (self._ratios[start:end, :, None] * self._scales).view(end - start, -1).numpy()
        among = self._share[start:end, start:end].T.contiguous().numpy()
        left, found = self.left[start:end].numpy(), np.empty_like(own)
        for i in reversed(range(end - start)):  # NumPy's calls cost a tenth of PyTorch's, and a channel is little work
            target = left[i]
            target += among[i, i + 1 :] @ left[i + 1 :]
            target /= steps[i]
            np.rint(target, out=target)
            np.clip(target, -LEVELS, LEVELS, out=found[i])
            np.multiply(found[i], steps[i], out=target)
            np.subtract(own[i], target, out=target)
        self.values[start:end] = torch.from_numpy(found).to(torch.int8)


def _shares(gram: torch.Tensor) -> torch.Tensor:
    """What of a channel's error earlier ones can take over, float32 [K, K]: element [k, j] of channel k, channel j.

    With the damped matrix as L @ L.T, L lower triangular, it is L[k, j] / L[j, j]. ``gram`` is used up.
    """
    lower = _lower(gram, _DAMPING)
    return lower.div_(lower.diagonal().clone())


def _lower(gram: torch.Tensor, damping: float) -> torch.Tensor:
    """The Cholesky factor of a Gram matrix, damped by so much of its mean diagonal, more where that is too little."""
    mean = gram.diagonal().mean().clamp(min=1e-30)
    while True:
        gram.diagonal().add_(damping * mean)
        lower, failed = torch.linalg.cholesky_ex(gram)
        if not failed:
            return lower
        damping *= 4

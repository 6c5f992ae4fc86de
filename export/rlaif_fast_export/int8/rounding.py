"""Rounding a weight matrix to int8 so that the product's error is small, not the matrix's.

Input channels are rounded one after the other, and what rounding one adds to the product is taken out of those that
are not rounded yet. That is GPTQ (Frantar et al. 2022, arXiv 2210.17323), in the form of Babai's nearest plane (Chen et
al. 2025, arXiv 2507.18553), which gives the same and needs one Cholesky factor of the inputs' Gram matrix and no
inverse. On SmolLM2's verdicts it leaves a seventh of the error of rounding to the nearest (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from rlaif_fast_export.reference.workers import at_once

LEVELS = 127  # symmetric: -127..127
_FEW = 32  # channels that are rounded one by one
LARGE = 1 << 22  # weights: of fewer, threads only wait for each other
_DAMPING = 0.01  # of the Gram matrix's mean diagonal; directions never seen stay near the nearest value


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


def compensated(weight: torch.Tensor, gram: torch.Tensor, scalings: Sequence[torch.Tensor]) -> list[Rounded]:
    """Round ``weight * scaling``, [N, K] each, for inputs ``x / scaling`` where ``x.T @ x`` is ``gram`` [K, K].

    All scalings [K] share one factor of the Gram matrix, damped and ordered as the first one wants it. The weight and
    the matrix stay as they are.
    """
    first = scalings[0]
    order = torch.argsort(gram.diagonal() / first.square())  # the last is rounded first, while all others can give
    share = _shares(gram[order[:, None], order].div_(first[order]).div_(first[order][:, None]))
    ratios = torch.stack([(first / s)[order] for s in scalings], 1)

    def round_rows(rows: torch.Tensor) -> list[Rounded]:
        scales = torch.stack([_scales(rows * s) for s in scalings])
        values = _InOrder((rows * first).T[order], ratios, scales, share).values
        parts = values[torch.argsort(order)].split(len(rows), dim=1)
        return [Rounded(part.T.contiguous(), s) for part, s in zip(parts, scales, strict=True)]

    if weight.numel() < LARGE:
        return round_rows(weight)
    with at_once() as each:  # output features do not depend on each other
        found = each(round_rows, weight.chunk(torch.get_num_threads()))
    return [
        Rounded(torch.cat([r.values for r in of]), torch.cat([r.scales for r in of])) for of in zip(*found, strict=True)
    ]


def _scales(scaled: torch.Tensor) -> torch.Tensor:
    return (scaled.abs().amax(1) / LEVELS).clamp(min=torch.finfo(torch.float32).tiny)


class _InOrder:
    """Rounds a matrix's channels from the last one on, for n scalings side by side.

    Attributes:
        values: int8 [K, n * N].
    """

    def __init__(self, exact: torch.Tensor, ratios: torch.Tensor, scales: torch.Tensor, share: torch.Tensor) -> None:
        """
        Args:
            exact: weight * the first scaling, [K, N].
            ratios: of the first scaling to each, [K, n].
            scales: of each scaling's values, [n, N].
            share: see :func:`_shares`.
        """
        self._exact, self._ratios, self._scales, self._share = exact, ratios, scales, share
        self._left = exact.repeat(1, len(scales))  # what a channel is to be; once it is rounded, the error
        self.values = torch.empty(self._left.shape, dtype=torch.int8)
        self._round(0, len(exact))

    def _round(self, start: int, end: int) -> None:
        if end - start <= _FEW:
            self._round_channels(start, end)
            return
        middle = (start + end) // 2  # halves again and again, so that most of the work is in large products
        self._round(middle, end)
        self._left[start:middle].addmm_(self._share[middle:end, start:middle].T, self._left[middle:end])
        self._round(start, middle)

    def _round_channels(self, start: int, end: int) -> None:
        own = self._exact[start:end].repeat(1, len(self._scales)).numpy()
        steps = (self._ratios[start:end, :, None] * self._scales).view(end - start, -1).numpy()
        among = self._share[start:end, start:end].T.contiguous().numpy()
        left, found = self._left[start:end].numpy(), np.empty_like(own)
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
    mean = gram.diagonal().mean().clamp(min=1e-12)
    damping = _DAMPING
    while True:
        gram.diagonal().add_(damping * mean)
        lower, failed = torch.linalg.cholesky_ex(gram)
        if not failed:
            return lower.div_(lower.diagonal().clone())
        damping *= 4

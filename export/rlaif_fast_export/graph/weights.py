"""The weights of a traced model, read from the live modules one tensor at a time.

A leaf names its module; a pass may cut a linear layer's output features into pieces
(fused QKV) or join several layers into one product. Nothing is copied before the tensor
is written, so an export takes no more memory for them than one tensor has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

LARGEST_HALF = 65_000.0  # float16 ends a little above
_HALF = {torch.float16: ir.DataType.FLOAT16, torch.bfloat16: ir.DataType.BFLOAT16}


class UnsupportedModule(Exception):
    """A module computes something the exporter has no operator for."""


@dataclass(frozen=True)
class Piece:
    """Output features of one linear module: all of them, or the given rows, in that order."""

    module: str
    rows: tuple[int, ...] | None = None


class Weights:
    """Reads matrices, biases and norm scales out of ``model`` by module name."""

    def __init__(self, model: nn.Module) -> None:
        self._modules = dict(model.named_modules())

    def module(self, name: str) -> nn.Module:
        return self._modules[name]

    def _piece(self, piece: Piece) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Weight as [K, N] (a view where it can be) and bias [N] of a piece."""
        module = self._modules[piece.module]
        weight = module.weight.detach()
        weight = weight if isinstance(module, Conv1D) else weight.t()
        bias = getattr(module, "bias", None)
        if piece.rows is not None:
            rows = torch.tensor(piece.rows)
            weight = weight[:, rows]
            bias = None if bias is None else bias[rows]
        return weight, None if bias is None else bias.detach()

    def joined(self, pieces: Sequence[Piece]) -> torch.Tensor:
        """[N, K] float32, the pieces' output features one below the other."""
        return self._joined(pieces).float()

    def _joined(self, pieces: Sequence[Piece]) -> torch.Tensor:
        return torch.cat([self._piece(p)[0].t() for p in pieces])

    def features(self, pieces: Sequence[Piece]) -> tuple[int, int]:
        """(K, N) of the product the pieces form together."""
        shapes = []
        for piece in pieces:
            module = self._modules[piece.module]
            k, n = module.weight.shape if isinstance(module, Conv1D) else module.weight.shape[::-1]
            shapes.append((int(k), int(n) if piece.rows is None else len(piece.rows)))
        return shapes[0][0], sum(n for _, n in shapes)

    def matrix(self, pieces: Sequence[Piece]) -> ir.LazyTensor:
        """[K, N], so that ``x @ W`` is the layers' outputs side by side; in the precision it is stored in."""
        return as_stored(lambda: self._joined(pieces).t(), self.features(pieces), self._modules[pieces[0].module])

    def bias(self, pieces: Sequence[Piece]) -> np.ndarray | None:
        """[N] float32, zero where one of several has none; None where none has."""
        biases = [self._piece(p)[1] for p in pieces]
        if all(b is None for b in biases):
            return None
        widths = [self.features([p])[1] for p in pieces]
        return np.concatenate(
            [np.zeros(n, np.float32) if b is None else b.float().numpy() for b, n in zip(biases, widths, strict=True)]
        )

    def embedding(self, name: str, half: bool = False) -> tuple[ir.LazyTensor, float]:
        """Table [V, D] in the precision it is stored in, and the factor the module multiplies its rows by (Gemma 3).

        ``half`` asks for float16, which is given where it can hold every value.
        """
        module = self._modules[name]
        weight: torch.Tensor = module.weight.detach()
        scale, shape = float(getattr(module, "embed_scale", 1.0)), tuple(weight.shape)
        if half and float(weight.abs().amax()) < LARGEST_HALF:
            return lazy_tensor(lambda: weight.half().numpy(), shape, ir.DataType.FLOAT16), scale
        return as_stored(lambda: weight, shape, module), scale

    def norm(self, name: str) -> tuple[np.ndarray, np.ndarray | None, float]:
        """Scale [D], bias [D] or None, and epsilon of a norm.

        RMS norms differ in what they multiply by (Gemma: 1 + weight). The formula is found by
        asking the module; one that matches none is refused.
        """
        module = self._modules[name]
        weight: torch.Tensor = module.weight.detach().float()
        if isinstance(module, nn.LayerNorm):
            return weight.numpy(), None if module.bias is None else module.bias.detach().float().numpy(), module.eps
        eps = float(getattr(module, "variance_epsilon", None) or module.eps)
        x = torch.randn(3, weight.numel(), generator=torch.Generator().manual_seed(0))
        normed = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)
        with torch.no_grad():
            wanted = module(x)
        for scale in (weight, 1 + weight):
            if torch.allclose(normed * scale, wanted, rtol=1e-5, atol=1e-6):
                return scale.numpy(), None, eps
        raise UnsupportedModule(f"{name} ({type(module).__name__}) is no RMS norm this exporter knows")

    def rotary_tables(self, name: str, positions: int) -> tuple[np.ndarray, np.ndarray]:
        """cos and sin [positions, R/2] float32, from the module itself (any rope scaling that is static)."""
        with torch.no_grad():
            cos, sin = self._modules[name](torch.zeros(1), torch.arange(positions)[None])
        half = cos.shape[-1] // 2
        return cos[0, :, :half].float().numpy(), sin[0, :, :half].float().numpy()


def as_stored(read: Callable[[], torch.Tensor], shape: tuple[int, ...], module: nn.Module) -> ir.LazyTensor:
    """As :func:`lazy_tensor`, of numbers that ``module``'s weight holds: float32, or the half precision that it has."""
    weight: Any = module.weight
    dtype = weight.dtype
    if dtype not in _HALF:
        return lazy_tensor(lambda: read().float().numpy(), shape)
    bits = _HALF[dtype].numpy()
    return lazy_tensor(lambda: read().contiguous().view(torch.int16).numpy().view(bits), shape, _HALF[dtype])


def lazy_tensor(
    read: Callable[[], np.ndarray], shape: tuple[int, ...], dtype: ir.DataType = ir.DataType.FLOAT
) -> ir.LazyTensor:
    """A tensor made when it is written to disk, and let go then."""
    return ir.LazyTensor(lambda: ir.tensor(np.ascontiguousarray(read())), dtype=dtype, shape=ir.Shape(shape))

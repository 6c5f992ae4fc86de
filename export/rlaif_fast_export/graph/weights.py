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

from rlaif_fast_export.graph.forms import HALVES, PAIRS, Norm, UnsupportedModule, embedding_scale, norm_of

_OF_KIND = ":"
LARGEST_HALF = 65_000.0  # float16 ends a little above
_HALF = {torch.float16: ir.DataType.FLOAT16, torch.bfloat16: ir.DataType.BFLOAT16}


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
        scale, shape = embedding_scale(module, name), tuple(weight.shape)
        if half and float(weight.abs().amax()) < LARGEST_HALF:
            return lazy_tensor(lambda: weight.half().numpy(), shape, ir.DataType.FLOAT16), scale
        return as_stored(lambda: weight, shape, module), scale

    def norm(self, name: str) -> Norm:
        """What a norm computes. Raises UnsupportedModule."""
        return norm_of(self._modules[name], name)

    def rotary_width(self, name: str) -> int:
        """R, the features of a head that are rotated."""
        return int(2 * self._tables(name, 1)[0].shape[1])

    def rotary_layout(self, name: str) -> int:
        """HALVES where the module's tables repeat their angles one half behind the other, PAIRS where one by one."""
        tables = self._asked(name, torch.arange(8))
        return HALVES if all(torch.equal(*t.chunk(2, -1)) for t in tables) else PAIRS

    def rotary_tables(self, name: str, positions: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """cos and sin [rows, R/2] float32, from the module itself; zeros behind the first ``positions``.

        Raises UnsupportedModule where a position's row depends on how many there are (rope scaling that is not static
        up to ``positions``).
        """
        cos, sin = self._tables(name, positions)
        for few in (8, positions // 2):
            if few < positions and not np.array_equal(self._tables(name, few)[0], cos[:few]):
                raise UnsupportedModule(f"{name}: its rotary positions depend on the prompt's length")
        behind = ((0, rows - positions), (0, 0))
        return np.pad(cos, behind), np.pad(sin, behind)

    def _tables(self, name: str, positions: int) -> tuple[np.ndarray, np.ndarray]:
        """cos and sin [positions, R/2], each angle once."""
        cos, sin = self._asked(name, torch.arange(positions))
        half, repeated = cos.shape[-1] // 2, self.rotary_layout(name) == PAIRS
        if repeated and not all(torch.equal(t[..., ::2], t[..., 1::2]) for t in (cos, sin)):
            raise UnsupportedModule(f"{name} is no rotary table")
        found = [(t[:, ::2] if repeated else t[:, :half]).float().numpy() for t in (cos, sin)]
        return found[0], found[1]

    def _asked(self, name: str, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """cos and sin [positions, R]."""
        module, _, kind = name.partition(_OF_KIND)
        with torch.no_grad():
            cos, sin = self._modules[module](torch.zeros(1), positions[None], *([kind] if kind else []))
        return cos[0], sin[0]


def table_name(module: str, kind: str | None) -> str:
    """Of a rotary module's table, or of that for a ``kind`` of layers."""
    return module if kind is None else f"{module}{_OF_KIND}{kind}"


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

"""What a module computes, found by asking it: classes of the same name differ, and configurations do not tell.

A norm, an activation, an embedding or a rotation is compared with the formulas that the runtime has. One that is none
of them is refused, by its class's name.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

_CLOSE = (1e-5, 1e-6)  # relative, absolute
_ROUNDED = (2e-2, 1e-6)  # of what a module computes in half precision
_EPSILONS = (1e-5, 1e-6)  # of norms that do not say theirs
NONE, HALVES, PAIRS = -1, 0, 1  # which features a rotation turns together: i and i + R/2, or 2i and 2i + 1


class UnsupportedModule(Exception):
    """A module computes something the exporter has no operator for."""


@dataclass(frozen=True)
class Norm:
    """``scale * x / sqrt(mean(x²) + epsilon) + bias`` over the last axis; of x - mean(x) where it is ``centred``.

    Attributes:
        scale: float32 [D], or [H, D] where each head has its own.
        bias: float32 [D], or None.
    """

    centred: bool
    scale: np.ndarray
    bias: np.ndarray | None
    epsilon: float


def norm_of(module: Any, name: str) -> Norm:
    """The norm that ``module`` is. Raises UnsupportedModule."""
    module = copy.deepcopy(module).float()
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
    if weight is None:
        shape = tuple(getattr(module, "normalized_shape", ()))
        if len(shape) != 1:
            raise UnsupportedModule(f"{name} ({type(module).__name__}) has no width that the exporter can tell")
        weight = torch.ones(shape)
    weight = weight.detach()
    said = getattr(module, "variance_epsilon", None) or getattr(module, "eps", None)
    epsilons = _EPSILONS if said is None else (float(said),)
    # Rows of several sizes, the smallest of epsilon's, none of mean zero: so nothing of the formula stays unseen.
    sizes = torch.tensor([1.0, 10.0, epsilons[0] ** 0.5]).reshape(-1, *[1] * weight.dim())
    x = sizes * (0.5 + torch.randn(3, *weight.shape, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        wanted = module(x)
    for epsilon in epsilons:
        for centred in (False, True):
            rest = x - x.mean(-1, keepdim=True) if centred else x
            normed = rest * torch.rsqrt(rest.pow(2).mean(-1, keepdim=True) + epsilon)
            for scale in (weight, 1 + weight):
                if torch.allclose(normed * scale + (0 if bias is None else bias.detach()), wanted, *_CLOSE):
                    shift = None if bias is None else bias.detach().numpy()
                    return Norm(centred, scale.numpy(), shift, epsilon)
    raise UnsupportedModule(f"{name} ({type(module).__name__}) is no norm this exporter knows")


_ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "silu": nn.functional.silu,
    "gelu": nn.functional.gelu,
    "gelu_tanh": lambda x: nn.functional.gelu(x, approximate="tanh"),
}


def activation_of(module: Any, name: str) -> str:
    """``silu``, ``gelu`` or ``gelu_tanh``. Raises UnsupportedModule."""
    x = torch.linspace(-6, 6, 97)
    for kind, function in _ACTIVATIONS.items():
        if torch.allclose(module(x), function(x), *_CLOSE):
            return kind
    raise UnsupportedModule(f"{name} ({type(module).__name__}) is no activation this exporter knows")


def embedding_scale(module: Any, name: str) -> float:
    """What ``module`` multiplies its rows by (Gemma 3). Raises UnsupportedModule where it does more than that."""
    if type(module) is nn.Embedding and module.max_norm is None:
        return 1.0
    weight, scale = module.weight.detach(), float(getattr(module, "embed_scale", 1.0))
    ids = torch.arange(min(5, len(weight)))[None]
    try:
        with torch.no_grad():
            found = module(ids)
    except Exception as error:
        raise UnsupportedModule(f"{name} ({type(module).__name__}) does not embed token ids alone") from error
    close = _CLOSE if weight.dtype == torch.float32 else _ROUNDED
    if found.shape != (*ids.shape, weight.shape[1]) or not torch.allclose(
        found.float(), weight[ids].float() * scale, *close
    ):
        raise UnsupportedModule(f"{name} ({type(module).__name__}) does more than look up rows")
    return scale


def rotation_of(function: Callable[..., Any]) -> tuple[int, int]:
    """Which features ``function(q, k, cos, sin)`` turns together: HALVES, PAIRS or NONE that is known.

    First where the tables repeat their R/2 angles one half behind the other, then where they repeat each angle.
    """
    random = torch.Generator().manual_seed(0)
    q = torch.randn(1, 2, 5, 16, generator=random)  # [1, H, S, D]
    k = torch.randn(1, 1, 5, 16, generator=random)
    found = []
    for spread in (lambda angles: torch.cat((angles, angles), -1), lambda angles: angles.repeat_interleave(2, -1)):
        kinds = set()
        for width in (16, 8):  # R = D, and a part of it
            angles = torch.randn(1, 5, width // 2, generator=random)
            tables = spread(angles)
            try:
                turned = function(q, k, tables.cos(), tables.sin())
            except Exception:  # it takes another width, or other arguments: then the model does not call it so
                continue
            kinds.add(next((kind for kind in (HALVES, PAIRS) if _turns(turned, (q, k), angles, kind)), NONE))
        found.append(kinds.pop() if len(kinds) == 1 else NONE)
    return found[0], found[1]


def _turns(found: Any, given: tuple[torch.Tensor, ...], angles: torch.Tensor, kind: int) -> bool:
    """Whether ``found`` is ``given``, turned by ``angles`` [1, S, R/2]."""
    half, cos, sin = angles.shape[-1], angles.cos()[:, None], angles.sin()[:, None]
    for got, x in zip(found, given, strict=True):
        first, second = (x[..., :half], x[..., half : 2 * half])
        if kind == PAIRS:
            first, second = x[..., : 2 * half : 2], x[..., 1 : 2 * half : 2]
        a, b = first * cos - second * sin, second * cos + first * sin
        turned = torch.cat((a, b), -1) if kind == HALVES else torch.stack((a, b), -1).flatten(-2)
        if got.shape != x.shape or not torch.allclose(got, torch.cat((turned, x[..., 2 * half :]), -1), *_CLOSE):
            return False
    return True

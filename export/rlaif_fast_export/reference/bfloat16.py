"""A model in its own bfloat16, whose error stands beside int8's, in float32 products where the CPU has no others.

Without bfloat16 instructions PyTorch's products take four to six times as long as float32's, and more on some CPUs
(pytorch/pytorch#146508). They round their inputs and outputs and add up in float32, so the same comes of products
of the same rounded values in float32, rounded at the end; only the order of the sums differs.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from transformers.pytorch_utils import Conv1D

_PRODUCTS = {
    torch.ops.aten.linear, torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.bmm, torch.ops.aten.baddbmm,
    torch.ops.aten.matmul, torch.ops.aten._scaled_dot_product_flash_attention_for_cpu,
}  # fmt: skip


def has_bfloat16() -> bool:
    """Whether this CPU has instructions for products of bfloat16; PyTorch says it supports them on others too."""
    if platform.machine().lower() in ("x86_64", "amd64"):
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def weights_of_products(module: nn.Module) -> list[torch.Tensor]:
    """Those of the linear layers in ``module``."""
    return [m.weight for m in module.modules() if isinstance(m, nn.Linear | Conv1D)]


@contextmanager
def quick_products() -> Iterator[None]:
    """Products of bfloat16 tensors are computed in float32 where that is the quicker way on this CPU.

    Their weights may be in float32 then, rounded to bfloat16. In force for the thread that asks.
    """
    if has_bfloat16():
        yield
    else:
        with InFloat32():
            yield


class InFloat32(TorchDispatchMode):
    """Computes products of bfloat16 tensors in float32 and rounds what comes out."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [a for a in (*args, *kwargs.values()) if isinstance(a, torch.Tensor)]
        if func.overloadpacket not in _PRODUCTS or not any(a.dtype == torch.bfloat16 for a in given):
            return func(*args, **kwargs)
        args, kwargs = tree_map_only(torch.Tensor, _wide, (args, kwargs))
        found = func(*args, **kwargs)
        return (found[0].bfloat16(), *found[1:]) if isinstance(found, tuple) else found.bfloat16()


def _wide(value: torch.Tensor) -> torch.Tensor:
    return value.float() if value.dtype == torch.bfloat16 else value

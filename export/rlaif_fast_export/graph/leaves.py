"""Leaf operators: what the tracer records instead of PyTorch's many small operators.

While a model is traced, every module or function the runtime has one operator for (a
linear layer, an embedding, a norm, an activation, the rotary embedding, attention) is
replaced by a *leaf*: one node of the domain ``rlaif`` that names the module it stands
for. The trace therefore holds the structure of the model and none of its weights; the
passes decide how a leaf is computed and the weights are streamed to disk from the live
modules (see :mod:`rlaif_fast_export.lowering`). That keeps the peak of an export near
the model's own size and gives every pass nodes with names instead of patterns.

Each leaf is a :class:`torch.autograd.Function` with an ONNX ``symbolic``. Its ``forward``
runs while tracing only, to give shapes: it must not touch a parameter, which the tracer
would have to know.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.pytorch_utils import Conv1D

DOMAIN = "rlaif"
ATTENTION = "rlaif_leaf"  # key in transformers' attention interface

# Activation classes by what they compute; names, because transformers has several a kind.
ACTIVATIONS = {
    "SiLU": "silu",
    "SiLUActivation": "silu",
    "GELU": "gelu",
    "GELUActivation": "gelu",
    "NewGELUActivation": "gelu_tanh",
    "PytorchGELUTanh": "gelu_tanh",
    "GELUTanh": "gelu_tanh",
    "FastGELUActivation": "gelu_tanh",
}


def _typed(value: Any, sizes: Sequence[int | None]) -> Any:
    """Tell the exporter a leaf's float32 shape, which it cannot infer."""
    return value.setType(torch._C.TensorType.get().with_dtype(torch.float32).with_sizes(list(sizes)))


class _Unary(torch.autograd.Function):
    """``y = f(x)`` of a module with one input: linear, embedding, norm, activation."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, op: str, name: str, width: int | None) -> torch.Tensor:
        if width is None:
            return torch.zeros_like(x)
        return torch.zeros(*(x.shape if op == "Embedding" else x.shape[:-1]), width)

    @staticmethod
    def symbolic(g: Any, x: Any, op: str, name: str, width: int | None) -> Any:
        rank = x.type().dim() + (op == "Embedding")
        return _typed(g.op(f"{DOMAIN}::{op}", x, module_s=name), (*[None] * (rank - 1), width))


class _RotaryTable(torch.autograd.Function):
    """cos and sin [1, S, R] of ``position_ids`` [1, S]."""

    @staticmethod
    def forward(ctx: Any, position_ids: torch.Tensor, name: str, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros(*position_ids.shape, width), torch.zeros(*position_ids.shape, width)

    @staticmethod
    def symbolic(g: Any, position_ids: Any, name: str, width: int) -> Any:
        tables = g.op(f"{DOMAIN}::RotaryTable", position_ids, module_s=name, outputs=2)
        return tuple(_typed(t, [None, None, width]) for t in tables)


class _Rotary(torch.autograd.Function):
    """Rotates the first R features of ``x`` [1, H, S, D]; the rest passes."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def symbolic(g: Any, x: Any, cos: Any, sin: Any) -> Any:
        return g.op(f"{DOMAIN}::Rotary", x, cos, sin).setType(x.type())


class _Attention(torch.autograd.Function):
    """Attention of q [1, H, S, D] over k, v [1, G, S, D] under an additive bias; returns [1, S, H, D]."""

    @staticmethod
    def forward(
        ctx: Any,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        bias: torch.Tensor,
        layer: int,
        heads: int,
        kv_heads: int,
        scale: float,
        softcap: float,
        window: int,
    ) -> torch.Tensor:
        return q.transpose(1, 2).contiguous()

    @staticmethod
    def symbolic(
        g: Any, q: Any, k: Any, v: Any, bias: Any, layer: int, heads: int, kv_heads: int,
        scale: float, softcap: float, window: int,
    ) -> Any:  # fmt: skip
        out = g.op(
            f"{DOMAIN}::Attention", q, k, v, bias,
            layer_i=layer, heads_i=heads, kv_heads_i=kv_heads, scale_f=scale, softcap_f=softcap, window_i=window,
        )  # fmt: skip
        return _typed(out, [None] * 4)


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float | None = None,
    softcap: float | None = None,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """The leaf, in the form of transformers' attention interface."""
    config: Any = module.config
    heads = config.num_attention_heads
    if scaling is None:  # GPT-2 passes none: its own default, as in its eager path
        scaling = float(config.hidden_size // heads) ** -0.5 if getattr(config, "scale_attn_weights", True) else 1.0
        if getattr(config, "scale_attn_by_inverse_layer_idx", False):
            scaling /= float(module.layer_idx + 1)
    out = _Attention.apply(
        query, key, value, attention_mask, module.layer_idx, heads,
        getattr(config, "num_key_value_heads", None) or heads,
        float(scaling), float(softcap or 0.0), int(sliding_window or 0),
    )  # fmt: skip
    return out, None


def _rotary(
    q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, *_: Any, **__: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    return _Rotary.apply(q, cos, sin), _Rotary.apply(k, cos, sin)


def leaf_op(module: nn.Module) -> str | None:
    """The leaf operator that stands for ``module``, or None where it is traced as it is."""
    name = type(module).__name__
    if isinstance(module, nn.Linear | Conv1D):
        return "Linear"
    if isinstance(module, nn.Embedding):
        return "Embedding"
    if isinstance(module, nn.LayerNorm):
        return "LayerNorm"
    if name.endswith("RMSNorm"):
        return "RMSNorm"
    if name.endswith("RotaryEmbedding"):
        return "RotaryTable"
    return "Activation" if name in ACTIVATIONS else None


def _leaf_forward(op: str, name: str, module: Any) -> Callable[..., Any]:
    if op == "RotaryTable":
        width = 2 * module.inv_freq.numel()
        return lambda _, position_ids: _RotaryTable.apply(position_ids, name, width)
    widths = {nn.Embedding: "embedding_dim", nn.Linear: "out_features", Conv1D: "nf"}
    out = next((getattr(module, name) for kind, name in widths.items() if isinstance(module, kind)), None)
    return lambda x, *_, **__: _Unary.apply(x, op, name, out)


@contextlib.contextmanager
def leaves(model: nn.Module) -> Iterator[None]:
    """Within this context ``model`` traces as leaves. Everything is put back on the way out."""
    config: Any = model.config
    before = config._attn_implementation
    replaced: list[nn.Module] = []
    functions: list[tuple[Any, Any]] = []
    ALL_ATTENTION_FUNCTIONS.register(ATTENTION, _attention)
    try:
        config._attn_implementation = ATTENTION
        for name, module in model.named_modules():
            op = leaf_op(module)
            if op is not None:
                module.forward = _leaf_forward(op, name, module)
                replaced.append(module)
        for file in {type(m).__module__ for m in model.modules()}:
            code: Any = sys.modules[file]
            if hasattr(code, "apply_rotary_pos_emb"):
                functions.append((code, code.apply_rotary_pos_emb))
                code.apply_rotary_pos_emb = _rotary
        yield
    finally:
        for code, function in functions:
            code.apply_rotary_pos_emb = function
        for module in replaced:
            del module.forward
        config._attn_implementation = before

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
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.pytorch_utils import Conv1D

from rlaif_fast_export.graph.forms import UnsupportedModule, rotation_of
from rlaif_fast_export.graph.weights import table_name
from rlaif_fast_export.sources.families import maximum_length

DOMAIN = "rlaif"
ATTENTION = "rlaif_leaf"  # key in transformers' attention interface

# Activation classes that are one of the runtime's; which one is asked of the module.
ACTIVATIONS = {
    "SiLU", "SiLUActivation", "GELU", "GELUActivation", "NewGELUActivation", "PytorchGELUTanh", "GELUTanh",
    "FastGELUActivation",
}  # fmt: skip


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
    """cos or sin [1, S, R] of ``position_ids`` [1, S]; one at a time, or PyTorch fails on a table that nobody reads."""

    @staticmethod
    def forward(ctx: Any, position_ids: torch.Tensor, name: str, width: int) -> torch.Tensor:
        return torch.zeros(*position_ids.shape, width)

    @staticmethod
    def symbolic(g: Any, position_ids: Any, name: str, width: int) -> Any:
        return _typed(g.op(f"{DOMAIN}::RotaryTable", position_ids, module_s=name), [None, None, width])


class _Rotary(torch.autograd.Function):
    """Rotates the first R features of ``x`` [1, H, S, D]; the rest passes. The pairs: see ``forms.rotation_of``."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, of_halves: int, of_pairs: int
    ) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def symbolic(g: Any, x: Any, cos: Any, sin: Any, of_halves: int, of_pairs: int) -> Any:
        out = g.op(f"{DOMAIN}::Rotary", x, cos, sin, of_halves_i=of_halves, of_pairs_i=of_pairs)
        return out.setType(x.type())


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


# What transformers hands to an attention that changes nothing about it here.
_MUTE = {
    "cache_position", "dropout", "is_causal", "is_cross_attention", "output_attentions", "output_hidden_states",
    "past_key_value", "past_key_values", "position_embeddings", "position_ids", "return_dict", "use_cache",
}  # fmt: skip


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float | None = None,
    softcap: float | None = None,
    sliding_window: int | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """The leaf, in the form of transformers' attention interface."""
    config: Any = module.config
    unknown = sorted(name for name, given in more.items() if given is not None and name not in _MUTE)
    if unknown:
        sinks = "attention sinks" if "s_aux" in unknown else f"an attention with {', '.join(unknown)}"
        raise UnsupportedModule(f"{type(module).__name__} has {sinks}, which the runtime has not")
    if scaling is None:  # GPT-2 passes none: its own default, as in its eager path
        heads = config.num_attention_heads
        scaling = float(config.hidden_size // heads) ** -0.5 if getattr(config, "scale_attn_weights", True) else 1.0
        if getattr(config, "scale_attn_by_inverse_layer_idx", False):
            scaling /= float(module.layer_idx + 1)
    layer = int(module.layer_idx)
    window = _window(config, layer, sliding_window)
    return _leaf_of(query, key, value, attention_mask, layer, float(scaling), float(softcap or 0.0), window), None


def _window(config: Any, layer: int, given: int | None) -> int:
    """The layer's sliding window, 0 for none: PyTorch's mask goes by the layer's kind, where it has one."""
    kinds = getattr(config, "layer_types", None)
    if not kinds or kinds[layer] == "attention":
        return int(given or 0)
    if kinds[layer] == "full_attention":
        return 0
    if kinds[layer] != "sliding_attention" or not given:
        raise UnsupportedModule(f"layer {layer} is of a kind ({kinds[layer]}) that the runtime has not")
    return int(given)


def _leaf_of(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None,
    layer: int, scale: float, softcap: float, window: int,
) -> torch.Tensor:  # fmt: skip
    if bias is None:
        raise UnsupportedModule("its attention takes no mask")
    if not int(q.shape[-1]) == int(k.shape[-1]) == int(v.shape[-1]):
        raise UnsupportedModule("its values are of another width than its keys")
    found: torch.Tensor = _Attention.apply(
        q, k, v, bias, layer, int(q.shape[1]), int(k.shape[1]), scale, softcap, window
    )
    return found


class _Scores:
    """The leaf in the place of PyTorch's own function, for classes that call it themselves, a layer after another."""

    def __init__(self) -> None:
        self._layers = itertools.count()

    def __call__(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None, **_: Any,
    ) -> torch.Tensor:  # fmt: skip
        """[1, H, S, D]."""
        scale = float(query.shape[-1]) ** -0.5 if scale is None else scale
        return _leaf_of(query, key, value, attn_mask, next(self._layers), scale, 0.0, 0).transpose(1, 2)


def _rotary_like(function: Callable[..., Any]) -> Callable[..., Any]:
    of_halves, of_pairs = rotation_of(function)

    def rotary(*given: Any, **_: Any) -> tuple[torch.Tensor, torch.Tensor]:
        if len(given) < 4 or not all(isinstance(one, torch.Tensor) for one in given[:4]):
            raise UnsupportedModule("it rotates its keys in a way that the exporter does not know")
        q, k, cos, sin = given[:4]
        return _Rotary.apply(q, cos, sin, of_halves, of_pairs), _Rotary.apply(k, cos, sin, of_halves, of_pairs)

    return rotary


def leaf_op(module: nn.Module) -> str | None:
    """The leaf operator that stands for ``module``, or None where it is traced as it is."""
    name = type(module).__name__
    if isinstance(module, nn.Linear | Conv1D):
        if type(module).forward not in (nn.Linear.forward, Conv1D.forward):
            raise UnsupportedModule(f"{name} is no plain linear layer")
        return "Linear"
    if isinstance(module, nn.Embedding):
        return "Embedding"
    if isinstance(module, nn.LayerNorm) or name.endswith(("LayerNorm", "LayerNorm1P")):
        return "LayerNorm"
    if name.endswith("RMSNorm"):
        return "RMSNorm"
    if name.endswith("RotaryEmbedding"):
        return "RotaryTable"
    return "Activation" if name in ACTIVATIONS else None


def _leaf_forward(op: str, name: str, module: Any) -> Callable[..., Any]:
    if op == "RotaryTable":
        return _table_forward(name, module)
    widths = {nn.Embedding: "embedding_dim", nn.Linear: "out_features", Conv1D: "nf"}
    out = next((getattr(module, name) for kind, name in widths.items() if isinstance(module, kind)), None)
    return lambda x, *_, **__: _Unary.apply(x, op, name, out)


def _table_forward(name: str, module: Any) -> Callable[..., Any]:
    """Of a module that has one table, or one for each kind of layers (transformers 5)."""
    kinds = [buffer.removesuffix("inv_freq") for buffer, _ in module.named_buffers() if buffer.endswith("inv_freq")]
    widths = {kind: 2 * getattr(module, f"{kind}inv_freq").numel() for kind in kinds}  # traced, it were no number

    def forward(_: torch.Tensor, position_ids: torch.Tensor, layer_type: str | None = None) -> Any:
        width = widths["" if layer_type is None else f"{layer_type}_"]
        return tuple(_RotaryTable.apply(position_ids, table_name(name, layer_type), width) for _ in ("cos", "sin"))

    return forward


class _One:
    """A factor of one that leaves no trace."""

    def to(self, *_: Any) -> _One:
        return self

    def __rmul__(self, x: torch.Tensor) -> torch.Tensor:
        return x


def _scale_of_queries(function: Callable[..., torch.Tensor], config: Any) -> Callable[..., _One]:
    """In the place of Ministral 3's factor of queries, which is one as far as prompts go, and grows beyond."""
    given = [config.rope_parameters[key] for key in ("llama_4_scaling_beta", "original_max_position_embeddings")]
    if not (function(torch.arange(maximum_length(config))[None], *given) == 1).all():
        raise UnsupportedModule("its queries are scaled by their position")
    return lambda *_: _One()


@contextlib.contextmanager
def leaves(model: nn.Module) -> Iterator[None]:
    """Within this context ``model`` traces as leaves. Everything is put back on the way out."""
    config: Any = model.config
    before = config._attn_implementation
    replaced: list[nn.Module] = []
    stored: list[tuple[torch.Tensor, torch.Tensor]] = []
    functions: list[tuple[Any, str, Any]] = []

    def put(code: Any, name: str, function: Any) -> None:
        functions.append((code, name, getattr(code, name)))
        setattr(code, name, function)

    ALL_ATTENTION_FUNCTIONS.register(ATTENTION, _attention)
    try:
        config._attn_implementation = ATTENTION
        for name, module in model.named_modules():
            op = leaf_op(module)
            if op is not None:
                module.forward = _leaf_forward(op, name, module)
                replaced.append(module)
            else:  # what is traced as it is has its own few numbers in the graph, in float32 as all that is computed
                own = itertools.chain(module.parameters(recurse=False), module.buffers(recurse=False))
                halves = [tensor for tensor in own if tensor.dtype in (torch.float16, torch.bfloat16)]
                stored.extend((tensor, tensor.data) for tensor in halves)
                for tensor in halves:
                    tensor.data = tensor.data.float()
        for file in {type(m).__module__ for m in model.modules()}:
            code: Any = sys.modules[file]
            if hasattr(code, "apply_rotary_pos_emb"):
                put(code, "apply_rotary_pos_emb", _rotary_like(code.apply_rotary_pos_emb))
            if hasattr(code, "get_llama_4_attn_scale"):
                put(code, "get_llama_4_attn_scale", _scale_of_queries(code.get_llama_4_attn_scale, config))
            if hasattr(code, "repeat_kv"):  # the leaf takes as many heads of keys as there are
                put(code, "repeat_kv", lambda states, _: states)
        put(torch, "expm1", lambda x: torch.exp(x) - 1)  # ONNX has none; 1e-7 apart near zero
        put(nn.functional, "scaled_dot_product_attention", _Scores())
        yield
    finally:
        for code, name, function in reversed(functions):
            setattr(code, name, function)
        for module in replaced:
            del module.forward
        for tensor, data in stored:
            tensor.data = data
        config._attn_implementation = before

"""Lower the remaining leaves to operators of onnxruntime.

Requires  Linear, Embedding, norm and Activation leaves (attention is lowered already).
Ensures   no leaf is left. Weights are initializers read lazily from the live modules.
          Linear leaves are float32 products, unless ``products`` knows better. Their weights and the
          embedding's table are in the precision they are stored in, which a Cast widens (exactly);
          the table is in float16 beside int8 products.
Returns   how many leaves of each kind were lowered.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx_ir as ir

from rlaif_fast_export.graph.forms import activation_of
from rlaif_fast_export.graph.leaves import DOMAIN
from rlaif_fast_export.graph.nodes import MS, PassError, constant, emit, remove_dead, replace, text
from rlaif_fast_export.graph.plan import folded, pieces, weight_name
from rlaif_fast_export.graph.weights import Weights
from rlaif_fast_export.passes.int8_products import Int8Products


def lowering(model: ir.Model, weights: Weights, products: Int8Products | None = None) -> Counter[str]:
    """See the module's docstring."""
    counts: Counter[str] = Counter()
    for node in [n for n in model.graph if n.domain == DOMAIN]:
        kind = node.op_type
        if kind == "Linear" and products is not None and products.has(node):
            new = products.lower(node, weights)
        elif kind == "Embedding":
            new = _embedding(model.graph, node, weights, half=products is not None)
        elif kind in _LOWER:
            new = _LOWER[kind](model.graph, node, weights)
        else:
            raise PassError(f"no lowering for a {kind} leaf ({node.name})")
        replace(node.outputs[0], new)
        counts[kind] += 1
    remove_dead(model.graph)
    return counts


def _linear(graph: ir.Graph, node: ir.Node, weights: Weights) -> ir.Value:
    parts = pieces(node)
    name = weight_name(node)
    table = weights.matrix(parts)
    matrix = _widened(node, constant(graph, f"{name}.weight", table), table)
    out = emit(node, "MatMul", node.inputs[0], matrix)
    bias = weights.bias(parts)
    return out if bias is None else emit(node, "Add", out, constant(graph, f"{name}.bias", bias))


def _embedding(graph: ir.Graph, node: ir.Node, weights: Weights, half: bool) -> ir.Value:
    name = text(node, "module")
    table, scale = weights.embedding(name, half)
    rows = _widened(node, emit(node, "Gather", constant(graph, f"{name}.weight", table), node.inputs[0], axis=0), table)
    if scale == 1.0:
        return rows
    return emit(node, "Mul", rows, constant(graph, f"{name}.scale", np.array(scale, np.float32)))


def _widened(node: ir.Node, value: ir.Value, table: ir.LazyTensor) -> Any:
    """``value``, which is ``table`` or rows of it, in float32."""
    return value if table.dtype == ir.DataType.FLOAT else emit(node, "Cast", value, to=ir.DataType.FLOAT)


def _norm(graph: ir.Graph, node: ir.Node, weights: Weights) -> ir.Value:
    name = text(node, "module")
    norm = weights.norm(name)
    scale, bias, taken = norm.scale, norm.bias, folded(node)
    if taken is not None:
        name = f"{name}>{taken.name}"
        scale = scale * taken.factor
        bias = None if bias is None else bias * taken.factor
    by_head = scale if scale.ndim > 1 else None  # the operator's scale is one for all heads
    if by_head is not None:
        scale = np.ones(scale.shape[-1:], np.float32)
    inputs = [node.inputs[0], constant(graph, f"{name}.weight", scale)]
    if norm.centred:
        inputs.append(constant(graph, f"{name}.bias", np.zeros_like(scale) if bias is None else bias))
    op = "LayerNormalization" if norm.centred else "SimplifiedLayerNormalization"
    out: ir.Value = emit(node, op, *inputs, axis=-1, epsilon=norm.epsilon)
    if not norm.centred and bias is not None:
        out = emit(node, "Add", out, constant(graph, f"{name}.bias", bias))
    return out if by_head is None else emit(node, "Mul", out, constant(graph, f"{name}.by_head", by_head))


def _activation(_: ir.Graph, node: ir.Node, weights: Weights) -> ir.Value:
    name = text(node, "module")
    kind = activation_of(weights.module(name), name)
    if kind == "silu":
        return emit(node, "QuickGelu", node.inputs[0], domain=MS, alpha=1.0)  # x * sigmoid(x)
    return emit(node, "Gelu", node.inputs[0], approximate="tanh" if kind == "gelu_tanh" else "none")


_LOWER = {
    "Linear": _linear,
    "LayerNorm": _norm,
    "RMSNorm": _norm,
    "Activation": _activation,
}

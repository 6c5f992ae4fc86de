"""Lower the remaining leaves to operators of onnxruntime in float32.

Requires  Linear, Embedding, norm and Activation leaves (attention is lowered already).
Ensures   no leaf is left. Weights are initializers read lazily from the live modules.
Returns   how many leaves of each kind were lowered.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx_ir as ir

from rlaif_fast_export.leaves import ACTIVATIONS, DOMAIN
from rlaif_fast_export.passes.graph import MS, PassError, constant, emit, remove_dead, replace, text
from rlaif_fast_export.passes.plan import pieces
from rlaif_fast_export.weights import Weights


def fp32(model: ir.Model, weights: Weights) -> Counter[str]:
    """See the module's docstring."""
    counts: Counter[str] = Counter()
    for node in [n for n in model.graph if n.domain == DOMAIN]:
        lower = _LOWER.get(node.op_type)
        if lower is None:
            raise PassError(f"no lowering for a {node.op_type} leaf ({node.name})")
        replace(node.outputs[0], lower(model.graph, node, weights))
        counts[node.op_type] += 1
    remove_dead(model.graph)
    return counts


def _linear(graph: ir.Graph, node: ir.Node, weights: Weights) -> ir.Value:
    parts = pieces(node)
    name = weight_name(node)
    out = emit(node, "MatMul", node.inputs[0], constant(graph, f"{name}.weight", weights.matrix(parts)))
    bias = weights.bias(parts)
    return out if bias is None else emit(node, "Add", out, constant(graph, f"{name}.bias", bias))


def weight_name(linear: ir.Node) -> str:
    """A name of the product's weights: the module's, with a mark where it is a part or a join."""
    parts = pieces(linear)
    first = parts[0]
    if len(parts) > 1:
        return f"{first.module}+{len(parts) - 1}"
    return first.module if first.rows is None else f"{first.module}[{first.rows[0]}:{first.rows[-1] + 1}]"


def _embedding(graph: ir.Graph, node: ir.Node, weights: Weights) -> ir.Value:
    name = text(node, "module")
    table, scale = weights.embedding(name)
    rows = emit(node, "Gather", constant(graph, f"{name}.weight", table), node.inputs[0], axis=0)
    if scale == 1.0:
        return rows
    return emit(node, "Mul", rows, constant(graph, f"{name}.scale", np.array(scale, np.float32)))


def _norm(graph: ir.Graph, node: ir.Node, weights: Weights) -> ir.Value:
    name = text(node, "module")
    scale, bias, epsilon = weights.norm(name)
    inputs = [node.inputs[0], constant(graph, f"{name}.weight", scale)]
    if node.op_type == "LayerNorm":
        shift = np.zeros_like(scale) if bias is None else bias
        inputs.append(constant(graph, f"{name}.bias", shift))
    op = "LayerNormalization" if node.op_type == "LayerNorm" else "SimplifiedLayerNormalization"
    return emit(node, op, *inputs, axis=-1, epsilon=epsilon)


def _activation(_: ir.Graph, node: ir.Node, weights: Weights) -> ir.Value:
    kind = ACTIVATIONS[type(weights.module(text(node, "module"))).__name__]
    if kind == "silu":
        return emit(node, "QuickGelu", node.inputs[0], domain=MS, alpha=1.0)  # x * sigmoid(x)
    return emit(node, "Gelu", node.inputs[0], approximate="tanh" if kind == "gelu_tanh" else "none")


_LOWER = {
    "Linear": _linear,
    "Embedding": _embedding,
    "LayerNorm": _norm,
    "RMSNorm": _norm,
    "Activation": _activation,
}

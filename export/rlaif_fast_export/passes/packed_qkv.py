"""Join the q, k and v products of a layer into one.

Requires  attention in normal form.
Ensures   where q, k and v are Linear leaves on one input, unnormed and uncut, and nothing but the
          attention operator rotates them, they become one Linear leaf of [q | k | v], and the
          attention takes it as its only value.
Returns   the number of layers joined.
"""

from __future__ import annotations

import onnx_ir as ir

from rlaif_fast_export.graph.nodes import is_leaf, leaves_of, remove_dead, text
from rlaif_fast_export.graph.plan import emit_linear, pieces, rotates_inside
from rlaif_fast_export.graph.weights import Weights


def packed_qkv(model: ir.Model, weights: Weights) -> int:
    """See the module's docstring."""
    joined = 0
    for node in leaves_of(model.graph, "Attention"):
        if text(node, "rotary") and not rotates_inside(node, weights):
            continue
        makers = [v.producer() if v is not None else None for v in node.inputs[:3]]
        if not all(is_leaf(m, "Linear") for m in makers) or len({m.inputs[0] for m in makers if m}) != 1:
            continue
        parts = tuple(p for m in makers if m is not None for p in pieces(m))
        qkv = emit_linear(node, makers[0].inputs[0], parts)
        node.replace_input_with(0, qkv)
        node.replace_input_with(1, None)
        node.replace_input_with(2, None)
        joined += 1
    remove_dead(model.graph)
    return joined

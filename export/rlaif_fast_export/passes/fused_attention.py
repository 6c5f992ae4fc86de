"""Lower attention to onnxruntime's fused operator, over the baked prefix.

Requires  attention in normal form; the prefix's keys and values of every layer.
Ensures   an attention of all S rows is one ``com.microsoft.GroupQueryAttention``: rotary
          embedding, scaling, softcap, additive bias and softmax inside, the prefix's K/V as
          its constant past. An attention of judged rows only (:mod:`judged_only`; J rows over
          P+S keys, a shape that operator does not take) is written out with MatMul and
          Softmax: J is two a pair, so it costs nothing.
          A sliding window becomes part of the bias, by position, because in a packed tree
          the index of a token is not its position.
Returns   (fused, written out).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from rlaif_fast.manifest import TREE_PER_CONTEXT
from rlaif_fast_export.passes.graph import (
    MS,
    PassError,
    constant,
    dims,
    emit,
    integer,
    ints,
    leaves_of,
    real,
    remove_dead,
    replace,
    text,
)  # fmt: skip
from rlaif_fast_export.passes.plan import rotates_inside
from rlaif_fast_export.prefix import LayerPrefix
from rlaif_fast_export.weights import Weights

_HIDDEN = np.float32(np.finfo(np.float32).min / 2)  # added twice it is still finite


def fused_attention(
    model: ir.Model, weights: Weights, prefix: Sequence[LayerPrefix], maximum_length: int
) -> tuple[int, int]:
    """See the module's docstring."""
    lowering = _Lowering(model.graph, weights, prefix, maximum_length)
    fused = written = 0
    for node in leaves_of(model.graph, "Attention"):
        if node.inputs[4] is node.inputs[5]:
            replace(node.outputs[0], lowering.fuse(node))
            fused += 1
        else:
            replace(node.outputs[0], lowering.write_out(node))
            written += 1
    remove_dead(model.graph)
    return fused, written


class _Lowering:
    def __init__(self, graph: ir.Graph, weights: Weights, prefix: Sequence[LayerPrefix], maximum_length: int) -> None:
        self.graph, self.weights, self.prefix, self.maximum_length = graph, weights, prefix, maximum_length
        self.prefix_length = prefix[0].key.shape[2]
        self._lengths: tuple[ir.Value, ir.Value] | None = None
        self._windowed: dict[tuple[ir.Value, ir.Value, int], ir.Value] = {}

    def past(self, layer: int) -> tuple[ir.Value, ir.Value]:
        """K and V [1, G, P, D] of the prefix."""
        made = self.prefix[layer]
        return (
            constant(self.graph, f"prefix.{layer}.key", made.key),
            constant(self.graph, f"prefix.{layer}.value", made.value),
        )

    def rotary(self, module: str) -> tuple[ir.Value, ir.Value]:
        """cos and sin [positions, R/2] of a rotary table."""
        names = f"{module}.cos", f"{module}.sin"
        if names[0] not in self.graph.initializers:
            # The operator wants a row for every packed token, though no position is beyond the context.
            rows = TREE_PER_CONTEXT * self.maximum_length
            for name, table in zip(names, self.weights.rotary_tables(module, rows), strict=True):
                constant(self.graph, name, table)
        return self.graph.initializers[names[0]], self.graph.initializers[names[1]]

    def rotate(self, node: ir.Node, x: ir.Value, positions: ir.Value | None, heads: int, size: int) -> ir.Value:
        """Rotary embedding of ``x`` [1, S, heads*D] at ``positions`` [1, S], as an operator of its own."""
        cos, sin = self.rotary(text(node, "rotary"))
        part = 2 * dims(cos)[1]
        partial = {"num_heads": heads, "rotary_embedding_dim": part} if part < size else {}
        return emit(node, "RotaryEmbedding", x, positions, cos, sin, domain=MS, **partial)

    def lengths(self, before: ir.Node) -> tuple[ir.Value, ir.Value]:
        """(P+S-1 as int32 [1], P+S as int32 scalar): what the operator asks for, once a graph."""
        if self._lengths is None:
            ids = next(v for v in self.graph.inputs if v.name == "input_ids")
            length = emit(before, "Cast", emit(before, "Shape", ids, start=1, end=2), to=ir.DataType.INT32)
            last = constant(self.graph, "prefix_last", np.array([self.prefix_length - 1], np.int32))
            one = constant(self.graph, "prefix_length", np.array(self.prefix_length, np.int32))
            scalar = emit(before, "Squeeze", length)
            self._lengths = emit(before, "Add", length, last), emit(before, "Add", scalar, one)
        return self._lengths

    def bias(self, node: ir.Node) -> ir.Value:
        """The additive bias [1, 1, rows, P+S], with the layer's sliding window in it."""
        bias, q_positions, k_positions = node.inputs[3:6]
        window = integer(node, "window")
        if not window or window >= self.maximum_length:
            return bias
        key = (bias, q_positions, window)
        if key not in self._windowed:
            before = constant(self.graph, "prefix_positions", np.arange(self.prefix_length, dtype=np.int64)[None])
            keys = emit(node, "Concat", before, k_positions, axis=1)  # [1, P+S]
            distance = emit(
                node, "Sub", emit(node, "Unsqueeze", q_positions, ints(self.graph, 2)),
                emit(node, "Unsqueeze", keys, ints(self.graph, 1)),
            )  # [1, rows, P+S]  # fmt: skip
            seen = emit(node, "Less", distance, constant(self.graph, f"window_{window}", np.array(window, np.int64)))
            seen = emit(node, "Unsqueeze", seen, ints(self.graph, 1))
            hidden = constant(self.graph, "hidden", np.array(_HIDDEN))
            self._windowed[key] = emit(node, "Where", seen, bias, hidden)
        return self._windowed[key]

    def fuse(self, node: ir.Node) -> ir.Value:
        q, k, v = node.inputs[:3]
        heads, groups, module = integer(node, "heads"), integer(node, "kv_heads"), text(node, "rotary")
        inside = rotates_inside(node, self.weights)
        cos, sin = self.rotary(module) if inside else (None, None)
        if module and not inside:
            size = self.prefix[integer(node, "layer")].key.shape[3]
            q = self.rotate(node, q, node.inputs[4], heads, size)
            k = self.rotate(node, k, node.inputs[5], groups, size)
        # The output list is [attention, present key, present value]; nobody reads the presents.
        return emit(
            node, "GroupQueryAttention", q, k, v, *self.past(integer(node, "layer")), *self.lengths(node), cos, sin,
            node.inputs[4], self.bias(node), domain=MS, outputs=3, num_heads=heads, kv_num_heads=groups,
            scale=real(node, "scale"), softcap=real(node, "softcap"), do_rotary=int(inside), rotary_interleaved=0,
        )[0]  # fmt: skip

    def write_out(self, node: ir.Node) -> ir.Value:
        graph = self.graph
        q, k, v, _, q_positions, k_positions = node.inputs
        if q is None or k is None or v is None:
            raise PassError(f"{node.name}: a cut attention needs q, k and v of their own")
        heads, groups = integer(node, "heads"), integer(node, "kv_heads")
        past_key, past_value = self.past(integer(node, "layer"))
        size = dims(past_key)[3]  # D
        module = text(node, "rotary")
        if module:
            q = self.rotate(node, q, q_positions, heads, size)
            k = self.rotate(node, k, k_positions, groups, size)

        def by_group(x: ir.Value, past: ir.Value) -> ir.Value:  # [1, S, G*D] -> [1, G, 1, P+S, D]
            x = emit(node, "Transpose", emit(node, "Reshape", x, ints(graph, 0, 0, groups, size)), perm=(0, 2, 1, 3))
            return emit(node, "Unsqueeze", emit(node, "Concat", past, x, axis=2), ints(graph, 2))

        keys, values = by_group(k, past_key), by_group(v, past_value)
        q = emit(node, "Reshape", q, ints(graph, 0, 0, groups, heads // groups, size))
        q = emit(node, "Transpose", q, perm=(0, 2, 3, 1, 4))  # [1, G, H/G, J, D]
        scores = emit(node, "MatMul", q, emit(node, "Transpose", keys, perm=(0, 1, 2, 4, 3)))  # [1, G, H/G, J, P+S]
        scale, cap = real(node, "scale"), real(node, "softcap")
        scores = emit(node, "Mul", scores, constant(graph, f"scale_{scale}", np.array(scale, np.float32)))
        if cap:
            limit = constant(graph, f"softcap_{cap}", np.array(cap, np.float32))
            scores = emit(node, "Mul", emit(node, "Tanh", emit(node, "Div", scores, limit)), limit)
        scores = emit(node, "Add", scores, emit(node, "Unsqueeze", self.bias(node), ints(graph, 1)))
        out = emit(node, "MatMul", emit(node, "Softmax", scores, axis=-1), values)  # [1, G, H/G, J, D]
        out = emit(node, "Transpose", out, perm=(0, 3, 1, 2, 4))
        return emit(node, "Reshape", out, ints(graph, 0, 0, heads * size))

"""Lower attention to onnxruntime's fused operator, over the baked prefix.

Requires  attention in normal form; the shapes of a prefix's keys and values in every layer.
Ensures   an attention of all S rows is CHUNKS ``com.microsoft.GroupQueryAttention``: rotary
          embedding, scaling, softcap, additive bias and softmax inside, the prefix's K/V, which
          become inputs of the graph, as the past of the first, each one's keys and values as the past of the next.
          The operator computes scores a causal mask then hides; a chunk of the rows sees no
          key behind its end, which saves a third of them (docs/performance.md). Where the endings
          are a stream of their own (:mod:`ending_rows`) they are one chunk more, the last.
          An attention of judged rows only (:mod:`judged_only`; J rows over P+S keys, a shape
          that operator does not take) is written out with MatMul and
          Softmax: J is two a pair, so it costs nothing.
          A sliding window becomes part of the bias, by position, because in a packed tree
          the index of a token is not its position.
Returns   (fused, written out).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from rlaif_fast.bundle.manifest import MINIMUM_TREE, TREE_PER_CONTEXT
from rlaif_fast_export.graph.nodes import (
    MS,
    PassError,
    constant,
    dims,
    emit,
    graph_input,
    integer,
    ints,
    leaves_of,
    real,
    remove_dead,
    replace,
    text,
)  # fmt: skip
from rlaif_fast_export.graph.plan import rotates_inside
from rlaif_fast_export.graph.prefix import LayerPrefix
from rlaif_fast_export.graph.weights import Weights

CHUNKS = MINIMUM_TREE - 1  # and one more part where the endings are a stream of their own
_HIDDEN = np.float32(np.finfo(np.float32).min / 2)  # added twice it is still finite


def fused_attention(
    model: ir.Model, weights: Weights, prefix: Sequence[LayerPrefix], maximum_length: int
) -> tuple[int, int]:
    """See the module's docstring."""
    lowering = _Lowering(model.graph, weights, prefix, maximum_length)
    fused = written = 0
    for node in leaves_of(model.graph, "Attention"):
        if node.inputs[4] is node.inputs[5]:
            for old, new in zip(node.outputs, lowering.fuse(node), strict=True):
                replace(old, new)
            fused += 1
        else:
            replace(node.outputs[0], lowering.write_out(node))
            written += 1
    for node in leaves_of(model.graph, "Rotate"):
        x, positions = node.inputs
        replace(node.outputs[0], lowering.rotate(node, x, positions, integer(node, "heads"), integer(node, "size")))
    remove_dead(model.graph)
    return fused, written


@dataclass
class _Chunks:
    """Consecutive parts of the S packed rows; a list has one entry a part."""

    sizes: ir.Value  # int64 [parts]
    before_last: ir.Value  # int64 [parts - 1]: the same without the last
    first: list[ir.Value]  # int64 [1]: first row
    end: list[ir.Value]  # int64 [1]: row behind the last
    keys: list[ir.Value]  # int64 [1]: keys it sees at most, P + end
    last: list[ir.Value]  # int32 [1]: the same minus one, and
    total: list[ir.Value]  # int32 scalar: as the operator asks for it


def _share(graph: ir.Graph, before: ir.Node, rows: ir.Value, part: int, of: int) -> ir.Value:
    """``rows * part // of``, [1]."""
    whole: ir.Value = emit(before, "Div", emit(before, "Mul", rows, ints(graph, part)), ints(graph, of))
    return whole


class _Lowering:
    def __init__(self, graph: ir.Graph, weights: Weights, prefix: Sequence[LayerPrefix], maximum_length: int) -> None:
        self.graph, self.weights, self.prefix, self.maximum_length = graph, weights, prefix, maximum_length
        self._chunks: dict[ir.Value | None, _Chunks] = {}
        self._length: ir.Value | None = None
        self._bias_of_chunks: dict[tuple[ir.Value, ir.Value], list[ir.Value]] = {}
        self._positions: dict[tuple[ir.Value | None, ir.Value], list[ir.Value | None]] = {}
        self._windowed: dict[tuple[ir.Value, ir.Value, int], ir.Value] = {}

    def past(self, layer: int) -> list[ir.Value]:
        """K and V [1, G, P, D] of the prefix."""
        _, groups, _, size = self.prefix[layer].key.shape
        return [
            graph_input(self.graph, f"prefix.{layer}.{what}", ir.DataType.FLOAT, 1, groups, "P", size)
            for what in ("key", "value")
        ]

    @property
    def length(self) -> ir.Value:
        """P, int64 [1]."""
        if self._length is None:
            self._length = emit(self.graph[0], "Shape", self.past(0)[0], start=2, end=3)
        return self._length

    def rotary(self, module: str) -> tuple[ir.Value, ir.Value]:
        """cos and sin [positions, R/2] of a rotary table."""
        names = f"{module}.cos", f"{module}.sin"
        if names[0] not in self.graph.initializers:
            # The operator wants a row for every packed token, though no position is beyond the context.
            rows = TREE_PER_CONTEXT * self.maximum_length
            tables = self.weights.rotary_tables(module, self.maximum_length, rows)
            for name, table in zip(names, tables, strict=True):
                constant(self.graph, name, table)
        return self.graph.initializers[names[0]], self.graph.initializers[names[1]]

    def rotate(self, node: ir.Node, x: ir.Value | None, positions: ir.Value | None, heads: int, size: int) -> ir.Value:
        """Rotary embedding of ``x`` [1, S, heads*D] at ``positions`` [1, S], as an operator of its own."""
        cos, sin = self.rotary(text(node, "rotary"))
        part = 2 * dims(cos)[1]
        partial = {"num_heads": heads, "rotary_embedding_dim": part} if part < size else {}
        interleaved = integer(node, "interleaved")
        return emit(node, "RotaryEmbedding", x, positions, cos, sin, domain=MS, interleaved=interleaved, **partial)

    def chunks(self, before: ir.Node, start: ir.Value | None) -> _Chunks:
        """Where the packed rows are cut, and how many keys each part sees; once for ``start``.

        ``start`` [1] is the first row of the endings, where they are a stream of their own.
        """
        if start not in self._chunks:
            graph = self.graph
            ids = next(v for v in graph.inputs if v.name == "input_ids")
            rows = emit(before, "Shape", ids, start=1, end=2)  # [1]: S
            if start is None:
                ends = [_share(graph, before, rows, n, CHUNKS) for n in range(1, CHUNKS)] + [rows]
            else:  # the rows in front of the endings in equal parts, the endings in one
                ends = [_share(graph, before, start, n, CHUNKS) for n in range(1, CHUNKS)] + [start, rows]
            first = [ints(graph, 0), *ends[:-1]]
            sizes = [emit(before, "Sub", e, f) for f, e in zip(first, ends, strict=True)]
            keys = [emit(before, "Add", e, self.length) for e in ends]  # [1] each: P + rows so far
            one = constant(graph, "one", np.array(1, np.int32))
            totals = [emit(before, "Cast", k, to=ir.DataType.INT32) for k in keys]
            self._chunks[start] = _Chunks(
                emit(before, "Concat", *sizes, axis=0), emit(before, "Concat", *sizes[:-1], axis=0), first, ends, keys,
                [emit(before, "Sub", total, one) for total in totals],
                [emit(before, "Squeeze", total) for total in totals],
            )  # fmt: skip
        return self._chunks[start]

    def bias_of_chunks(self, node: ir.Node, chunks: _Chunks) -> list[ir.Value]:
        """The rows of the bias of each chunk, over the keys up to its end; once a bias and cut."""
        bias = self.bias(node)
        if (bias, chunks.sizes) not in self._bias_of_chunks:
            zero, axes = ints(self.graph, 0), ints(self.graph, 2, 3)
            self._bias_of_chunks[bias, chunks.sizes] = [
                emit(node, "Slice", bias, emit(node, "Concat", first, zero, axis=0),
                     emit(node, "Concat", end, keys, axis=0), axes)
                for first, end, keys in zip(chunks.first, chunks.end, chunks.keys, strict=True)
            ]  # fmt: skip
        return self._bias_of_chunks[bias, chunks.sizes]

    def bias(self, node: ir.Node) -> ir.Value:
        """The additive bias [1, 1, rows, P+S], with the layer's sliding window in it."""
        bias, q_positions, k_positions = node.inputs[3:6]
        window = integer(node, "window")
        if not window or window >= self.maximum_length:
            return bias
        key = (bias, q_positions, window)
        if key not in self._windowed:
            ends = [emit(node, "Squeeze", value) for value in (ints(self.graph, 0), self.length, ints(self.graph, 1))]
            before = emit(node, "Unsqueeze", emit(node, "Range", *ends), ints(self.graph, 0))  # [1, P]
            keys = emit(node, "Concat", before, k_positions, axis=1)  # [1, P+S]
            distance = emit(
                node, "Sub", emit(node, "Unsqueeze", q_positions, ints(self.graph, 2)),
                emit(node, "Unsqueeze", keys, ints(self.graph, 1)),
            )  # [1, rows, P+S]  # fmt: skip
            seen = emit(node, "Less", distance, constant(self.graph, f"window_{window}", np.array(window, np.int64)))
            seen = emit(node, "Unsqueeze", seen, ints(self.graph, 1))
            hidden = constant(self.graph, "unseen", np.array(_HIDDEN))
            self._windowed[key] = emit(node, "Where", seen, bias, hidden)
        return self._windowed[key]

    def fuse(self, node: ir.Node) -> list[ir.Value]:
        """The attention's outputs, one a stream."""
        streams = len(node.outputs)
        chunks = self.chunks(node, node.inputs[9] if streams == 2 else None)
        heads, groups, module = integer(node, "heads"), integer(node, "kv_heads"), text(node, "rotary")
        inside = rotates_inside(node, self.weights)
        cos, sin = self.rotary(module) if inside else (None, None)
        layer = integer(node, "layer")
        past, outs = self.past(layer), []
        size = self.prefix[layer].key.shape[3]
        of_rows = node.inputs[4], chunks.sizes
        if of_rows not in self._positions:
            self._positions[of_rows] = emit(node, "Split", *of_rows, outputs=len(chunks.end), axis=1)
        parts = self._parts(node, chunks)
        every = zip(parts, self._positions[of_rows], self.bias_of_chunks(node, chunks), strict=True)
        for i, ((q, k, v), positions, bias) in enumerate(every):
            if module and not inside:
                q = self.rotate(node, q, positions, heads, size)
                k = self.rotate(node, k, positions, groups, size)
            # Outputs: attention, and the keys and values so far: the next chunk's past.
            out, *past = emit(
                node, "GroupQueryAttention", q, k, v, *past, chunks.last[i], chunks.total[i], cos, sin,
                positions, bias, domain=MS, outputs=3, num_heads=heads, kv_num_heads=groups,
                scale=real(node, "scale"), softcap=real(node, "softcap"), do_rotary=int(inside),
                rotary_interleaved=integer(node, "interleaved") if inside else 0,
            )  # fmt: skip
            outs.append(out)
        if streams == 1:
            return [emit(node, "Concat", *outs, axis=1)]
        return [emit(node, "Concat", *outs[:-1], axis=1), outs[-1]]

    def _parts(self, node: ir.Node, chunks: _Chunks) -> list[tuple[Any, ...]]:
        """q, k, v of every chunk."""

        def split(rows: ir.Value | None, sizes: ir.Value, count: int) -> list[ir.Value | None]:
            return [None] * count if rows is None else emit(node, "Split", rows, sizes, outputs=count, axis=1)

        if len(node.outputs) == 1:
            return list(zip(*(split(v, chunks.sizes, CHUNKS) for v in node.inputs[:3]), strict=True))
        before = [split(v, chunks.before_last, CHUNKS) for v in node.inputs[:3]]
        return [*zip(*before, strict=True), tuple(node.inputs[6:9])]

    def write_out(self, node: ir.Node) -> ir.Value:
        graph = self.graph
        q, k, v, _, q_positions, k_positions = node.inputs[:6]
        if q is None or k is None or v is None:
            raise PassError(f"{node.name}: a cut attention needs q, k and v of their own")
        heads, groups = integer(node, "heads"), integer(node, "kv_heads")
        layer = integer(node, "layer")
        past_key, past_value = self.past(layer)
        size = self.prefix[layer].key.shape[3]  # D
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

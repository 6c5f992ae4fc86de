"""Bring every attention to one normal form, whatever the architecture wrote around it.

Requires  Attention leaves as traced, cut_linears done: q, k, v of [1, heads, S, D] that come from Linear
          leaves through any of Split/Slice (fused QKV), Reshape, Transpose, a norm over D or over
          heads*D, Rotary, Concat (partial rotary); the norm in front of the rotation or behind it.
Ensures   ``Attention(q, k, v, bias, q_positions, k_positions)`` with q [1, S, H*D] and
          k, v [1, S, G*D] straight from a Linear leaf or its norm, and the attributes
          ``rotary`` (module of the rotary table, or empty) and ``interleaved``. Its output is [1, S, H*D].
          Where a norm stands behind the rotation, a ``Rotate`` leaf in front of the norm turns the rows.
          No Rotary, RotaryTable or shape arithmetic of attention is left.
Returns   the number of attentions rewritten: one a layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from rlaif_fast_export.graph.forms import HALVES, PAIRS
from rlaif_fast_export.graph.leaves import DOMAIN
from rlaif_fast_export.graph.nodes import (
    PassError,
    emit,
    integer,
    ints,
    is_leaf,
    is_op,
    leaves_of,
    real,
    remove_dead,
    replace,
    text,
)  # fmt: skip
from rlaif_fast_export.graph.plan import emit_linear, pieces
from rlaif_fast_export.graph.weights import Piece, Weights


@dataclass
class _Path:
    """How one of q, k, v is made, read backwards from the attention to its linear layer."""

    linear: ir.Node
    by_heads: bool = False  # parts of a fused layer are interleaved head by head
    norm: ir.Node | None = None
    rotary: str = ""
    interleaved: int = 0
    norm_behind: bool = False  # the norm is behind the rotation


def normal_attention(model: ir.Model, weights: Weights) -> int:
    """See the module's docstring."""
    graph = model.graph
    positions = next(v for v in graph.inputs if v.name == "position_ids")
    found = leaves_of(graph, "Attention")
    for node in found:
        q, k, v = node.inputs[:3]
        bias = _bias(node)
        paths = [_walk(value, weights) for value in (q, k, v)]
        turned = [(path.rotary, path.interleaved, path.norm_behind and bool(path.rotary)) for path in paths[:2]]
        if turned[0] != turned[1] or paths[2].rotary or paths[2].norm:
            raise PassError(f"{node.name}: q and k are rotated differently, or v is rotated")
        heads, kv_heads = integer(node, "heads"), integer(node, "kv_heads")
        rows = _rows(paths, heads, kv_heads, weights)
        values = []
        for path, part, count in zip(paths, rows, (heads, kv_heads, kv_heads), strict=True):
            value = emit_linear(node, path.linear.inputs[0], (part,))
            width = weights.features([part])[1]
            if path.norm_behind and path.rotary:
                value = emit(
                    node, "Rotate", value, positions, domain=DOMAIN, rotary=path.rotary,
                    interleaved=path.interleaved, heads=count, size=width // count,
                )  # fmt: skip
            if path.norm is not None:
                value = _normed(node, value, path.norm, count, width, weights)
            values.append(value)
        inside = "" if turned[0][2] else paths[0].rotary
        out = emit(
            node, "Attention", *values, bias, positions, positions, domain=DOMAIN,
            layer=integer(node, "layer"), heads=heads, kv_heads=kv_heads, scale=real(node, "scale"),
            softcap=real(node, "softcap"), window=integer(node, "window"), rotary=inside,
            interleaved=paths[0].interleaved,
        )  # fmt: skip
        replace(_joined(node), out)
    remove_dead(graph)
    return len(found)


def _normed(before: ir.Node, value: ir.Value, norm: ir.Node, count: int, width: int, weights: Weights) -> ir.Value:
    """``value`` [1, S, width] through a norm over each of its ``count`` heads, or over all of them."""
    graph, module = before.graph, text(norm, "module")
    shape = weights.norm(module).scale.shape
    whole = shape == (width,) and count > 1
    if not whole and shape not in ((width // count,), (count, width // count)):
        raise PassError(f"{module}: a norm over {shape} of {count} heads of {width // count}")
    if not whole:
        value = emit(before, "Reshape", value, ints(graph, 0, 0, count, width // count))
    value = emit(before, norm.op_type, value, domain=DOMAIN, module=module)
    return value if whole else emit(before, "Reshape", value, ints(graph, 0, 0, width))


def _bias(node: ir.Node) -> ir.Value:
    """The graph's mask, which some classes cut to the length of the keys."""
    value = node.inputs[3]
    while value is not None and is_op(value.producer(), "Slice"):
        value = value.producer().inputs[0]
    if value is None or not value.is_graph_input() or value.name != "attention_bias":
        raise PassError(f"{node.name}: its mask is not the one that is given (a mask of the model's own)")
    return value


def _joined(node: ir.Node) -> ir.Value:
    """The heads' outputs side by side, [1, S, H*D]."""
    value = node.outputs[0]
    while True:
        readers = [n for n in value.consumers() if not is_op(n, "Shape")]
        if len(readers) != 1 or not is_op(readers[0], "Reshape", "Transpose"):
            raise PassError(f"{node.name}: expected one Reshape to [1, S, H*D] behind the attention")
        value = readers[0].outputs[0]
        if is_op(readers[0], "Reshape"):
            return value


def _walk(value: ir.Value | None, weights: Weights) -> _Path:
    path = _Path(linear=None)  # until it is found
    sliced = False
    while True:
        node = value.producer() if value is not None else None
        if is_leaf(node, "Linear"):
            path.linear = node
            return path
        if is_leaf(node, "Rotary") and not path.rotary:
            path.norm_behind = path.norm is not None
            path.rotary, path.interleaved = _rotation(node, weights)
        elif is_leaf(node, "LayerNorm", "RMSNorm") and path.norm is None:
            path.norm = node
        elif is_op(node, "Split", "Slice"):
            # A slice of the features is either the rotated part (below a Rotary) or a part of fused QKV.
            sliced = True
        elif is_op(node, "Transpose", "Reshape", "Concat"):
            pass
        else:
            kind = "a graph input" if node is None else node.op_type
            raise PassError(f"cannot follow {value} back to its linear layer ({kind})")
        if is_op(node, "Transpose") and sliced and not is_partial_rotary(node):
            path.by_heads = True
        value = node.inputs[0]


def _rotation(node: ir.Node, weights: Weights) -> tuple[str, int]:
    """The module of the table, and whether the rotation turns neighbours."""
    table = node.inputs[1].producer()
    if not is_leaf(table, "RotaryTable"):
        raise PassError(f"{node.name}: its angles are not a rotary table's")
    module = text(table, "module")
    kind = integer(node, "of_pairs" if weights.rotary_layout(module) == PAIRS else "of_halves")
    if kind not in (HALVES, PAIRS):
        raise PassError(f"{module}: a rotation of a kind the runtime has not")
    return module, int(kind == PAIRS)


def is_partial_rotary(node: ir.Node) -> bool:
    """Whether the slices behind ``node`` are put together again by a Concat (rotated | passed)."""
    return all(
        any(is_op(c, "Concat") or (is_leaf(c, "Rotary") and any(is_op(d, "Concat") for d in c.outputs[0].consumers()))
            for c in s.outputs[0].consumers())
        for s in node.outputs[0].consumers() if is_op(s, "Slice")
    )  # fmt: skip


def _rows(paths: list[_Path], heads: int, kv_heads: int, weights: Weights) -> list[Piece]:
    """The pieces of q, k and v; for a fused layer, which of its output features belong to which."""
    parts = [pieces(p.linear)[0] for p in paths]
    counts = (heads, kv_heads, kv_heads)
    if len(set(parts)) == 3 and not any(p.by_heads for p in paths):
        return parts
    if len(set(parts)) != 1:
        raise PassError(f"{[p.module for p in parts]}: expected three linear layers or one fused")
    size = weights.features(parts[:1])[1] // sum(counts)  # D
    if not paths[0].by_heads or heads != kv_heads:
        raise PassError(f"{parts[0].module}: unknown layout of fused q, k, v")
    rows = [[h * 3 * size + part * size + i for h in range(heads) for i in range(size)] for part in range(3)]
    return [Piece(parts[0].module, tuple(r)) for r in rows]

"""Bring every attention to one normal form, whatever the architecture wrote around it.

Requires  Attention leaves as traced: q, k, v of [1, heads, S, D] that come from Linear
          leaves through any of Split/Slice (fused QKV), Reshape, Transpose, a norm over D,
          Rotary, Concat (partial rotary).
Ensures   ``Attention(q, k, v, bias, q_positions, k_positions)`` with q [1, S, H*D] and
          k, v [1, S, G*D] straight from a Linear leaf or its norm, and the attributes
          ``rotary`` (module of the rotary table, or empty). Its output is [1, S, H*D].
          No Rotary, RotaryTable or shape arithmetic of attention is left.
Returns   the number of attentions rewritten: one a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

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
    fused: str = ""  # "split": parts side by side; "heads": parts interleaved head by head
    norm: ir.Node | None = None
    rotary: str = ""


def normal_attention(model: ir.Model, weights: Weights) -> int:
    """See the module's docstring."""
    graph = model.graph
    positions = next(v for v in graph.inputs if v.name == "position_ids")
    found = leaves_of(graph, "Attention")
    for node in found:
        q, k, v, bias = node.inputs
        paths = [_walk(value) for value in (q, k, v)]
        if paths[0].rotary != paths[1].rotary or paths[2].rotary or paths[2].norm:
            raise PassError(f"{node.name}: q and k are rotated differently, or v is rotated")
        heads, kv_heads = integer(node, "heads"), integer(node, "kv_heads")
        rows = _rows(paths, heads, kv_heads, weights)
        values = []
        for path, part, count in zip(paths, rows, (heads, kv_heads, kv_heads), strict=True):
            value = emit_linear(node, path.linear.inputs[0], (part,))
            if path.norm is not None:
                width = weights.features([part])[1]
                value = emit(node, "Reshape", value, ints(graph, 0, 0, count, width // count))
                value = emit(node, path.norm.op_type, value, domain=DOMAIN, module=text(path.norm, "module"))
                value = emit(node, "Reshape", value, ints(graph, 0, 0, width))
            values.append(value)
        out = emit(
            node, "Attention", *values, bias, positions, positions, domain=DOMAIN,
            layer=integer(node, "layer"), heads=heads, kv_heads=kv_heads, scale=real(node, "scale"),
            softcap=real(node, "softcap"), window=integer(node, "window"), rotary=paths[0].rotary,
        )  # fmt: skip
        readers = [n for n in node.outputs[0].consumers() if not is_op(n, "Shape")]
        if len(readers) != 1 or not is_op(readers[0], "Reshape"):
            raise PassError(f"{node.name}: expected one Reshape to [1, S, H*D] behind the attention")
        replace(readers[0].outputs[0], out)
    remove_dead(graph)
    return len(found)


def _walk(value: ir.Value | None) -> _Path:
    norm, rotary, fused = None, "", ""
    sliced = False
    while True:
        node = value.producer() if value is not None else None
        if is_leaf(node, "Linear"):
            return _Path(node, fused, norm, rotary)
        if is_leaf(node, "Rotary") and norm is None:
            table = node.inputs[1].producer()
            rotary = text(table, "module")
        elif is_leaf(node, "LayerNorm", "RMSNorm") and norm is None:
            norm = node
        elif is_op(node, "Split"):
            fused = "split"
        elif is_op(node, "Slice"):
            # A slice of the features is either the rotated part (below a Rotary) or a part of fused QKV.
            sliced = True
        elif is_op(node, "Transpose", "Reshape") or is_op(node, "Concat"):
            pass
        else:
            raise PassError(f"cannot follow {value} back to its linear layer")
        if is_op(node, "Transpose") and sliced and not is_partial_rotary(node):
            fused = "heads"
        value = node.inputs[0]


def is_partial_rotary(node: ir.Node) -> bool:
    """Whether the slices behind ``node`` are put together again by a Concat (rotated | passed)."""
    return all(
        any(is_op(c, "Concat") or (is_leaf(c, "Rotary") and any(is_op(d, "Concat") for d in c.outputs[0].consumers()))
            for c in s.outputs[0].consumers())
        for s in node.outputs[0].consumers() if is_op(s, "Slice")
    )  # fmt: skip


def _rows(paths: list[_Path], heads: int, kv_heads: int, weights: Weights) -> list[Piece]:
    """The pieces of q, k and v; for a fused layer, which of its output features belong to which."""
    modules = [pieces(p.linear)[0].module for p in paths]
    if len(set(modules)) == 3:
        return [Piece(m) for m in modules]
    if len(set(modules)) != 1:
        raise PassError(f"{modules}: expected three linear layers or one fused")
    width = weights.features([Piece(modules[0])])[1]
    counts = (heads, kv_heads, kv_heads)
    size = width // sum(counts)  # D
    if paths[0].fused == "split":
        starts = (0, heads * size, (heads + kv_heads) * size)
        rows: list[Sequence[int]] = [
            range(start, start + count * size) for start, count in zip(starts, counts, strict=True)
        ]
    elif paths[0].fused == "heads" and heads == kv_heads:
        rows = [[h * 3 * size + part * size + i for h in range(heads) for i in range(size)] for part in range(3)]
    else:
        raise PassError(f"{modules[0]}: unknown layout of fused q, k, v")
    return [Piece(modules[0], tuple(r)) for r in rows]

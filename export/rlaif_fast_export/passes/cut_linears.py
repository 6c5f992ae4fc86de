"""Cut linear layers whose output is taken apart: fused q, k and v, and fused gate and up projections.

Requires  a graph as traced.
Ensures   a Split or Slice with fixed bounds on the features of a Linear leaf is gone: each part is a Linear leaf of its
          own rows (pieces of the module's weights, which are not copied).
Returns   the number of parts made.
"""

from __future__ import annotations

import itertools
import operator

import numpy as np
import onnx_ir as ir

from rlaif_fast_export.graph.nodes import is_op, leaves_of, remove_dead, replace
from rlaif_fast_export.graph.plan import emit_linear, pieces
from rlaif_fast_export.graph.weights import Piece, Weights

_AXIS = 2  # of the features in [1, S, N]


def cut_linears(model: ir.Model, weights: Weights) -> int:
    """See the module's docstring."""
    parts = 0
    for linear in leaves_of(model.graph, "Linear"):
        (piece,) = pieces(linear)
        width = weights.features([piece])[1]
        for reader in list(linear.outputs[0].consumers()):
            found = _bounds(reader, width)
            if found is None:
                continue
            for output, (start, end) in zip(reader.outputs, found, strict=True):
                rows = piece.rows or range(width)
                part = Piece(piece.module, tuple(rows[start:end]))
                replace(output, emit_linear(reader, linear.inputs[0], (part,)))
                parts += 1
    remove_dead(model.graph)
    return parts


def _bounds(node: ir.Node, width: int) -> list[tuple[int, int]] | None:
    """First feature, and the one behind the last, of each output; None where ``node`` is no such cut."""
    if not is_op(node, "Split", "Slice"):
        return None
    given = [_numbers(value, node.inputs[0], width) for value in node.inputs[1:]]
    if is_op(node, "Split"):
        axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 0
        sizes = given[0] if given else [width // len(node.outputs)] * len(node.outputs)
        if axis not in (_AXIS, -1) or sizes is None or sum(sizes) != width:
            return None
        return list(itertools.pairwise(itertools.accumulate(sizes, initial=0)))
    starts, ends, axes, *step = given
    if starts is None or ends is None or axes not in ([_AXIS], [-1]) or step not in ([], [[1]]):
        return None
    start, end, _ = slice(starts[0], ends[0]).indices(width)
    return [(start, end)]


_SAME = ("Unsqueeze", "Squeeze", "Cast", "Identity")
_ARITHMETIC = {"Add": operator.add, "Sub": operator.sub, "Mul": operator.mul, "Div": operator.floordiv}


def _numbers(value: ir.Value | None, linear: ir.Value | None, width: int) -> list[int] | None:
    """Whole numbers that are known before the graph runs; ``width`` is of the features of ``linear``."""
    if value is None:
        return None
    node, tensor = value.producer(), value.const_value
    if tensor is None and is_op(node, "Constant") and "value" in node.attributes:
        tensor = node.attributes["value"].as_tensor()
    if tensor is not None:
        return [int(n) for n in np.atleast_1d(tensor.numpy())]
    if node is None:
        return None
    if is_op(node, *_SAME):
        return _numbers(node.inputs[0], linear, width)
    if is_op(node, "Gather"):  # chunk and split ask for the shape
        shape = node.inputs[0].producer() if node.inputs[0] is not None else None
        whole = is_op(shape, "Shape") and shape.inputs[0] is linear and not shape.attributes
        return [width] if whole and _numbers(node.inputs[1], linear, width) in ([_AXIS], [-1]) else None
    if node.op_type in _ARITHMETIC and node.domain == "":
        a, b = (_numbers(of, linear, width) for of in node.inputs)
        return None if a is None or b is None else [_ARITHMETIC[node.op_type](x, y) for x, y in zip(a, b, strict=True)]
    return None

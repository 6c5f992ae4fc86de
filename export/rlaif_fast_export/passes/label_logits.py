"""The head, for the labels of whichever prompt is fed.

Requires  one output, ``hidden`` [J, D].
Ensures   the output ``label_logits`` [J, L] in front of it, of the inputs ``label_rows`` [L, D], ``label_bias`` and
          ``label_offset`` [L]: rows @ hidden + bias, capped where the model caps its logits, + offset. The products are
          written as products and a sum: a matrix product of two rows gains nothing, and an engine that computes
          matrix products in bfloat16 leaves these in float32. (Between 8 and 16 bfloat16 logits are a 16th apart, which
          on the embedded default was two thirds of the error.)
Returns   the number of operators added.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rlaif_fast.bundle.prompt import LABEL_BIAS, LABEL_OFFSET, LABEL_ROWS
from rlaif_fast_export.graph.nodes import constant, graph_input, ints

_FLOAT = ir.DataType.FLOAT


def label_logits(model: ir.Model, width: int, softcap: float | None) -> int:
    """See the module's docstring; ``width`` is D."""
    graph, before = model.graph, len(model.graph)
    (hidden,) = graph.outputs
    hidden.shape = ir.Shape(["J", width])
    rows = graph_input(graph, LABEL_ROWS, _FLOAT, "L", width)
    bias, offset = (graph_input(graph, name, _FLOAT, "L") for name in (LABEL_BIAS, LABEL_OFFSET))

    def add(op: str, *inputs: ir.Value, **attributes: int) -> ir.Value:
        node = ir.node(op, inputs, attributes=attributes)
        graph.append(node)
        return node.outputs[0]

    logits = add("ReduceSum", add("Mul", add("Unsqueeze", hidden, ints(graph, 1)), rows), ints(graph, 2), keepdims=0)
    logits = add("Add", logits, bias)
    if softcap is not None:
        cap = constant(graph, f"softcap_{softcap}", np.array(softcap, np.float32))
        logits = add("Mul", add("Tanh", add("Div", logits, cap)), cap)
    logits = add("Add", logits, offset)
    logits.name, logits.shape, logits.type = "label_logits", ir.Shape(["J", "L"]), ir.TensorType(_FLOAT)
    graph.outputs.insert(0, logits)
    return len(graph) - before

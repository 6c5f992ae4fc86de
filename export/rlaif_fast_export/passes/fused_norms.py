"""Residual addition and the norm behind it in one operator.

Requires  norm leaves lowered to LayerNormalization or SimplifiedLayerNormalization.
Ensures   a norm over a sum of two token tensors becomes onnxruntime's
          SkipLayerNormalization / SkipSimplifiedLayerNormalization, whose fourth output is the
          sum itself for those who read it.
Returns   the number of norms fused; one whose input is no sum (the first of the model) stays.
"""

from __future__ import annotations

import onnx_ir as ir

from rlaif_fast_export.graph.nodes import MS, emit, is_op, real, remove_dead, replace


def fused_norms(model: ir.Model) -> int:
    """See the module's docstring."""
    fused = 0
    for node in list(model.graph):
        if not is_op(node, "LayerNormalization", "SimplifiedLayerNormalization"):
            continue
        total = node.inputs[0]
        add = total.producer() if total is not None else None
        if total is None or not is_op(add, "Add") or any(i is None or i.is_initializer() for i in add.inputs):
            continue
        # The sum may be read before the norm is (parallel blocks): compute both where the sum was.
        out, _, _, added = emit(
            add, f"Skip{node.op_type}", *add.inputs, *node.inputs[1:], domain=MS, outputs=4,
            epsilon=real(node, "epsilon"),
        )  # fmt: skip
        replace(node.outputs[0], out)
        replace(total, added)
        fused += 1
    remove_dead(model.graph)
    return fused

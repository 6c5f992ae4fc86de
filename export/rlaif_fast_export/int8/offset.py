"""The constant shift that int8 leaves in the verdicts, and taking it out of a graph on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx import numpy_helper

from rlaif_fast_export.graph.nodes import constant

_OFFSET = "label_offset"


def add_offset(graph: ir.Graph) -> None:
    """Let the graph add a constant [2], zero for now, to its label logits."""
    output = graph.outputs[0]
    producer = output.producer()
    assert producer is not None
    offset = constant(graph, _OFFSET, np.zeros(2, np.float32))
    name, output.name = output.name, "label_logits_before_offset"
    node = ir.node("Add", [output, offset])
    node.outputs[0].name = name
    node.outputs[0].shape, node.outputs[0].type = output.shape, output.type
    graph.append(node)
    graph.outputs[0] = node.outputs[0]


def shift_out(model: Path, shift: float) -> None:
    """Have the graph in ``model`` take ``shift`` off log(p1/p2), half of it at each label. Its weights stay."""
    proto = onnx.load(model, load_external_data=False)
    for tensor in proto.graph.initializer:
        if tensor.name == _OFFSET:
            value = np.array([-shift / 2, shift / 2], np.float32)
            tensor.CopyFrom(numpy_helper.from_array(value, _OFFSET))
    onnx.save(proto, model)

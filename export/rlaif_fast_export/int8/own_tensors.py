"""A weight and a zero point of its own for every int8 product of a graph on disk.

Where a CPU's products of uint8 and int8 saturate, onnxruntime has exact ones (rlaif_fast/runtime/saturation.py): it
rewrites the constants of each product when the session is made, under names made of theirs. So two products must
not share one, and a zero point that is left out corrupts memory before onnxruntime 1.32
(microsoft/onnxruntime#32051). The copies are entries of the graph only: they lie at the same place in the weights'
file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

_PRODUCT, _WEIGHT, _ZERO_POINT = "MatMulIntegerToFloat", 1, 5  # and the places of its inputs


def own_tensors(model: Path) -> int:
    """Give the products of the graph in ``model`` constants of their own; how many products there are."""
    proto = onnx.load(model, load_external_data=False)
    weights = {tensor.name: tensor for tensor in proto.graph.initializer}
    taken: set[str] = set()
    products = [node for node in proto.graph.node if node.op_type == _PRODUCT]
    for number, node in enumerate(products):
        name = node.input[_WEIGHT]
        if name in taken:
            copy = proto.graph.initializer.add()
            copy.CopyFrom(weights[name])
            copy.name = node.input[_WEIGHT] = f"{name}/{number}"
        taken.add(name)
        zero = numpy_helper.from_array(np.array(0, np.int8), f"zero_point/{number}")
        proto.graph.initializer.append(zero)
        node.input[_ZERO_POINT] = zero.name
    onnx.save(proto, model)
    return len(products)

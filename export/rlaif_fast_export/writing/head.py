"""The head over the whole vocabulary as a graph of its own, ``head.onnx``: what a score's probabilities are shares of.

Where the head is the embedding, as in most small models, its weights are the ones that the bundle has already.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from rlaif_fast.bundle.manifest import HEAD, HEAD_WEIGHTS, MODEL
from rlaif_fast_export.graph.head_form import HeadForm
from rlaif_fast_export.graph.trace import OPSET

_TABLE, _FLOAT = "head.weight", TensorProto.FLOAT


def has_tied_head(lm: Any) -> bool:
    """Whether the head's weights are the embedding's."""
    return bool(lm.get_output_embeddings().weight.data_ptr() == lm.get_input_embeddings().weight.data_ptr())


def write_head(lm: Any, folder: Path, form: HeadForm) -> None:
    """Write ``head.onnx`` beside the bundle's graph in ``folder``, and its weights where they are not there yet.

    The graph: ``hidden`` float32 [J, D] -> ``logits`` float32 [J, V].
    """
    head = lm.get_output_embeddings()
    table = _embedding(lm, folder) if has_tied_head(lm) else _own(head, folder)
    tensors, nodes = [table], []

    def constant(name: str, value: np.ndarray) -> str:
        tensors.append(numpy_helper.from_array(value, name))
        return name

    weight = _TABLE
    if table.data_type != _FLOAT:
        nodes.append(helper.make_node("Cast", [_TABLE], ["widened"], to=_FLOAT))
        weight = "widened"
    nodes.append(helper.make_node("Transpose", [weight], ["columns"], perm=[1, 0]))
    nodes.append(helper.make_node("MatMul", ["hidden", "columns"], ["products"]))
    logits = "products"
    if getattr(head, "bias", None) is not None:
        bias = constant("head.bias", head.bias.detach().float().numpy())
        nodes.append(helper.make_node("Add", [logits, bias], ["biased"]))
        logits = "biased"
    if form.scale != 1:
        nodes.append(helper.make_node("Mul", [logits, constant("scale", np.array(form.scale, np.float32))], ["scaled"]))
        logits = "scaled"
    if form.softcap is not None:
        cap = constant("softcap", np.array(form.softcap, np.float32))
        nodes.append(helper.make_node("Div", [logits, cap], ["divided"]))
        nodes.append(helper.make_node("Tanh", ["divided"], ["bent"]))
        nodes.append(helper.make_node("Mul", ["bent", cap], ["capped"]))
        logits = "capped"
    nodes[-1].output[0] = "logits"
    graph = helper.make_graph(
        nodes, "head", [helper.make_tensor_value_info("hidden", _FLOAT, ["J", table.dims[1]])],
        [helper.make_tensor_value_info("logits", _FLOAT, ["J", table.dims[0]])], tensors,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    (folder / HEAD).write_bytes(model.SerializeToString())


def _embedding(lm: Any, folder: Path) -> TensorProto:
    """The table where the bundle's graph has it."""
    embedding = lm.get_input_embeddings()
    shape = list(embedding.weight.shape)
    graph = onnx.load(folder / MODEL, load_external_data=False).graph
    of_table = {n.input[0] for n in graph.node if n.op_type == "Gather"}
    found = TensorProto()
    found.CopyFrom(next(t for t in graph.initializer if t.name in of_table and list(t.dims) == shape))
    found.name = _TABLE
    return found


def _own(head: Any, folder: Path) -> TensorProto:
    """The table in a file of its own, in the precision it is stored in."""
    import torch

    weight = head.weight.detach()
    kinds = {torch.float16: TensorProto.FLOAT16, torch.bfloat16: TensorProto.BFLOAT16}
    kind = kinds.get(weight.dtype, _FLOAT)
    with open(folder / HEAD_WEIGHTS, "wb") as stream:
        for rows in weight.split(4096):
            stream.write((rows.float() if kind == _FLOAT else rows.view(torch.int16)).contiguous().numpy().tobytes())
        size = stream.tell()
    found = TensorProto(name=_TABLE, data_type=kind, dims=list(weight.shape), data_location=TensorProto.EXTERNAL)
    for key, value in {"location": HEAD_WEIGHTS, "offset": "0", "length": str(size)}.items():
        found.external_data.add(key=key, value=value)
    return found

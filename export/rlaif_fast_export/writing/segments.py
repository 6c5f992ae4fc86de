"""A bundle's graph run a segment at a time: with the weights of one in memory, where a session over all takes too much.

The nodes stand in topological order, so wherever the list is cut, what a segment needs of those before it is a few
arrays, and the kernels and the weights are those that a session over the whole graph has.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnxruntime as ort
from onnx import helper

from rlaif_fast.bundle.manifest import MODEL
from rlaif_fast.runtime.engines.base import EngineOptions, Feed, Output
from rlaif_fast.runtime.engines.onnxruntime import attention_kernel, session_settings
from rlaif_fast.runtime.saturation import saturates

_WEIGHTS = 400_000_000  # bytes of a segment, unless one node has more
_HALF = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)


@dataclass(frozen=True)
class _Segment:
    nodes: list[onnx.NodeProto]
    needs: list[str]  # values from before
    gives: list[str]  # values for those behind


def run_in_segments(folder: Path, feeds: Sequence[Feed], tick: Callable[[float], None]) -> list[Output]:
    """What the graph in ``folder`` gives for each of ``feeds``."""
    proto = onnx.load(folder / MODEL, load_external_data=False)
    weights = {tensor.name: tensor for tensor in proto.graph.initializer}
    states: list[Feed] = [dict(feed) for feed in feeds]
    segments = [*_cut(proto.graph, weights)]
    for number, segment in enumerate(segments):
        tick(number / len(segments))
        session = _session(segment, proto, weights, folder, states[0])
        for state in states:
            found = session.run(segment.gives, {name: state[name] for name in segment.needs})
            state |= dict(zip(segment.gives, found, strict=True))
        del session
        gc.collect()  # it is part of a cycle, and the next one needs the memory
        later = {name for other in segments[number + 1 :] for name in other.needs} | {*Output._fields}
        states = [{name: value for name, value in state.items() if name in later} for state in states]
    return [Output(*(state[name] for name in Output._fields)) for state in states]


def _cut(graph: onnx.GraphProto, weights: dict[str, onnx.TensorProto]) -> Iterator[_Segment]:
    parts: list[list[onnx.NodeProto]] = [[]]
    size = 0
    for node in graph.node:
        own = sum(_bytes(weights[name]) for name in node.input if name in weights)
        if parts[-1] and own and size + own > _WEIGHTS:  # what widens half precision stays with what it is for
            parts.append([])
            size = 0
        parts[-1].append(node)
        size += own
    reads = [{name for node in part for name in node.input if name and name not in weights} for part in parts]
    for number, part in enumerate(parts):
        made = {name for node in part for name in node.output if name}
        later = {*Output._fields}.union(*reads[number + 1 :])
        yield _Segment(part, sorted(reads[number] - made), sorted(made & later))


def _bytes(tensor: onnx.TensorProto) -> int:
    """In memory: half precision is widened there."""
    size = int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    return math.prod(tensor.dims) * (4 if tensor.data_type in _HALF else size)


def _session(
    segment: _Segment, whole: onnx.ModelProto, weights: dict[str, onnx.TensorProto], folder: Path, example: Feed
) -> ort.InferenceSession:
    used = [weights[name] for name in {name for node in segment.nodes for name in node.input} if name in weights]
    inputs = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(example[name].dtype), [None] * example[name].ndim
        )
        for name in segment.needs
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in segment.gives]  # their types follow
    graph = helper.make_graph(segment.nodes, "segment", inputs, outputs, used)
    model = helper.make_model(graph, opset_imports=whole.opset_import, ir_version=whole.ir_version)
    ints = any(node.op_type == "MatMulIntegerToFloat" for node in segment.nodes)
    settings = session_settings(EngineOptions(), folder, exact_products=ints and saturates())
    with attention_kernel(flash=False):
        return ort.InferenceSession(model.SerializeToString(), settings, ["CPUExecutionProvider"])

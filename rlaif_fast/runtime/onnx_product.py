"""The few lines of ONNX's file format that trying a single product takes; the runtime has no onnx package.

Field numbers are those of onnx.proto.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rlaif_fast.bundle.protobuf import fields, integer, integers, submessage

# ModelProto, GraphProto, NodeProto, TensorProto
_MODEL_IR, _MODEL_GRAPH, _MODEL_OPSET = 1, 7, 8
_GRAPH_NODE, _GRAPH_NAME, _GRAPH_TENSOR, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 2, 5, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_OP = 1, 2, 4
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_RAW, _TENSOR_EXTERNAL = 1, 2, 8, 9, 13

FLOAT, UINT8, INT8, INT32 = 1, 2, 3, 6  # TensorProto.DataType
_HALF = (10, 16)  # FLOAT16, BFLOAT16: widened when they are loaded


@dataclass(frozen=True)
class Product:
    """A matrix product with constant weights [K, N] of TensorProto type ``weights``."""

    k: int
    n: int
    weights: int


def products(model: bytes) -> list[Product]:
    """The products of a model's graph whose second factor is a constant matrix, in the graph's order.

    Weights that lie at one place of the weights' file count once: int8 rows and their endings are one product.
    """
    graph = next(value for number, value in fields(memoryview(model)) if number == _MODEL_GRAPH)
    tensors: dict[bytes, tuple[bytes, list[int], int]] = {}
    factors: list[bytes] = []
    widened: dict[bytes, bytes] = {}
    for number, value in fields(submessage(graph)):
        if number == _GRAPH_TENSOR:
            name, place, dims, kind = _tensor(submessage(value))
            tensors[name] = place or name, dims, kind
        elif number == _GRAPH_NODE:
            op, inputs, outputs = _node(submessage(value))
            if op == b"Cast":
                widened[outputs[0]] = inputs[0]
            if b"MatMul" in op and len(inputs) > 1:  # MatMul, MatMulInteger, MatMulIntegerToFloat, ...
                factors.append(inputs[1])
    constants = [name for name in (widened.get(factor, factor) for factor in factors) if name in tensors]
    found = {place: (dims, kind) for place, dims, kind in (tensors[name] for name in constants)}
    shapes = [(*dims, FLOAT if kind in _HALF else kind) for dims, kind in found.values() if len(dims) == 2]
    return [Product(k, n, kind) for k, n, kind in shapes]


def one_product(op: str, weights: npt.NDArray[np.generic], rows: int, types: tuple[int, int, int]) -> bytes:
    """A model of one node: ``y [rows, N] = op(x [rows, K], weights [K, N])``; ``types`` of x, weights, y."""
    k, n = weights.shape
    node = _bytes(_NODE_INPUT, b"x") + _bytes(_NODE_INPUT, b"w") + _bytes(_NODE_OUTPUT, b"y")
    tensor = _int(_TENSOR_DIMS, k) + _int(_TENSOR_DIMS, n) + _int(_TENSOR_TYPE, types[1])
    graph = (
        _bytes(_GRAPH_NODE, node + _bytes(_NODE_OP, op.encode()))
        + _bytes(_GRAPH_NAME, b"rate")
        + _bytes(_GRAPH_TENSOR, tensor + _bytes(_TENSOR_NAME, b"w") + _bytes(_TENSOR_RAW, weights.tobytes()))
        + _bytes(_GRAPH_INPUT, _value_info(b"x", types[0], (rows, k)))
        + _bytes(_GRAPH_OUTPUT, _value_info(b"y", types[2], (rows, n)))
    )
    opset = _int(2, 17)  # OperatorSetIdProto.version; the domain is the default one
    return _int(_MODEL_IR, 8) + _bytes(_MODEL_OPSET, opset) + _bytes(_MODEL_GRAPH, graph)


def _value_info(name: bytes, kind: int, shape: tuple[int, ...]) -> bytes:
    dims = b"".join(_bytes(1, _int(1, size)) for size in shape)
    return _bytes(1, name) + _bytes(2, _bytes(1, _int(1, kind) + _bytes(2, dims)))


def _tensor(message: memoryview) -> tuple[bytes, bytes, list[int], int]:
    """Name, where it lies in the weights' file if it does, shape and type."""
    name, place, dims, kind = b"", b"", list[int](), 0
    for number, value in fields(message):
        if number == _TENSOR_DIMS:
            dims += integers(value)
        elif number == _TENSOR_TYPE:
            kind = integer(value)
        elif number == _TENSOR_NAME:
            name = bytes(submessage(value))
        elif number == _TENSOR_EXTERNAL:
            place += bytes(submessage(value))
    return name, place, dims, kind


def _node(message: memoryview) -> tuple[bytes, list[bytes], list[bytes]]:
    op, inputs, outputs = b"", list[bytes](), list[bytes]()
    for number, value in fields(message):
        if number == _NODE_OP:
            op = bytes(submessage(value))
        elif number == _NODE_INPUT:
            inputs.append(bytes(submessage(value)))
        elif number == _NODE_OUTPUT:
            outputs.append(bytes(submessage(value)))
    return op, inputs, outputs


def _int(number: int, value: int) -> bytes:
    return _encoded(number << 3) + _encoded(value)


def _bytes(number: int, value: bytes) -> bytes:
    return _encoded(number << 3 | 2) + _encoded(len(value)) + value


def _encoded(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)

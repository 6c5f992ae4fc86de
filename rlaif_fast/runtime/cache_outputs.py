"""Keys and values as outputs of a bundle's graph, which has them inside and names label logits only.

They are added when the graph is loaded. A message that is given twice is one message with both parts, so the outputs
stand behind the bytes that were checked.
"""

from __future__ import annotations

import re
from collections import defaultdict

from rlaif_fast.bundle.protobuf import fields, submessage

_PREFIX = re.compile(r"prefix\.\d+\.(key|value)")
# Field numbers of onnx.proto.
_GRAPH = 7
_NODE, _INPUT, _OUTPUT = 1, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _OPERATOR = 1, 2, 4
_NAME, _TYPE, _TENSOR_TYPE, _ELEMENT, _FLOAT = 1, 2, 1, 1, 1
_PAST = slice(3, 5)  # of GroupQueryAttention's inputs; outputs 1 and 2 are the same with new rows behind them


def cache_outputs(graph: bytes) -> dict[str, str]:
    """By input of the graph for a prefix's keys or values, the value that has those of the packed tokens behind them.

    Args:
        graph: an ONNX model that was looked through.
    """
    readers, found = defaultdict(list), []
    for number, value in fields(_only(memoryview(graph), _GRAPH)):
        if number == _NODE:
            node = _texts(submessage(value), _NODE_INPUT, _NODE_OUTPUT, _OPERATOR)
            for name in node[_NODE_INPUT]:
                readers[name].append(node)
        elif number == _INPUT:
            found += _texts(submessage(value), _NAME)[_NAME]
    return {name: _followed(name, readers) for name in found if _PREFIX.fullmatch(name)}


def with_outputs(graph: bytes, names: list[str]) -> bytes:
    """The model with float32 outputs of these names more."""
    tensor = _field(_TYPE, _field(_TENSOR_TYPE, bytes([_ELEMENT << 3, _FLOAT])))
    outputs = [_field(_OUTPUT, _field(_NAME, name.encode()) + tensor) for name in names]
    return graph + _field(_GRAPH, b"".join(outputs))


def _followed(name: str, readers: dict[str, list[dict[int, list[str]]]]) -> str:
    """From attention to attention: each part of the rows has the keys and values of those before as its past."""
    for node in readers[name]:
        (operator,), inputs = node[_OPERATOR], node[_NODE_INPUT]
        if operator == "GroupQueryAttention" and name in inputs[_PAST]:
            return _followed(node[_NODE_OUTPUT][inputs.index(name) - 2], readers)
        if operator == "Concat" and inputs[0] == name:  # the last layer, of judged rows only
            return node[_NODE_OUTPUT][0]
    return name


def _only(message: memoryview, wanted: int) -> memoryview:
    return next(submessage(value) for number, value in fields(message) if number == wanted)


def _texts(message: memoryview, *wanted: int) -> dict[int, list[str]]:
    """What a message has in the fields ``wanted``, texts all of them."""
    found: dict[int, list[str]] = {number: [] for number in wanted}
    for number, value in fields(message):
        if number in found and not isinstance(value, int):
            found[number].append(bytes(value).decode())
    return found


def _field(number: int, content: bytes) -> bytes:
    size, length = len(content), bytearray()
    while size >= 0x80:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | 2, *length, size]) + content

"""Keys and values as outputs of a bundle's graph, which has them inside and names label logits only.

They are added when the graph is loaded. A message that is given twice is one message with both parts, so what is added
stands behind the bytes that were checked.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from rlaif_fast.bundle.protobuf import fields, submessage

FIRST_KEPT = "first_kept"  # input, int64 [1]: the key from which on they are given
NONE_KEPT = (1 << 63) - 1  # as FIRST_KEPT: they are empty, and cost nothing
_PREFIX = re.compile(r"prefix\.\d+\.(key|value)")
_END, _AXIS = "kept.end", "kept.axis"  # values that are added
# Field numbers of onnx.proto, and what stands in a field.
_GRAPH = 7
_NODE, _INPUT, _OUTPUT = 1, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _OPERATOR, _ATTRIBUTE = 1, 2, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_INTS, _ATTRIBUTE_TYPE, _INTS = 1, 8, 20, 7
_NAME, _TYPE, _TENSOR_TYPE, _ELEMENT, _FLOAT, _INT64 = 1, 2, 1, 1, 1, 7
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


def kept(name: str) -> str:
    """The output that has the keys or values of the input ``name``, from FIRST_KEPT on."""
    return f"kept.{name}"


def with_outputs(graph: bytes, values: dict[str, str]) -> bytes:
    """The model with the input FIRST_KEPT and outputs float32 [1, G, kept, D] more: of ``values``, those kept.

    The rest of a value is free when its layer is done. An output would stay until the pass is over, whether it is
    fetched or not.
    """
    parts = [_field(_INPUT, _value(FIRST_KEPT, _INT64)), _constant(_END, NONE_KEPT), _constant(_AXIS, 2)]
    for name, value in reversed(values.items()):
        parts.append(_node("Slice", (value, FIRST_KEPT, _END, _AXIS), kept(name)))
        parts.append(_field(_OUTPUT, _value(kept(name), _FLOAT)))
    return graph + _field(_GRAPH, b"".join(parts))


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


def _node(operator: str, inputs: Iterable[str], output: str, more: bytes = b"") -> bytes:
    fed = b"".join(_field(_NODE_INPUT, name.encode()) for name in inputs)
    return _field(_NODE, fed + _field(_NODE_OUTPUT, output.encode()) + _field(_OPERATOR, operator.encode()) + more)


def _constant(name: str, number: int) -> bytes:
    """int64 [1]."""
    attribute = _field(_ATTRIBUTE_NAME, b"value_ints") + _number(_ATTRIBUTE_INTS, number)
    return _node("Constant", (), name, _field(_ATTRIBUTE, attribute + _number(_ATTRIBUTE_TYPE, _INTS)))


def _value(name: str, element: int) -> bytes:
    tensor = _field(_TYPE, _field(_TENSOR_TYPE, _number(_ELEMENT, element)))
    return _field(_NAME, name.encode()) + tensor


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])

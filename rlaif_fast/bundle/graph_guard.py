"""What an ONNX file may be before onnxruntime sees it: known operators, and weights in known files.

onnxruntime follows a model to other files, takes session options from its metadata, and parses whatever protobuf
holds. The exporter writes none of that, so it is refused by an allow-list of fields; those of onnx.proto that are not
in it, now or later, are refused with it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping

from rlaif_fast.bundle.protobuf import Value, fields, integer, integers, submessage
from rlaif_fast.errors import BundleError

DOMAINS = ("", "ai.onnx", "com.microsoft")  # of operators; onnxruntime's own, no custom ones
# TensorProto.DataType -> bytes, of what the exporter puts in the weights' file.
_ITEM = {1: 4, 2: 1, 3: 1, 6: 4, 7: 8, 10: 2, 16: 2}
_NUMBER = re.compile(rb"[0-9]{1,18}")

# Field numbers of onnx.proto.
_GRAPH, _OPSET, _OPSET_DOMAIN = 7, 8, 1
_NODE, _INITIALIZER = 1, 5
_ATTRIBUTE, _DOMAIN = 5, 7
_TENSOR, _SUBGRAPH = 5, 6
_DIMS, _TYPE, _EXTERNAL, _LOCATION = 1, 2, 13, 14
_ALLOWED = {
    "model": {1, 2, 3, 4, 5, 6, _GRAPH, _OPSET},
    "graph": {_NODE, 2, _INITIALIZER, 10, 11, 12, 13},
    "node": {1, 2, 3, 4, _ATTRIBUTE, 6, _DOMAIN},
    "attribute": {1, 2, 3, 4, _TENSOR, _SUBGRAPH, 7, 8, 9, 13, 20},
    "tensor": {_DIMS, _TYPE, 4, 5, 7, 8, 9, 10, 11, 12, _EXTERNAL, _LOCATION},
}
_NAMES = {
    "model": {14: "metadata", 20: "training information", 25: "functions of its own"},
    "graph": {14: "annotations", 15: "sparse weights"},
    "attribute": {11: "several graphs", 22: "sparse weights", 23: "sparse weights"},
}


def check_graph(model: bytes, weights: Mapping[str, int], where: str) -> None:
    """Pass a model whose only way out of its own bytes is into files of ``weights``, of so many bytes each.

    Raises:
        BundleError: it is none, ``where`` says whose.
    """
    try:
        for number, value in _fields("model", memoryview(model)):
            if number == _GRAPH:  # given twice, the parts are one graph: each is looked at
                _check_graph(submessage(value), weights, False)
            elif number == _OPSET:
                for inner, domain in fields(submessage(value)):
                    if inner == _OPSET_DOMAIN:
                        _check_domain(domain)
    except ValueError as error:
        raise BundleError(f"{where}: no graph of a bundle ({error}); export the model again") from None


def _fields(what: str, message: memoryview) -> Iterator[tuple[int, Value]]:
    for number, value in fields(message):
        if number not in _ALLOWED[what]:
            raise ValueError(f"{what} with {_NAMES.get(what, {}).get(number, f'field {number}')}")
        yield number, value


def _check_graph(graph: memoryview, weights: Mapping[str, int] | None, nested: bool) -> None:
    for number, value in _fields("graph", graph):
        if number == _NODE:
            _check_node(submessage(value), nested)
        elif number == _INITIALIZER:
            _check_tensor(submessage(value), weights)


def _check_node(node: memoryview, nested: bool) -> None:
    for number, value in _fields("node", node):
        if number == _DOMAIN:
            _check_domain(value)
        elif number == _ATTRIBUTE:
            for inner, held in _fields("attribute", submessage(value)):
                if inner == _TENSOR:
                    _check_tensor(submessage(held), None)
                elif inner == _SUBGRAPH:  # a branch of an If, with constants of its own at most
                    if nested:
                        raise ValueError("a graph within a branch's graph")
                    _check_graph(submessage(held), None, True)


def _check_domain(value: Value) -> None:
    domain = bytes(submessage(value)).decode(errors="backslashreplace")
    if domain not in DOMAINS:
        raise ValueError(f"operators of domain {domain[:40]!r}")


def _check_tensor(tensor: memoryview, weights: Mapping[str, int] | None) -> None:
    """``weights``: bytes of the files where the tensor may lie; None where it must bring its own."""
    dims: list[int] = []
    entries: list[tuple[bytes, bytes]] = []
    once: dict[int, int] = {}
    for number, value in _fields("tensor", tensor):
        if number == _DIMS:
            dims += integers(value)
        elif number == _EXTERNAL:
            entries.append(_entry(submessage(value)))
        elif number in (_TYPE, _LOCATION):
            if number in once:
                raise ValueError(f"tensor with field {number} twice")
            once[number] = integer(value)
    if once.get(_LOCATION, 0) == 0 and not entries:
        return
    if weights is None or once.get(_LOCATION) != 1:
        raise ValueError("external data of what is no weight")
    where = dict(entries)
    if len(where) != len(entries) or where.keys() != {b"location", b"offset", b"length"}:
        raise ValueError("external data with other keys than location, offset, length")
    there = {name.encode(): size for name, size in weights.items()}
    if where[b"location"] not in there:
        raise ValueError(f"external data in {where[b'location'][:80].decode(errors='backslashreplace')!r}")
    if not all(_NUMBER.fullmatch(where[name]) for name in (b"offset", b"length")):
        raise ValueError("external data at a place that is no number")
    offset, length = int(where[b"offset"]), int(where[b"length"])
    if length != math.prod(dims) * _ITEM.get(once.get(_TYPE, 0), 0):
        raise ValueError(f"external data of {length:,} bytes for a tensor of another size")
    if offset + length > (size := there[where[b"location"]]):
        raise ValueError(f"external data up to byte {offset + length:,} of {size:,}")


def _entry(message: memoryview) -> tuple[bytes, bytes]:
    """Key and value of a StringStringEntryProto, given once each."""
    found = [(number, bytes(submessage(value))) for number, value in fields(message)]
    if sorted(number for number, _ in found) != [1, 2]:
        raise ValueError("external data that is no key and value")
    entry = dict(found)
    return entry[1], entry[2]

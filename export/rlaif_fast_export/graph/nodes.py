"""Small helpers every pass uses to read and build the graph (onnx-ir)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from rlaif_fast_export.graph.leaves import DOMAIN

MS = "com.microsoft"  # onnxruntime's own operators


class PassError(Exception):
    """The graph is not of the form a pass requires; the message says where and what was expected."""


def leaves_of(graph: ir.Graph, op: str) -> list[ir.Node]:
    """Leaf nodes of one kind, in topological order."""
    return [n for n in graph if n.domain == DOMAIN and n.op_type == op]


def is_leaf(node: ir.Node | None, *ops: str) -> bool:
    return node is not None and node.domain == DOMAIN and node.op_type in ops


def is_op(node: ir.Node | None, *ops: str) -> bool:
    return node is not None and node.domain == "" and node.op_type in ops


def text(node: ir.Node, name: str) -> str:
    return node.attributes[name].as_string()


def integer(node: ir.Node, name: str) -> int:
    return node.attributes[name].as_int()


def real(node: ir.Node, name: str) -> float:
    return node.attributes[name].as_float()


def emit(
    before: ir.Node, op: str, *inputs: ir.Value | None, domain: str = "", outputs: int = 1, **attributes: Any
) -> Any:
    """Insert a node before ``before``; returns its output, or the list of them where ``outputs`` > 1."""
    node = ir.node(op, inputs, attributes=attributes, domain=domain, num_outputs=outputs)
    before.graph.insert_before(before, node)
    return node.outputs[0] if outputs == 1 else list(node.outputs)


def constant(graph: ir.Graph, name: str, value: Any) -> ir.Value:
    """An initializer, made once a name: an array, or a lazily read :class:`onnx_ir.LazyTensor`."""
    if name not in graph.initializers:
        tensor: Any = value if isinstance(value, ir.LazyTensor) else ir.tensor(np.ascontiguousarray(value), name=name)
        tensor.name = name
        graph.register_initializer(
            ir.Value(name=name, shape=ir.Shape(tensor.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
        )
    return graph.initializers[name]


def graph_input(graph: ir.Graph, name: str, dtype: ir.DataType, *shape: int | str) -> ir.Value:
    """An input of the graph, made once a name; a dimension with a name is as long as it comes."""
    found = next((value for value in graph.inputs if value.name == name), None)
    if found is None:
        found = ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(dtype))
        graph.inputs.append(found)
    return found


def dims(value: ir.Value) -> tuple[int, ...]:
    """The shape of a constant."""
    return tuple(value.shape.numpy())


def ints(graph: ir.Graph, *values: int) -> ir.Value:
    """An int64 [n] constant, shared by its value."""
    return constant(graph, "ints_" + "_".join(map(str, values)), np.array(values, np.int64))


def replace(old: ir.Value, new: ir.Value) -> None:
    old.replace_all_uses_with(new, replace_graph_outputs=True)


def remove_dead(graph: ir.Graph) -> int:
    """Remove nodes and initializers nothing reads; returns how many nodes went."""
    removed = 0
    outputs = set(graph.outputs)
    for node in reversed(list(graph)):
        if not any(o.uses() or o in outputs for o in node.outputs):
            graph.remove(node, safe=True)
            removed += 1
    for name in [n for n, v in graph.initializers.items() if not v.uses()]:
        del graph.initializers[name]
    return removed


def only_leaves(graph: ir.Graph, allowed: Sequence[str]) -> None:
    """Raise unless every leaf left is of an allowed kind."""
    for node in graph:
        if node.domain == DOMAIN and node.op_type not in allowed:
            raise PassError(f"{node.op_type} leaf {node.name!r} was left by the passes")

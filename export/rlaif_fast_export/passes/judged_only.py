"""Cut the last layer to what the judged positions need.

Requires  attention in normal form; ``Gather(hidden, judged)`` on the token axis at the end.
Ensures   behind the last attention (its output projection, the MLP, the norms) only
          the J judged rows are computed, and so is that attention's query. Keys and values
          keep all S rows: the judged positions read them. What computes judged rows only is marked
          critical.
Returns   the number of operators the Gather moved in front of.
Why       a causal model's last layer feeds nothing but the next token; 29 of 30 tokens' worth
          of it is thrown away (docs/performance.md).
"""

from __future__ import annotations

import onnx_ir as ir

from rlaif_fast_export.graph.nodes import PassError, emit, is_leaf, is_op, leaves_of, remove_dead, replace
from rlaif_fast_export.graph.plan import mark_critical

# Operators that treat every token alike: Gather on the token axis commutes with them.
_TOKENWISE_LEAVES = ("Linear", "LayerNorm", "RMSNorm", "Activation", "Rotate")
_TOKENWISE_OPS = (
    "Add", "Sub", "Mul", "Div", "Neg", "Abs", "Min", "Max", "Clip", "Pow", "Sqrt", "Exp", "Log", "Erf", "Tanh",
    "Sigmoid", "Softplus", "Relu", "LeakyRelu", "Elu", "Greater", "Less", "GreaterOrEqual", "LessOrEqual",
    "Where", "Cast", "Reshape", "Identity",
)  # fmt: skip


def judged_only(model: ir.Model) -> int:
    """See the module's docstring."""
    graph = model.graph
    judged = next(v for v in graph.inputs if v.name == "judged")
    gathers = [n for n in judged.consumers() if is_op(n, "Gather")]
    attentions = leaves_of(graph, "Attention")
    if len(gathers) != 1 or gathers[0].inputs[0] is None or not attentions:
        raise PassError("expected one Gather of the judged positions behind an attention")
    cut = _Cut(judged, attentions[-1])
    replace(gathers[0].outputs[0], cut.rows(gathers[0].inputs[0]))
    remove_dead(graph)
    return cut.moved


class _Cut:
    def __init__(self, judged: ir.Value, attention: ir.Node) -> None:
        self.judged = judged
        self.attention = attention
        self.moved = 0
        # What the last keys and values are made of is needed in full: a Gather goes no further up.
        self._full = _ancestors([v for v in attention.inputs[1:3] if v is not None])
        self._done: dict[ir.Value, ir.Value] = {}

    def rows(self, value: ir.Value) -> ir.Value:
        """The judged rows of ``value`` [1, S, ...], computed from judged rows where the operator allows."""
        if value not in self._done:
            self._done[value] = self._rows(value)
        return self._done[value]

    def _rows(self, value: ir.Value) -> ir.Value:
        node = value.producer()
        if node is None or value in self._full:
            return self._gather(value, 1)
        self.moved += 1
        if node is self.attention:
            q, k, v, bias, q_positions, k_positions = node.inputs
            return self._again(node, (self.rows(q), k, v, self._gather(bias, 2), self.rows(q_positions), k_positions))
        if is_op(node, "Reshape") and not _fixed(node.inputs[1]):
            # GPT-2 ends with view(-1, S, D) of what is [1, S, D] already: the only reshape to a computed
            # shape that stands here. Were it another, the export's verification would refuse the bundle.
            return self.rows(node.inputs[0])
        if is_leaf(node, *_TOKENWISE_LEAVES) or is_op(node, *_TOKENWISE_OPS):
            return self._again(node, tuple(i if _fixed(i) else self.rows(i) for i in node.inputs))
        raise PassError(f"{node.op_type} ({node.name}) behind the last attention is not known to treat tokens alike")

    def _gather(self, value: ir.Value, axis: int) -> ir.Value:
        return emit(self.attention, "Gather", value, self.judged, axis=axis)

    @staticmethod
    def _again(node: ir.Node, inputs: tuple[ir.Value | None, ...]) -> ir.Value:
        copy = ir.Node(node.domain, node.op_type, inputs, attributes=list(node.attributes.values()))
        copy.meta.update(node.meta)
        mark_critical(copy)
        node.graph.insert_after(node, copy)
        return copy.outputs[0]


def _ancestors(values: list[ir.Value]) -> set[ir.Value]:
    """``values`` and all they are computed from."""
    found: set[ir.Value] = set()
    while values:
        value = values.pop()
        node = value.producer()
        if value not in found and node is not None:
            values.extend(i for i in node.inputs if i is not None)
        found.add(value)
    return found


def _fixed(value: ir.Value | None) -> bool:
    """A constant of the graph: the same for every token."""
    if value is None or value.is_initializer():
        return True
    node = value.producer()
    return is_op(node, "Constant", "Cast", "Identity") and all(_fixed(i) for i in node.inputs)

"""Give a prompt's last tokens a stream of their own, to be computed more precisely than the rest.

Requires  attention in normal form, judged_only and packed_qkv done; packed rows ordered so that the
          last tokens of every sequence stand behind all others, as many as the input ``ending`` says.
Ensures   every operator over the S packed rows is there twice: for the rows before the first ending,
          and, marked :func:`critical`, for the rows from there on. A full attention takes both
          streams and gives both; the attention of judged rows sees all keys as before. What
          computes judged rows only is marked critical too.
Returns   the number of operators doubled.
Why       three quarters of what int8 inputs move the verdict by come from the few tokens behind the
          last response, which are the same in every prompt (docs/performance.md).
"""

from __future__ import annotations

import onnx_ir as ir

from rlaif_fast.bundle.prompt import ENDING
from rlaif_fast_export.graph.leaves import DOMAIN
from rlaif_fast_export.graph.nodes import emit, graph_input, ints, is_leaf, is_op, remove_dead
from rlaif_fast_export.graph.plan import mark_critical
from rlaif_fast_export.passes.fused_attention import CHUNKS

Streams = tuple[ir.Value, ir.Value]  # rows before the endings, rows from there on


def ending_rows(model: ir.Model) -> int:
    """See the module's docstring."""
    return _Split(model.graph).run()


class _Split:
    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.nodes = list(graph)  # as traced: what is emitted from here on is not to be split
        named = {v.name: v for v in graph.inputs}
        self.judged = named["judged"]
        first = graph[0]
        rows = emit(first, "Shape", named["input_ids"], start=1, end=2)  # [1]: S
        start = emit(first, "ReduceMin", self.judged, keepdims=1)
        length = graph_input(graph, ENDING, ir.DataType.INT64, 1)
        start = emit(first, "Add", emit(first, "Sub", start, length), ints(graph, 1))
        start = emit(first, "Max", start, ints(graph, CHUNKS))  # attention wants rows in each of its parts
        self.start: ir.Value = emit(first, "Min", start, emit(first, "Sub", rows, ints(graph, 1)))
        self.sizes = emit(first, "Concat", self.start, emit(first, "Sub", rows, self.start), axis=0)
        self.streams: dict[ir.Value, Streams] = {}
        self.behind: set[ir.Value] = {self.judged}  # of judged rows only
        for name in ("input_ids", "position_ids"):
            self.streams[named[name]] = tuple(emit(first, "Split", named[name], self.sizes, outputs=2, axis=1))
        self.doubled = 0

    def run(self) -> int:
        for node in self.nodes:
            fed = [v for v in node.inputs if v is not None]
            if not any(v in self.streams or v in self.behind for v in fed):
                continue
            if is_op(node, "Gather") and node.inputs[1] is self.judged:
                self._joined(node)
                self.behind.update(node.outputs)
            elif any(v in self.behind for v in fed):
                self._joined(node)  # the attention of judged rows sees all keys
                self.behind.update(node.outputs)
                mark_critical(node)
            elif is_leaf(node, "Attention"):
                self._attention(node)
            else:
                self._twice(node)
        remove_dead(self.graph)
        return self.doubled

    def _joined(self, node: ir.Node) -> None:
        """Feed the node all rows."""
        for index, value in enumerate(node.inputs):
            if value in self.streams and not value.is_graph_input():
                node.replace_input_with(index, emit(node, "Concat", *self.streams[value], axis=1))

    def _twice(self, node: ir.Node) -> None:
        made: list[ir.Node] = []
        for stream in (0, 1):
            inputs = [self.streams[v][stream] if v in self.streams else v for v in node.inputs]
            copy = ir.node(
                node.op_type, inputs, attributes=dict(node.attributes), domain=node.domain,
                num_outputs=len(node.outputs), name=f"{node.name}/{('rows', 'ending')[stream]}",
            )  # fmt: skip
            copy.meta.update(node.meta)
            if stream and node.domain == DOMAIN:
                mark_critical(copy, made[0])
            self.graph.insert_before(node, copy)
            made.append(copy)
        for index, output in enumerate(node.outputs):
            self.streams[output] = made[0].outputs[index], made[1].outputs[index]
        self.doubled += 1

    def _attention(self, node: ir.Node) -> None:
        q, k, v, bias, *positions = node.inputs

        def stream(value: ir.Value | None, which: int) -> ir.Value | None:
            return None if value is None else self.streams[value][which]

        first, second = emit(
            node, "Attention", *[stream(x, 0) for x in (q, k, v)], bias, *positions,
            *[stream(x, 1) for x in (q, k, v)], self.start, domain=DOMAIN, outputs=2,
        )  # fmt: skip
        both = first.producer()
        both.attributes.update(node.attributes)
        both.name = node.name
        self.streams[node.outputs[0]] = first, second
        self.doubled += 1

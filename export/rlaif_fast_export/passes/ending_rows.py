"""Give a prompt's last tokens a stream of their own where the others are computed with 8 bits.

Requires  attention in normal form, judged_only and packed_qkv done; packed rows ordered so that the
          last tokens of every sequence stand behind all others, as many as the input ``ending`` says;
          the products whose inputs are to have 8 bits.
Ensures   every operator of a *region* that has such a product is there twice: for the rows before the first
          ending, and, marked :func:`critical`, for the rows from there on. An attention takes both streams
          and gives both. In the other regions every row is computed as precisely as the endings are, so they
          stay one stream; rows are cut and joined where regions meet. The attention of judged rows sees all
          keys as before.
Returns   the number of operators doubled.
Why       three quarters of what int8 inputs move the verdict by come from the few tokens behind the
          last response, which are the same in every prompt (docs/performance.md).

A region is what computes a row in one go, from a residual sum to the products behind it: operators that feed each
other, cut in front of residual sums and behind attentions.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import onnx_ir as ir

from rlaif_fast.bundle.prompt import ENDING
from rlaif_fast_export.graph.leaves import DOMAIN
from rlaif_fast_export.graph.nodes import emit, graph_input, ints, is_leaf, is_op, remove_dead
from rlaif_fast_export.graph.plan import mark_critical
from rlaif_fast_export.passes.fused_attention import CHUNKS

Streams = tuple[ir.Value, ir.Value]  # rows before the endings, rows from there on


def ending_rows(model: ir.Model, rounded: Collection[ir.Node]) -> int:
    """See the module's docstring; ``rounded`` are the Linear leaves whose inputs have 8 bits."""
    return _Split(model.graph, rounded).run()


class _Split:
    def __init__(self, graph: ir.Graph, rounded: Collection[ir.Node]) -> None:
        self.graph = graph
        self.nodes = list(graph)  # as traced: what is emitted from here on is not to be split
        named = {v.name: v for v in graph.inputs}
        self.judged = named["judged"]
        first = graph[0]
        count = emit(first, "Shape", named["input_ids"], start=1, end=2)  # [1]: S
        start = emit(first, "ReduceMin", self.judged, keepdims=1)
        length = graph_input(graph, ENDING, ir.DataType.INT64, 1)
        start = emit(first, "Add", emit(first, "Sub", start, length), ints(graph, 1))
        start = emit(first, "Max", start, ints(graph, CHUNKS))  # attention wants rows in each of its parts
        self.start: ir.Value = emit(first, "Min", start, emit(first, "Sub", count, ints(graph, 1)))
        self.sizes = emit(first, "Concat", self.start, emit(first, "Sub", count, self.start), axis=0)

        # By the value as traced: what holds its rows now, in one tensor or in two. One is made of the other once.
        self.whole: dict[ir.Value, ir.Value] = {named[name]: named[name] for name in ("input_ids", "position_ids")}
        self.streams: dict[ir.Value, Streams] = {}
        self.regions = _regions(self._over_rows())
        doubled = {self.regions[leaf] for leaf in rounded if leaf in self.regions}
        self.twice = {node for node, region in self.regions.items() if region in doubled}

    def _over_rows(self) -> list[ir.Node]:
        """The operators over all rows: not those that compute judged rows only."""
        rows, judged, found = set(self.whole), {self.judged}, []
        for node in self.nodes:
            if any(v in judged for v in node.inputs):
                judged.update(node.outputs)
            elif any(v in rows for v in node.inputs):
                found.append(node)
                rows.update(node.outputs)
        return found

    def run(self) -> int:
        for node in self.nodes:
            if node not in self.twice:
                self._once(node, node in self.regions)
            elif is_leaf(node, "Attention"):
                self._attention(node)
            else:
                self._twice(node)
        remove_dead(self.graph)
        return len(self.twice)

    def _whole(self, value: ir.Value, before: ir.Node) -> ir.Value:
        if value not in self.whole:
            self.whole[value] = emit(before, "Concat", *self.streams[value], axis=1)
        return self.whole[value]

    def _stream(self, value: ir.Value | None, which: int, before: ir.Node) -> ir.Value | None:
        """The rows of one stream of ``value``, where it has rows."""
        if value not in self.streams:
            if value not in self.whole:
                return value
            self.streams[value] = tuple(emit(before, "Split", self.whole[value], self.sizes, outputs=2, axis=1))
        return self.streams[value][which]

    def _once(self, node: ir.Node, over_rows: bool) -> None:
        for index, value in enumerate(node.inputs):
            if value in self.streams:
                node.replace_input_with(index, self._whole(value, node))
        if over_rows:
            self.whole |= {output: output for output in node.outputs}

    def _twice(self, node: ir.Node) -> None:
        made: list[ir.Node] = []
        for stream in (0, 1):
            copy = ir.node(
                node.op_type, [self._stream(v, stream, node) for v in node.inputs], attributes=dict(node.attributes),
                domain=node.domain, num_outputs=len(node.outputs), name=f"{node.name}/{('rows', 'ending')[stream]}",
            )  # fmt: skip
            copy.meta.update(node.meta)
            if stream and node.domain == DOMAIN:
                mark_critical(copy, made[0])
            self.graph.insert_before(node, copy)
            made.append(copy)
        for index, output in enumerate(node.outputs):
            self.streams[output] = made[0].outputs[index], made[1].outputs[index]

    def _attention(self, node: ir.Node) -> None:
        q, k, v, bias, *positions = node.inputs
        first, second = emit(
            node, "Attention", *[self._stream(x, 0, node) for x in (q, k, v)], bias, *positions,
            *[self._stream(x, 1, node) for x in (q, k, v)], self.start, domain=DOMAIN, outputs=2,
        )  # fmt: skip
        both = first.producer()
        both.attributes.update(node.attributes)
        both.name = node.name
        self.streams[node.outputs[0]] = first, second


def _regions(nodes: Sequence[ir.Node]) -> dict[ir.Node, ir.Node]:
    """One of its operators, the same for all, by every operator of a region."""
    above: dict[ir.Node, ir.Node] = {}

    def region(node: ir.Node) -> ir.Node:
        while node in above:
            node = above[node]
        return node

    among = set(nodes)
    for node in nodes:
        for value in node.inputs:
            maker = None if value is None else value.producer()
            if maker not in among or is_leaf(maker, "Attention") or (_is_sum(node, among) and not _part(value, among)):
                continue
            if region(maker) is not region(node):
                above[region(maker)] = region(node)
    return {node: region(node) for node in nodes}


def _is_sum(node: ir.Node, among: Collection[ir.Node]) -> bool:
    """Whether the node adds rows to rows."""
    return is_op(node, "Add") and all(v is not None and v.producer() in among for v in node.inputs)


def _part(value: ir.Value, among: Collection[ir.Node]) -> bool:
    """Whether ``value`` is a sum that nothing but one sum more reads."""
    return _is_sum(value.producer(), among) and len(value.uses()) == 1

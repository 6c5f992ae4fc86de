"""Lower Linear leaves to int8 products of onnxruntime.

Requires  a choice for every Linear leaf (:mod:`rlaif_fast_export.int8.quantize`).
Ensures   a leaf is one ``MatMulIntegerToFloat`` of uint8 inputs and int8 weights, with a scale an
          output feature, or two for two terms; the input is made int8 once for all leaves that read it. Scaling it
          (:mod:`rlaif_fast_export.int8.forms`) is left to what is in front where only these leaves
          read that: a norm, or the linear factor of a gated MLP's product.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from rlaif_fast_export.graph.nodes import MS, constant, emit, ints, is_leaf, is_op
from rlaif_fast_export.graph.plan import Folded, fold_into, folded, pieces, weight_name
from rlaif_fast_export.graph.weights import Weights, lazy_tensor
from rlaif_fast_export.int8.forms import LOWEST, SHARES, STEPS, TERM, TERM_RATIO, Kind

if TYPE_CHECKING:  # it imports the graph's helpers from this package
    from rlaif_fast_export.int8.quantize import Int8, Product


@dataclass(frozen=True)
class _Input:
    """A group's input as int8: the sum of ``levels`` times their steps."""

    levels: tuple[ir.Value, ...]  # uint8 [1, S, K] each
    steps: tuple[float, ...]
    factor: ir.Value | None = None  # float [1, S, 1]: of each row, for ROWS
    joined: bool = False  # two terms of few rows: [1, 2S, K], the first terms of all rows, then the second


class Int8Products:
    """Lowers the leaves of one graph. To be made before any leaf is lowered."""

    def __init__(self, graph: ir.Graph, chosen: Int8, weights: Weights) -> None:
        self.counts = Counter({f"int8_{what}": 0 for what in (*(kind.value for kind in Kind), "endings")})
        self._graph = graph
        self._of_leaf: dict[ir.Node, tuple[Product, slice]] = {}  # and its rows in the group's weights
        self._term: dict[ir.Node, float] = {}  # the step of the first of two terms
        self._few: set[ir.Node] = set()  # leaves that compute a prompt's ending or judged rows
        self._inputs: dict[ir.Value, _Input] = {}
        self._folded: set[ir.Value] = set()
        self._made = {Kind.ROWS: self._rows, Kind.TERMS: self._terms}
        for product in chosen.products:
            if product.kind is Kind.FLOAT:
                self.counts["int8_float"] += len(product.group.leaves) + len(product.group.endings)
                continue
            first = 0
            for leaf in product.group.leaves:
                end = first + weights.features(pieces(leaf))[1]
                self._of_leaf[leaf] = product, slice(first, end)
                first = end
            self._few.update(product.group.leaves if product.group.critical else product.group.endings)
            for leaf, other in zip(product.group.endings, product.group.leaves, strict=bool(product.group.endings)):
                precise, rows = self._of_leaf[other]
                self._of_leaf[leaf] = replace(precise, kind=Kind.TERMS), rows
            self._term |= dict.fromkeys((*product.group.leaves, *product.group.endings), TERM[SHARES[product.kind]])
            self._fold(product, product.group.leaves)
            self._fold(product, product.group.endings)
            self.counts["int8_endings"] += len(product.group.endings)
            self.counts[f"int8_{product.kind.value}"] += len(product.group.leaves)

        # Lowering replaces values one by one: what fed a leaf at first tells which leaves share an input.
        self._fed_by = {leaf: leaf.inputs[0] for leaf in self._of_leaf}

    def has(self, leaf: ir.Node) -> bool:
        """Whether ``leaf`` is to be int8."""
        return leaf in self._of_leaf

    def _fold(self, product: Product, leaves: Sequence[ir.Node]) -> None:
        value = leaves[0].inputs[0] if leaves else None
        if value is None or set(value.consumers()) != set(leaves):
            return
        maker = value.producer()
        if is_op(maker, "Mul"):
            maker = next((m for m in map(ir.Value.producer, maker.inputs) if self._is_factor(m)), None)
        elif not is_leaf(maker, "LayerNorm", "RMSNorm"):
            return
        if maker is not None:
            fold_into(maker, Folded(product.group.name, (1 / product.stored.scale).numpy()))
            self._folded.add(value)

    def _is_factor(self, node: ir.Node | None) -> bool:
        return is_leaf(node, "Linear") and node in self._of_leaf and len(node.outputs[0].consumers()) == 1

    def lower(self, leaf: ir.Node, weights: Weights) -> ir.Value:
        """The leaf's output [1, S, N], float."""
        product, rows = self._of_leaf[leaf]
        name, parts = weight_name(leaf), pieces(leaf)
        stored = product.stored
        fed = self._input(leaf, product)
        matrix = lazy_tensor(lambda: stored.values.read()[rows].t().numpy(), weights.features(parts), ir.DataType.INT8)
        step, bias = stored.steps[rows].numpy(), weights.bias(parts)
        taken = folded(leaf)
        if taken is not None:
            name = f"{name}>{taken.name}"
            step = step * taken.factor
            bias = None if bias is None else bias * taken.factor
        if fed.joined and bias is not None:
            name, bias = f"{name}/joined", bias * (TERM_RATIO / (TERM_RATIO + 1))  # it is added to both terms
        added = None if bias is None else constant(self._graph, f"{name}.bias", bias)
        products = [
            emit(
                leaf, "MatMulIntegerToFloat", levels, constant(self._graph, f"{weight_name(leaf)}.weight", matrix),
                self._number(f"step_{fine}", fine), constant(self._graph, f"{name}.step", step),
                self._zero_point(), None, None if number or fed.factor else added, domain=MS,
            )
            for number, (levels, fine) in enumerate(zip(fed.levels, fed.steps, strict=True))
        ]  # fmt: skip
        if fed.joined:
            first, second = emit(leaf, "Split", products[0], outputs=2, axis=1, num_outputs=2)
            products = [first, emit(leaf, "Mul", second, self._number("finer", 1 / TERM_RATIO))]
        out = products[0] if len(products) == 1 else emit(leaf, "Add", *products)
        if fed.factor:
            out = emit(leaf, "Mul", out, fed.factor)
            out = out if added is None else emit(leaf, "Add", out, added)
        return out

    def _input(self, leaf: ir.Node, product: Product) -> _Input:
        x = self._fed_by[leaf]
        if x not in self._inputs:
            z, name = leaf.inputs[0], product.group.name
            if x not in self._folded:
                z = emit(leaf, "Mul", z, constant(self._graph, f"{name}.factor", (1 / product.stored.scale).numpy()))
            self._inputs[x] = self._made[product.kind](leaf, z)
        return self._inputs[x]

    def _rows(self, leaf: ir.Node, z: ir.Value) -> _Input:
        largest = emit(leaf, "ReduceMax", emit(leaf, "Abs", z), ints(self._graph, -1), keepdims=1)
        largest = emit(leaf, "Max", largest, self._number("lowest", LOWEST))
        return _Input((self._levels(leaf, emit(leaf, "Div", z, largest), 1 / STEPS),), (1 / STEPS,), largest)

    def _terms(self, leaf: ir.Node, z: ir.Value) -> _Input:
        step = self._term[leaf]
        first = self._levels(leaf, z, step)
        known = emit(leaf, "DequantizeLinear", first, self._number(f"step_{step}", step), self._zero_point())
        second = self._levels(leaf, emit(leaf, "Sub", z, known), step / TERM_RATIO)
        if leaf in self._few:  # one product reads the weights once
            return _Input((emit(leaf, "Concat", first, second, axis=1),), (step,), joined=True)
        return _Input((first, second), (step, step / TERM_RATIO))  # two spare passes over their output

    def _levels(self, leaf: ir.Node, z: ir.Value, step: float) -> ir.Value:
        out: ir.Value = emit(leaf, "QuantizeLinear", z, self._number(f"step_{step}", step), self._zero_point())
        return out

    def _number(self, name: str, value: float) -> ir.Value:
        return constant(self._graph, name, np.array(value, np.float32))

    def _zero_point(self) -> ir.Value:
        return constant(self._graph, "zero_point", np.array(128, np.uint8))

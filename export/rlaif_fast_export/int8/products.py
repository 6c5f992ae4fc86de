"""Which products a graph has, by what they are fed: the unit that a precision is chosen for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import onnx_ir as ir
import torch

from rlaif_fast_export.graph.nodes import leaves_of
from rlaif_fast_export.graph.plan import critical_of, is_critical, pieces
from rlaif_fast_export.graph.weights import Piece
from rlaif_fast_export.int8.spool import Spooled


@dataclass(frozen=True)
class Group:
    """Linear leaves fed the same tensor, which is made int8 once for all of them."""

    name: str
    pieces: tuple[Piece, ...]  # of all leaves, in their order
    leaves: tuple[ir.Node, ...] = field(compare=False)
    endings: tuple[ir.Node, ...] = field(compare=False)  # the same for the endings' rows
    critical: bool  # the leaves themselves compute judged rows only

    @property
    def probe(self) -> str:
        """A module that is fed the tensor."""
        return self.pieces[0].module


@dataclass(frozen=True)
class RoundedGroup:
    """A group's weights in int8, its pieces' rows one below the other, for inputs ``z = x / scale``."""

    scale: torch.Tensor  # float32 [K]
    steps: torch.Tensor  # float32 [N], of each row's values
    values: Spooled  # int8 [N, K]


def groups(model: ir.Model) -> list[Group]:
    """The groups of a graph of leaves, in topological order."""
    found: dict[ir.Value, list[ir.Node]] = {}
    ending: dict[ir.Node, ir.Node] = {}  # by the leaf for the other rows
    for node in leaves_of(model.graph, "Linear"):
        other = critical_of(node)
        if other is not None:
            ending[other] = node
        else:
            found.setdefault(node.inputs[0], []).append(node)
    times: Counter[str] = Counter()
    named = []
    for leaves in found.values():
        parts = tuple(p for leaf in leaves for p in pieces(leaf))
        module = parts[0].module
        mark = f"#{times[module]}" if times[module] else ""  # a fused layer's pieces may be fed apart
        times[module] += 1
        endings = tuple(ending[leaf] for leaf in leaves if leaf in ending)
        named.append(Group(module + mark, parts, tuple(leaves), endings, is_critical(leaves[0])))
    return named

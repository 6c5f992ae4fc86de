"""What several passes must agree on: the pieces of a product, and what the attention operator can take in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from rlaif_fast_export.graph.leaves import DOMAIN
from rlaif_fast_export.graph.nodes import emit, text
from rlaif_fast_export.graph.weights import Piece, Weights

_META = "pieces"
_FOLDED = "folded"
_CRITICAL = "critical"


def pieces(linear: ir.Node) -> tuple[Piece, ...]:
    """What a Linear leaf computes; a leaf as traced is its whole module."""
    found: tuple[Piece, ...] | None = linear.meta.get(_META)
    return found if found is not None else (Piece(text(linear, "module")),)


def emit_linear(before: ir.Node, x: ir.Value, parts: tuple[Piece, ...]) -> ir.Value:
    """A Linear leaf of ``parts`` side by side: [1, S, K] -> [1, S, N]."""
    out: ir.Value = emit(before, "Linear", x, domain=DOMAIN, module=parts[0].module)
    node = out.producer()
    node.meta[_META] = parts
    return out


def rotates_inside(attention: ir.Node, weights: Weights) -> bool:
    """Whether GroupQueryAttention can do this attention's rotary embedding itself.

    It takes rotated parts of 16, 32, ... features only (Pythia-14m rotates 8): others are rotated
    by an operator of their own in front of it.
    """
    module = text(attention, "rotary")
    return bool(module) and weights.rotary_width(module) % 16 == 0


def mark_critical(leaf: ir.Node, of: ir.Node | None = None) -> None:
    """Mark a leaf whose few rows matter most; ``of`` is the leaf that computes the same for the other rows."""
    leaf.meta[_CRITICAL] = of


def is_critical(leaf: ir.Node) -> bool:
    """Whether :func:`mark_critical` marked it."""
    return _CRITICAL in leaf.meta


def critical_of(leaf: ir.Node) -> ir.Node | None:
    """The leaf that computes the same for the other rows, where there is one."""
    found: ir.Node | None = leaf.meta.get(_CRITICAL)
    return found


@dataclass(frozen=True)
class Folded:
    """A scaling that a leaf takes over: its output [..., D] times ``factor`` [D]."""

    name: str
    factor: np.ndarray


def fold_into(leaf: ir.Node, scaling: Folded) -> None:
    """Have the lowering of a norm or an int8 Linear leaf apply ``scaling``."""
    leaf.meta[_FOLDED] = scaling


def folded(leaf: ir.Node) -> Folded | None:
    """What :func:`fold_into` left at a leaf."""
    found: Folded | None = leaf.meta.get(_FOLDED)
    return found


def weight_name(linear: ir.Node) -> str:
    """A name of the product's weights: the module's, with a mark where it is a part or a join."""
    parts = pieces(linear)
    first = parts[0]
    if len(parts) > 1:
        return f"{first.module}+{len(parts) - 1}"
    return first.module if first.rows is None else f"{first.module}[{first.rows[0]}:{first.rows[-1] + 1}]"

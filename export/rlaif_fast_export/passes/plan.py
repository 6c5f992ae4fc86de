"""What several passes must agree on: the pieces of a product, and what the attention operator can take in."""

from __future__ import annotations

import onnx_ir as ir

from rlaif_fast_export.leaves import DOMAIN
from rlaif_fast_export.passes.graph import emit, text
from rlaif_fast_export.weights import Piece, Weights

_META = "pieces"


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
    return bool(module) and weights.rotary_tables(module, 1)[0].shape[1] % 8 == 0

"""Graph passes, one a file, and the order they run in.

A pass states what it requires and ensures, and returns a count. :func:`run` holds the counts
against what the model's configuration says they must be: a pass that silently matched nothing
fails the export.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import onnx_ir as ir

from rlaif_fast.bundle.manifest import WIDENED
from rlaif_fast_export.graph.nodes import PassError, leaves_of, only_leaves
from rlaif_fast_export.graph.prefix import LayerPrefix
from rlaif_fast_export.graph.weights import Weights
from rlaif_fast_export.passes.cut_linears import cut_linears
from rlaif_fast_export.passes.ending_rows import ending_rows
from rlaif_fast_export.passes.fused_attention import fused_attention
from rlaif_fast_export.passes.fused_norms import fused_norms
from rlaif_fast_export.passes.int8_products import Int8Products
from rlaif_fast_export.passes.judged_only import judged_only
from rlaif_fast_export.passes.label_logits import label_logits
from rlaif_fast_export.passes.lowering import lowering
from rlaif_fast_export.passes.normal_attention import normal_attention
from rlaif_fast_export.passes.packed_qkv import packed_qkv

if TYPE_CHECKING:  # it imports the graph's helpers from this package
    from rlaif_fast_export.int8.quantize import Int8

__all__ = ["PassError", "run"]


def run(
    model: ir.Model, weights: Weights, prefix: Sequence[LayerPrefix], maximum_length: int,
    width: int, choose_int8: Callable[[ir.Model], Int8] | None = None, softcap: float | None = None,
) -> dict[str, int]:  # fmt: skip
    """Turn a graph of leaves into the bundle's graph, in place; what each pass did, by name.

    Args:
        prefix: of some prompt; its shapes are every prompt's.
        width: of the hidden states, D.
        choose_int8: is asked once the products are final; without it they stay in float32. With it, the last tokens of
            a prompt are computed more precisely than others with 8 bits.
        softcap: what the model caps its logits by.
    """
    graph, layers = model.graph, len(prefix)
    found = len(leaves_of(graph, "Attention"))
    if found != layers:
        raise PassError(f"{found} of its {layers} layers have an attention the exporter knows")
    counts = {"cut_linears": cut_linears(model, weights), "normal_attention": normal_attention(model, weights)}
    counts["judged_only"] = judged_only(model)
    if counts["judged_only"] < 3:  # at least the last attention, its projection and the last norm
        raise PassError(f"judged_only moved {counts['judged_only']} operators: the last layer was not cut")
    counts["packed_qkv"] = packed_qkv(model, weights)
    chosen = None if choose_int8 is None else choose_int8(model)
    if chosen is not None:
        counts["ending_rows"] = ending_rows(model, chosen.in_8_bits())
        chosen = chosen.of(model)
    norms = len(leaves_of(graph, "RMSNorm")) + len(leaves_of(graph, "LayerNorm"))
    counts["fused_attention"], counts["attention_of_judged"] = fused_attention(model, weights, prefix, maximum_length)
    _expect(counts, "fused_attention", layers - 1)
    _expect(counts, "attention_of_judged", 1)
    products = None if chosen is None else Int8Products(graph, chosen, weights)
    lowered = lowering(model, weights, products)
    if lowered["LayerNorm"] + lowered["RMSNorm"] != norms:
        raise PassError("a norm was lost on the way")
    if products is not None:
        if products.counts.total() != lowered["Linear"]:
            raise PassError("a product was left in float32")
        counts |= products.counts
    counts |= {f"lowered_{kind.lower()}": n for kind, n in sorted(lowered.items())}
    counts[WIDENED] = sum(node.op_type == "Cast" and node.inputs[0].is_initializer() for node in graph)
    counts["fused_norms"] = fused_norms(model)
    counts["single_norms"] = norms - counts["fused_norms"]
    counts["label_logits"] = label_logits(model, width, softcap)
    only_leaves(graph, ())
    return counts


def _expect(counts: dict[str, int], name: str, wanted: int) -> None:
    if counts[name] != wanted:
        raise PassError(f"{name} matched {counts[name]} times, expected {wanted}")

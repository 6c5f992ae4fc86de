"""The matrix products of a model, and what a pass costs by them. Its weights are not needed."""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch import nn
from transformers.pytorch_utils import Conv1D

from rlaif_fast.bundle.manifest import Cost
from rlaif_fast_export.sources.heads import head_of
from rlaif_fast_export.sources.source import Source


def products_of(model: Any) -> Counter[tuple[int, int]]:
    """How often a model multiplies by a matrix [K, N], linear layers of one module that are fed alike joined."""
    found: Counter[tuple[int, int]] = Counter()
    head = head_of(model)
    for parent in model.modules():
        widths: Counter[int] = Counter()
        for layer in parent.children():
            if isinstance(layer, nn.Linear | Conv1D) and layer is not head:
                k, n = layer.weight.shape if isinstance(layer, Conv1D) else layer.weight.shape[::-1]
                widths[int(k)] += int(n)
        found.update(widths.items())
    return found


def attention_of(config: Any) -> int:
    """Multiply-adds of all layers' attention for a token that sees one other."""
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    return int(2 * config.num_hidden_layers * heads * size)


def pass_cost(source: Source) -> Cost | None:
    """What a pass of the bundle would cost; None where code of the model's own would have to run to know."""
    try:
        products = products_of(source.outline())
    except Exception:  # a class of its own, or one that computes while it is made: loading says what is wrong
        return None
    return Cost(sum(k * n * times for (k, n), times in products.items()), attention_of(source.config()))

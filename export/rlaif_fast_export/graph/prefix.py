"""The baked prefix: keys and values of the template's constant head, computed once in fp32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache


@dataclass(frozen=True)
class LayerPrefix:
    """One layer's keys (rotated) and values of the prefix: float32 [1, G, P, D] each."""

    key: np.ndarray
    value: np.ndarray


def bake_prefix(decoder: Any, ids: Sequence[int]) -> list[LayerPrefix]:
    """Run ``ids`` (P tokens) through the decoder; K/V of every layer, as the model caches them."""
    cache = DynamicCache()  # without the config: a sliding layer keeps all P
    with torch.no_grad():
        decoder(input_ids=torch.tensor([list(ids)]), past_key_values=cache, use_cache=True)
    return [LayerPrefix(layer.keys.float().numpy(), layer.values.float().numpy()) for layer in cache.layers]

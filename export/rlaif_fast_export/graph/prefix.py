"""The baked prefix: keys and values of a template's constant head, computed once in fp32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import DynamicCache

from rlaif_fast_export.reference.blockwise import Blockwise, Cache


@dataclass(frozen=True)
class LayerPrefix:
    """One layer's keys (rotated) and values of the prefix: float32 [1, G, P, D] each."""

    key: np.ndarray
    value: np.ndarray


def bake_prefix(model: Blockwise, ids: Sequence[int]) -> list[LayerPrefix]:
    """Run ``ids`` (P tokens) through the decoder; K/V of every layer, as the model caches them."""
    cache = Cache()  # without the config: a sliding layer keeps all P
    model.through(model.start([ids], past_key_values=cache, use_cache=True), lambda _: None)
    return prefix_of(cache, len(ids))


def prefix_of(cache: DynamicCache, length: int) -> list[LayerPrefix]:
    """K/V of the first ``length`` tokens that passed with ``cache``."""
    return [
        LayerPrefix(layer.keys[:, :, :length].float().numpy(), layer.values[:, :, :length].float().numpy())
        for layer in cache.layers
    ]


def as_cache(prefix: Sequence[LayerPrefix]) -> DynamicCache:
    """As transformers' classes take it."""
    cache = Cache()
    for index, layer in enumerate(prefix):
        cache.update(torch.from_numpy(layer.key), torch.from_numpy(layer.value), index)
    return cache

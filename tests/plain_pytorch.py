"""PyTorch's own answer to a prompt, which bundles are held against: whole forward passes, nothing of the exporter's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch


def reference_log_odds(
    lm: Any, prompts: Sequence[Sequence[int]], label_ids: tuple[int, int]
) -> npt.NDArray[np.float64]:
    """log(p1/p2) [n] of token sequences: a whole forward pass each, last position, no cache, no packing."""
    first, second = label_ids
    found = []
    with torch.inference_mode():
        for ids in prompts:
            logits = lm(input_ids=torch.tensor([list(ids)]), use_cache=False, logits_to_keep=1).logits[0, -1]
            found.append(float(logits[first].double() - logits[second].double()))
    return np.array(found)


def reference_shares(lm: Any, prompts: Sequence[Sequence[int]], label_ids: Sequence[int]) -> npt.NDArray[np.float64]:
    """[n, L] shares of a softmax over the labels' logits; passes as above."""
    found = []
    with torch.inference_mode():
        for ids in prompts:
            logits = lm(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0, -1]
            found.append(torch.softmax(logits[list(label_ids)].double(), 0).numpy())
    return np.array(found)

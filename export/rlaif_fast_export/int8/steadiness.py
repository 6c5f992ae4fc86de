"""How far an int8 bundle's answers move where the last bits of float32 sums differ, as they do on another processor.

Int8 products are the same integers everywhere, but what stands between them is float32: attention, norms, activations.
Their sums end in other bits on another instruction set, which turns some value's rounding to int8, and a few layers on
that is as large as the inputs' rounding error itself. Here such bits are made on one machine: noise of a millionth is
added to the attention's bias. On the embedded default it moves the answers by as much as AVX2 instead of AVX-512 does
(docs/engines.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from rlaif_fast.bundle.folder import Bundle
from rlaif_fast.runtime.engines import DEFAULT, EngineOptions, variant
from rlaif_fast.runtime.packing import PackedTree, pack

_NOISE = 1e-6  # of an attention score, where a token sees another


def unsteadiness(bundle: Bundle, prompts: Sequence[Sequence[int]], tick: Callable[[float], None]) -> float:
    """Mean |difference| of log(p1/p2) of ``prompts`` with such bits and without, in log-odds."""
    engine, manifest = variant(DEFAULT).load(bundle, EngineOptions()), bundle.manifest
    noise, moved = np.random.default_rng(0), []
    for number, prompt in enumerate(prompts):
        tick(number / len(prompts))
        tree = pack([prompt], manifest.prefix_ids, manifest.ending)
        plain, other = (engine.run(one)[0] for one in (tree, _disturbed(tree, noise)))
        moved.append(abs(float(plain[0] - plain[1]) - float(other[0] - other[1])))
    return float(np.mean(moved))


def _disturbed(tree: PackedTree, noise: np.random.Generator) -> PackedTree:
    bias = tree.attention_bias
    bits: npt.NDArray[np.float32] = _NOISE * noise.standard_normal(bias.shape, np.float32)
    return replace(tree, attention_bias=np.where(bias == 0, bits, bias))

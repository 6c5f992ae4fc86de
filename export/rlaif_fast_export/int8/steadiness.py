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
from rlaif_fast.judging.label_odds import first_odds
from rlaif_fast.runtime.engines import DEFAULT, EngineOptions, variant
from rlaif_fast.runtime.packing import PackedTree, canonical, pack

_NOISE = 1e-6  # of an attention score, where a token sees another


class PromptAnswers:
    """A bundle's answers to prompts, as they are and with such bits in them: a forward pass for each few of them."""

    def __init__(
        self, bundle: Bundle, prompts: Sequence[Sequence[Sequence[int]]], tick: Callable[[float], None]
    ) -> None:
        """Args: prompts: those of a pass together. tick: is called with the share of the passes that is done."""
        self._engine, self._bundle = variant(DEFAULT).load(bundle, EngineOptions()), bundle
        self._prompts = prompts
        self.log_odds = self._run(prompts, None, tick)  # log(p1/p2) [n]

    def unsteadiness(self, passes: int, tick: Callable[[float], None]) -> float:
        """Mean |difference| of the log-odds with such bits and without, of the first ``passes``."""
        others = self._run(self._prompts[:passes], np.random.default_rng(0), tick)
        return float(np.abs(others - self.log_odds[: len(others)]).mean())

    def _run(
        self, prompts: Sequence[Sequence[Sequence[int]]], noise: np.random.Generator | None,
        tick: Callable[[float], None],
    ) -> npt.NDArray[np.float64]:  # fmt: skip
        found: list[float] = []
        prompt = self._bundle.manifest.prompt
        for number, together in enumerate(prompts):
            tick(number / len(prompts))
            # Packed when it is read: the bias of a long prompt is as large as a model.
            ordered, places = canonical(together)
            tree = pack(ordered, prompt.prefix_ids, prompt.ending)
            given = self._engine.run(tree if noise is None else _disturbed(tree, noise), self._bundle.arrays)
            found += first_odds(given.label_logits.astype(np.float64))[places].tolist()
        return np.array(found)


def _disturbed(tree: PackedTree, noise: np.random.Generator) -> PackedTree:
    bias = tree.attention_bias
    bits: npt.NDArray[np.float32] = _NOISE * noise.standard_normal(bias.shape, np.float32)
    return replace(tree, attention_bias=np.where(bias == 0, bits, bias))

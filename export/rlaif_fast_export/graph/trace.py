"""From a causal language model to a graph of leaves, through Optimum's exporter."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch
from optimum.exporters.onnx.base import OnnxConfig
from optimum.exporters.onnx.convert import export_pytorch
from optimum.utils import NormalizedTextConfig
from torch import nn

from rlaif_fast_export.graph.leaves import leaves
from rlaif_fast_export.reference.blockwise import decoder_of

OPSET = 20
_DUMMY_TOKENS = 11


class LabelJudge(nn.Module):
    """The judge as a function of a packed tree: the base model, the judged positions, L rows of the head.

    ``forward(input_ids [1, S], position_ids [1, S], attention_bias [1, 1, S, P+S], judged [J])``
    gives ``label_logits [J, L]``, equal to the last-position logits of the label tokens; or with
    ``normalised`` their natural log-probabilities, for which the head keeps its whole vocabulary.
    """

    def __init__(self, lm: Any, label_ids: Sequence[int], *, normalised: bool = False) -> None:
        super().__init__()
        self.config = lm.config
        self.base = decoder_of(lm)
        head, rows = lm.get_output_embeddings(), list(label_ids)
        bias = getattr(head, "bias", None)
        self.softcap = getattr(lm.config, "final_logit_softcapping", None)  # Gemma 2
        self._labels = rows if normalised else None
        if normalised:
            self.label_head = head  # [D] -> [V]
            return
        self.label_head = nn.Linear(head.weight.shape[1], len(rows), bias=bias is not None)  # [D] -> [L]
        self.label_head.weight.data = head.weight.detach()[rows].float()
        if bias is not None:
            self.label_head.bias.data = bias.detach()[rows].float()

    def forward(
        self, input_ids: torch.Tensor, position_ids: torch.Tensor, attention_bias: torch.Tensor, judged: torch.Tensor
    ) -> torch.Tensor:
        hidden = self.base(
            input_ids=input_ids, position_ids=position_ids, attention_mask=attention_bias, use_cache=False
        ).last_hidden_state  # [1, S, D]
        return self._logits(hidden.index_select(1, judged)).squeeze(0)

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.label_head(hidden)  # [..., L], or V
        if self.softcap is not None:
            logits = self.softcap * torch.tanh(logits / self.softcap)
        if self._labels is None:
            return logits
        return torch.log_softmax(logits, -1).index_select(-1, torch.tensor(self._labels))


class LabelJudgeOnnxConfig(OnnxConfig):
    """The design's graph signature, in Optimum's terms."""

    NORMALIZED_CONFIG_CLASS = NormalizedTextConfig
    prefix_length = 0

    @property
    def inputs(self) -> dict[str, dict[int, str]]:
        return {
            "input_ids": {1: "S"},
            "position_ids": {1: "S"},
            "attention_bias": {2: "S", 3: "P+S"},
            "judged": {0: "J"},
        }

    @property
    def outputs(self) -> dict[str, dict[int, str]]:
        return {"label_logits": {0: "J"}}

    def generate_dummy_inputs(self, *_: Any, **__: Any) -> dict[str, torch.Tensor]:
        s = _DUMMY_TOKENS
        return {
            "input_ids": torch.arange(s)[None] % self._config.vocab_size,
            "position_ids": torch.arange(s)[None],
            "attention_bias": torch.zeros(1, 1, s, self.prefix_length + s),
            "judged": torch.tensor([s - 2, s - 1]),
        }

    @contextmanager
    def patch_model_for_export(self, model: LabelJudge, **_: Any) -> Iterator[None]:
        with leaves(model):
            yield


def trace(judge: LabelJudge, prefix_length: int, scratch: Path) -> ir.Model:
    """Trace ``judge`` into a graph of leaves. ``scratch`` is a folder for Optimum's intermediate file."""
    config = LabelJudgeOnnxConfig(judge.config)
    config.prefix_length = prefix_length
    path = scratch / "leaves.onnx"
    noisy = logging.getLogger("torch.onnx")
    level = noisy.level
    noisy.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tracer warnings on shapes that the verification covers
            export_pytorch(judge, config, OPSET, path, do_constant_folding=False)
    finally:
        noisy.setLevel(level)
    return ir.load(path)

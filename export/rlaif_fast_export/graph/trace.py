"""From a causal language model to a graph of leaves, by PyTorch's exporter as Optimum configures it."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch
from optimum.exporters.base import ExporterConfig
from optimum.utils import NormalizedTextConfig
from torch import nn

from rlaif_fast_export.graph.leaves import leaves
from rlaif_fast_export.graph.nodes import graph_input
from rlaif_fast_export.reference.blockwise import decoder_of

OPSET = 20
_DUMMY_TOKENS, _DUMMY_PREFIX = 11, 3


class TreeDecoder(nn.Module):
    """The model without its head, as a function of a packed tree.

    ``forward(input_ids [1, S], position_ids [1, S], attention_bias [1, 1, S, P+S], judged [J])``
    gives ``hidden [J, D]``: what the head is fed at the judged positions.
    """

    def __init__(self, lm: Any) -> None:
        super().__init__()
        self.config = lm.config
        self.base = decoder_of(lm)

    def forward(
        self, input_ids: torch.Tensor, position_ids: torch.Tensor, attention_bias: torch.Tensor, judged: torch.Tensor
    ) -> torch.Tensor:
        hidden = self.base(
            input_ids=input_ids, position_ids=position_ids, attention_mask=attention_bias, use_cache=False
        ).last_hidden_state  # [1, S, D]
        found: torch.Tensor = hidden.index_select(1, judged).reshape(-1, self.config.hidden_size)
        return found


class TreeDecoderConfig(ExporterConfig):
    """The graph's inputs and outputs as they are traced, in Optimum's terms."""

    NORMALIZED_CONFIG_CLASS = NormalizedTextConfig

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
        return {"hidden": {0: "J"}}

    def generate_dummy_inputs(self, *_: Any, **__: Any) -> dict[str, torch.Tensor]:
        s = _DUMMY_TOKENS
        return {
            "input_ids": torch.arange(s)[None] % self._config.vocab_size,
            "position_ids": torch.arange(s)[None],
            "attention_bias": torch.zeros(1, 1, s, _DUMMY_PREFIX + s),
            "judged": torch.tensor([s - 2, s - 1]),
        }


def trace(decoder: TreeDecoder, scratch: Path) -> ir.Model:
    """Trace ``decoder`` into a graph of leaves. ``scratch`` is a folder for PyTorch's intermediate file."""
    config = TreeDecoderConfig(decoder.config, task="text-generation")
    path = scratch / "leaves.onnx"
    with leaves(decoder), torch.no_grad(), _quietly(scratch / "said"):
        torch.onnx.export(
            decoder.eval(),
            (config.generate_dummy_inputs(),),
            str(path),
            input_names=list(config.inputs),
            output_names=list(config.outputs),
            dynamic_axes={**config.inputs, **config.outputs},
            opset_version=OPSET,
            do_constant_folding=False,
            dynamo=False,  # it records modules as they run; leaves are functions with an ONNX symbol
        )
    model = ir.load(path)
    graph_input(model.graph, "position_ids", ir.DataType.INT64, 1, "S")  # which is not traced where nothing turns
    return model


@contextmanager
def _quietly(said: Path) -> Iterator[None]:
    """Without the tracer's warnings on shapes, which the verification covers, and the graphs it prints giving up.

    It prints from C++ too, past ``sys.stdout``: into the file ``said``.
    """
    noisy = logging.getLogger("torch.onnx")
    level = noisy.level
    noisy.setLevel(logging.ERROR)
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        with said.open("wb") as file, warnings.catch_warnings(), redirect_stdout(StringIO()):
            os.dup2(file.fileno(), 1)
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        noisy.setLevel(level)

"""What a model does with the products of its head before they are logits: nothing, a scale, a cap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers.modeling_outputs import MoeModelOutputWithPast

from rlaif_fast_export.graph.forms import UnsupportedModule
from rlaif_fast_export.reference.blockwise import decoder_of
from rlaif_fast_export.sources.heads import is_reward_model

_CLOSE = (1e-5, 1e-6)  # relative, absolute


@dataclass(frozen=True)
class HeadForm:
    """``logits = scale * (products + bias)``, or capped: ``softcap * tanh((products + bias) / softcap)``.

    Attributes:
        scale: Granite divides by a number, Cohere multiplies by one.
        softcap: of Gemma 2; None where there is none.
    """

    scale: float = 1.0
    softcap: float | None = None


@dataclass
class _States(MoeModelOutputWithPast):
    """What a decoder gives, with all that a class may pass on."""

    cross_attentions: None = None


def head_form(lm: Any) -> HeadForm:
    """Found by asking the model, its decoder and its head stood in for. Raises UnsupportedModule."""
    if is_reward_model(lm.config):
        return HeadForm()
    decoder, head = decoder_of(lm), lm.get_output_embeddings()
    products = torch.linspace(-60, 60, int(head.weight.shape[0]))[None, None]  # [1, 1, V]
    states = torch.zeros(1, 1, int(head.weight.shape[1]))
    given = _States(last_hidden_state=states)
    try:
        decoder.forward = lambda *_, **__: given
        head.forward = lambda *_, **__: products
        with torch.no_grad():
            logits = lm(input_ids=torch.zeros(1, 1, dtype=torch.long), use_cache=False).logits.float()
    finally:
        for module in (decoder, head):
            module.__dict__.pop("forward", None)
    scale = float(logits[0, 0, -1] / products[0, 0, -1])
    if scale and torch.allclose(logits, scale * products, *_CLOSE):
        return HeadForm(scale=1.0 if abs(scale - 1) < 1e-6 else scale)
    cap = getattr(lm.config, "final_logit_softcapping", None)
    if cap and torch.allclose(logits, cap * torch.tanh(products / cap), *_CLOSE):
        return HeadForm(softcap=float(cap))
    raise UnsupportedModule(f"{type(lm).__name__} makes logits of its head in a way the runtime has not")

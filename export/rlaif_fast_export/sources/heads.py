"""Which head a model has: one over the vocabulary, or a reward model's, which is one number behind the last token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
)

from rlaif_fast.errors import ExportError


def is_reward_model(config: Any) -> bool:
    """Whether config.json names the class of its family that classifies: a reward model's, which has one label."""
    named: Sequence[str] = getattr(config, "architectures", None) or []
    return next(iter(named), None) == _classifier(config) is not None


def require_one_label(config: Any, model: str) -> None:
    """Raise ExportError where a classifier gives other than one number."""
    if is_reward_model(config) and config.num_labels != 1:
        raise ExportError(
            f"{model}: a {config.architectures[0]} with {config.num_labels} labels (num_labels, id2label in"
            " config.json); a reward model has one, and no other classifier judges"
        )


def auto_class(config: Any) -> Any:
    """Of transformers, which loads it."""
    return AutoModelForSequenceClassification if is_reward_model(config) else AutoModelForCausalLM


def head_of(model: Any) -> Any:
    """The linear layer behind the decoder: over the vocabulary, or a reward model's."""
    found = model.get_output_embeddings()
    return model.score if found is None else found


def last_logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Of the last of token ids [1, n]: [V], or a reward model's [1].

    A reward model's own class reads the last token that pads nothing: ``ids`` end with one.
    """
    if model.get_output_embeddings() is None:
        found: torch.Tensor = model(input_ids=ids, use_cache=False).logits[0]
        return found
    found = model(input_ids=ids, use_cache=False, logits_to_keep=1).logits[0, -1]
    return found


def _classifier(config: Any) -> str | None:
    kind = type(config)
    if kind not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        return None
    return str(MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[kind].__name__)

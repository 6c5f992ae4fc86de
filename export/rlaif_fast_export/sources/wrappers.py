"""The text decoder of a model that also takes images: its part of config.json, and of the files."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from rlaif_fast.errors import ExportError
from rlaif_fast_export.sources.checkpoint import Checkpoint

# model_type of the whole -> that of its text decoder, where its own file does not say it
_DECODERS = {"gemma3": "gemma3_text", "mistral3": "ministral3"}
_OF_IMAGES = re.compile(r"(model\.)?(vision_tower|multi_modal_projector)\.")
_KEYS_OF_IMAGES = re.compile(
    r"vision_config|mm_tokens_per_image|image_token_(id|index)|[be]oi_token_index|projector_.*|spatial_merge_size"
    r"|multimodal_projector_bias|vision_feature_layer|text_config|model_type|architectures"
)

_MUTE = re.compile(r"(torch_)?dtype|transformers_version|.*_token_id|initializer_range|use_cache|_name_or_path")


def is_wrapper(written: dict[str, Any]) -> bool:
    """Whether config.json is of a model around a text decoder that can be taken out."""
    return written.get("model_type") in _DECODERS


def text_part(written: dict[str, Any], name: str) -> dict[str, Any]:
    """config.json of the text decoder alone. Raises ExportError where it is not that of a known one."""
    wanted, text = _DECODERS[written["model_type"]], written.get("text_config")
    if not isinstance(text, dict) or text.get("model_type", wanted) != wanted:
        raise ExportError(f"{name}: config.json has no text_config of a {wanted} model")
    outer = {key: value for key, value in written.items() if not _KEYS_OF_IMAGES.fullmatch(key)}
    for key in sorted(set(outer) & set(text)):
        if text[key] != outer[key] and not _MUTE.fullmatch(key):
            both = f"{outer[key]!r} and {text[key]!r}"
            raise ExportError(f"{name}: config.json says {key} in two places, {both}; correct it")
    inner = {key: value for key, value in text.items() if key != "architectures"}
    return {**outer, **inner, "model_type": wanted}


def text_tensors(checkpoint: Checkpoint) -> Checkpoint:
    """Without the tensors of the vision tower."""
    kept = [name for name in checkpoint.files if not is_of_images(name)]
    return replace(
        checkpoint, files={n: checkpoint.files[n] for n in kept}, dtypes={n: checkpoint.dtypes[n] for n in kept}
    )


def is_of_images(tensor: str) -> bool:
    """Whether the text decoder does without it."""
    return bool(_OF_IMAGES.match(tensor))

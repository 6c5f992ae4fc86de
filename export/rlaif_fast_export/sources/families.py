"""Which models can be exported, decided from the configuration alone, before any long work."""

from __future__ import annotations

from typing import Any

from rlaif_fast.bundle.manifest import LONGEST_CONTEXT
from rlaif_fast.errors import ExportError

# transformers' model_type -> what users call it. A family stands here once the tests hold a tiny
# random model of it against PyTorch (tests/families.py); CONTRIBUTING.md shows how to add one.
SUPPORTED = {
    "gemma": "Gemma",
    "gemma2": "Gemma 2",
    "gemma3_text": "Gemma 3 (text)",
    "gpt2": "GPT-2",
    "gpt_neox": "GPT-NeoX, Pythia",
    "llama": "Llama, SmolLM",
    "mistral": "Mistral",
    "phi": "Phi 1, 1.5, 2",
    "qwen2": "Qwen 2, 2.5",
    "qwen3": "Qwen 3",
}


def check_supported(config: Any, model: str) -> None:
    """Raise ExportError unless a model of this configuration can be exported."""
    kind = config.model_type
    if kind not in SUPPORTED:
        raise ExportError(
            f"{model}: architecture {kind!r} is not supported; supported are {', '.join(sorted(SUPPORTED))}"
        )
    for reason in _reasons(config):
        raise ExportError(f"{model}: {reason}")


def _reasons(config: Any) -> list[str]:
    found = []
    rope = getattr(config, "rope_scaling", None)
    rope_type = rope.get("rope_type", rope.get("type")) if isinstance(rope, dict) else None  # else: config_keys
    if rope_type in ("dynamic", "longrope"):
        found.append(
            f"rope scaling {rope_type!r} depends on the prompt's length, which one graph cannot hold;"
            " set rope_scaling to null or to a static kind in config.json"
        )
    if getattr(config, "quantization_config", None) is not None:
        found.append("the weights are quantized already; export the full-precision model")
    if getattr(config, "use_bidirectional_attention", False):
        found.append("its attention is bidirectional; a judge must be causal")
    if getattr(config, "add_cross_attention", False):
        found.append("it has cross attention; a judge must be a decoder alone")
    return found


def needs_eager(config: Any) -> bool:
    """Whether transformers' default attention (SDPA) leaves out something this model defines.

    Gemma 2's attention softcap, GPT-2's scaling by layer and its scores without a scale: SDPA takes none of them.
    """
    return bool(
        getattr(config, "attn_logit_softcapping", None)
        or getattr(config, "scale_attn_by_inverse_layer_idx", False)
        or not getattr(config, "scale_attn_weights", True)
    )


def maximum_length(config: Any) -> int:
    """Tokens of the longest prompt: the model's context, at most LONGEST_CONTEXT."""
    return min(int(config.max_position_embeddings), LONGEST_CONTEXT)

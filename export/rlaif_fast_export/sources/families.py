"""Which models can be exported, decided from the configuration alone, before any long work."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from transformers import CONFIG_MAPPING

from rlaif_fast.bundle.manifest import LONGEST_CONTEXT
from rlaif_fast.errors import ExportError
from rlaif_fast_export.sources.rotary_config import original_length, scales_queries, scaling_of

# transformers' model_type -> what users call it. A family stands here once the tests hold a tiny
# random model of it against PyTorch (tests/families.py); CONTRIBUTING.md shows how to add one.
SUPPORTED = {
    "apertus": "Apertus",
    "arcee": "Arcee (AFM)",
    "cohere": "Cohere (Command R, Aya Expanse)",
    "cohere2": "Cohere 2 (Command R7B, Command A)",
    "ernie4_5": "ERNIE 4.5 (dense)",
    "exaone4": "EXAONE 4.0",
    "gemma": "Gemma",
    "gemma2": "Gemma 2",
    "gemma3_text": "Gemma 3",
    "glm": "GLM-4 (9B), GLM-Edge",
    "glm4": "GLM-4-0414",
    "gpt2": "GPT-2",
    "gpt_neox": "GPT-NeoX, Pythia",
    "granite": "Granite 3, Granite Guardian",
    "granitemoehybrid": "Granite 4 (dense)",
    "helium": "Helium",
    "hunyuan_v1_dense": "Hunyuan (dense)",
    "hyperclovax": "HyperCLOVA X SEED",
    "jais2": "Jais 2",
    "llama": "Llama, SmolLM",
    "ministral": "Ministral",
    "ministral3": "Ministral 3",
    "mistral": "Mistral",
    "nemotron": "Nemotron, Minitron",
    "olmo": "OLMo",
    "olmo2": "OLMo 2",
    "olmo3": "OLMo 3",
    "phi": "Phi 1, 1.5, 2",
    "phi3": "Phi 3, 3.5, 4-mini",
    "qwen2": "Qwen 2, 2.5",
    "qwen3": "Qwen 3",
    "seed_oss": "Seed-OSS",
    "smollm3": "SmolLM3",
    "stablelm": "StableLM",
    "starcoder2": "StarCoder 2",
}
# Of a family that is not listed: so long is the prompt that it is verified with, and none may be longer.
UNLISTED_CONTEXT = 4096

_RECURRENT = "its layers are recurrent: their state would have to be forked where two responses part"
_SHARING = "its layers share keys and values: a later layer reads those of an earlier one, which the graph cannot hold"
_EXPERTS = "it is a mixture of experts, whose products the graph cannot choose by token"
_LATENT = "its attention keeps keys and values compressed (multi-head latent attention), which the runtime has not"
_ALIBI = "its positions are a bias on the scores (ALiBi), which the runtime has not"
_LACKING = {
    **dict.fromkeys((
        "bamba", "falcon_h1", "falcon_mamba", "jamba", "kimi_linear", "lfm2", "lfm2_moe", "mamba", "mamba2", "minimax",
        "nemotron_h", "qwen3_5", "qwen3_5_text", "qwen3_next", "recurrent_gemma", "rwkv", "xlstm", "zamba", "zamba2",
    ), _RECURRENT),
    **dict.fromkeys(("gemma3n", "gemma3n_text", "gemma4", "gemma4_text"), _SHARING),
    **dict.fromkeys(("bloom", "mpt"), _ALIBI),
    **dict.fromkeys(("deepseek_v2", "deepseek_v3", "minicpm3"), _LATENT),
}  # fmt: skip
_KINDS_OF_LAYERS = {"full_attention", "sliding_attention", "attention"}
_COUNTS_OF_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")


def require_known(model_type: str, model: str) -> None:
    """Raise ExportError unless transformers has this kind of model."""
    if model_type not in CONFIG_MAPPING:
        why = _LACKING.get(model_type, "it is newer, or known under another name")
        if model_type in SUPPORTED:
            why = "install rlaif-fast[export-next] in an environment of its own, which has transformers 5"
        raise ExportError(
            f"{model}: architecture {model_type!r} is not in transformers {version('transformers')}: {why}"
        )


def check_supported(config: Any, model: str, *, unlisted: bool = False) -> None:
    """Raise ExportError unless a model of this configuration can be exported.

    ``unlisted``: one of a family that is not listed may be tried; what it cannot do is found on the way.
    """
    kind = config.model_type
    for reason in _reasons(config):
        raise ExportError(f"{model}: {reason}")
    if kind not in SUPPORTED and not unlisted:
        raise ExportError(
            f"{model}: architecture {kind!r} is not a listed one; --unlisted exports it all the same if the exporter"
            f" knows its parts; listed are {', '.join(sorted(SUPPORTED))}"
        )


def _reasons(config: Any) -> Iterator[str]:
    kind, own = config.model_type, type(config)()  # what else config.json says is config_keys' to refuse
    if kind in _LACKING:
        yield f"architecture {kind!r} cannot be exported: {_LACKING[kind]}"
    if getattr(config, "is_encoder_decoder", False):
        yield f"architecture {kind!r} has an encoder; a judge must be a decoder alone"
    if any(hasattr(own, name) and _more_than_one(getattr(config, name)) for name in _COUNTS_OF_EXPERTS):
        yield f"architecture {kind!r} cannot be exported: {_EXPERTS}"
    if getattr(config, "num_kv_shared_layers", None):
        yield f"architecture {kind!r} cannot be exported: {_SHARING}"
    if getattr(config, "kv_lora_rank", None):
        yield f"architecture {kind!r} cannot be exported: {_LATENT}"
    odd = sorted({str(layer) for layer in getattr(config, "layer_types", None) or ()} - _KINDS_OF_LAYERS)
    if odd:
        recurrent = (
            f": {_RECURRENT}" if any(word in odd[0] for word in ("linear", "mamba", "recurrent", "conv")) else ""
        )
        yield f"it has layers of the kind {odd[0]!r}, which the runtime has not{recurrent}"
    if getattr(config, "quantization_config", None) is not None:
        yield "the weights are quantized already; export the full-precision model"
    if getattr(config, "use_bidirectional_attention", False):
        yield "its attention is bidirectional; a judge must be causal"
    if getattr(config, "add_cross_attention", False):
        yield "it has cross attention; a judge must be a decoder alone"
    if getattr(config, "clip_qkv", None) is not None:
        yield f"its config.json says clip_qkv = {config.clip_qkv}: queries, keys and values cannot be clipped"
    size = _head_size(config)
    if size % 8:
        yield f"its heads have {size} features; the runtime's attention takes multiples of 8"
    if getattr(config, "alibi", False):
        yield _ALIBI
    if not hasattr(config, "max_position_embeddings"):
        yield f"architecture {kind!r} says no max_position_embeddings, so its longest prompt is not known"


def _head_size(config: Any) -> int:
    """Features of a head; 0 where the configuration does not say."""
    size, heads = getattr(config, "head_dim", None), getattr(config, "num_attention_heads", None)
    if isinstance(size, int) and size:
        return size
    return int(config.hidden_size // heads) if isinstance(heads, int) and heads else 0


def _more_than_one(count: Any) -> bool:
    return isinstance(count, int) and count > 1


def needs_eager(config: Any) -> bool:
    """Whether transformers' default attention (SDPA) leaves out something this model defines.

    Gemma 2's attention softcap, GPT-2's scaling by layer and its scores without a scale: SDPA takes none of them.
    """
    return bool(
        getattr(config, "attn_logit_softcapping", None)
        or getattr(config, "scale_attn_by_inverse_layer_idx", False)
        or not getattr(config, "scale_attn_weights", True)
    )


def static_length(config: Any) -> int | None:
    """Tokens up to which scaling that goes by length or position is the same for every prompt; None without it.

    Beyond, transformers gives the same position other angles in a longer prompt, which one graph cannot hold, or
    multiplies queries by a number that grows with their position.
    """
    kind = _scaling(config)
    if kind == "longrope" or scales_queries(config):
        return original_length(config)
    return int(config.max_position_embeddings) if kind == "dynamic" else None


def _scaling(config: Any) -> str | None:
    """The kind of rope scaling."""
    scaling = scaling_of(config) or {}
    return scaling.get("rope_type", scaling.get("type"))  # what is no table, config_keys refuses


def maximum_length(config: Any) -> int:
    """Tokens of the longest prompt: the model's context, as far as one graph holds it and it is verified."""
    limits = [int(config.max_position_embeddings), LONGEST_CONTEXT, static_length(config) or LONGEST_CONTEXT]
    return min(limits + ([] if config.model_type in SUPPORTED else [UNLISTED_CONTEXT]))


def context_note(config: Any) -> str | None:
    """Why the longest prompt is shorter than the model's context, where it is; None where it is not."""
    longest = maximum_length(config)
    if longest == static_length(config) and _scaling(config) == "dynamic":
        if longest >= LONGEST_CONTEXT:
            return None
        return f"context: {longest:,} tokens; beyond, its rope scaling 'dynamic' depends on the prompt's length"
    if longest >= min(int(config.max_position_embeddings), LONGEST_CONTEXT):
        return None
    if longest == static_length(config):
        why = (
            "queries are scaled" if scales_queries(config) else "rope scaling 'longrope' depends on the prompt's length"
        )
        return f"context: {longest:,} of the model's {config.max_position_embeddings:,} tokens; beyond, its {why}"
    return (
        f"context: {longest:,} of the model's {config.max_position_embeddings:,} tokens, as many as a family that is"
        " not listed is verified with"
    )

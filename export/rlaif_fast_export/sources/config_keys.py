"""What a config.json says, done or refused: no key that changes the model's function is passed over.

transformers keeps a key its class does not know as an attribute that nobody reads.
"""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

from rlaif_fast.errors import ExportError
from rlaif_fast_export.sources.heads import is_reward_model, require_one_label
from rlaif_fast_export.sources.rotary_config import ALIASES, KEYS, has, put, value_of
from rlaif_fast_export.sources.rotary_keys import rotary_keys

# Keys of published files that a model's function does not depend on: names, versions, training, other tools.
_MUTE = re.compile(
    r"model_name|_(name_or_path|commit_hash|auto_class|attn_implementation.*|flash_attn_2_enabled|pre_quantization_dtype)"
    r"|_?unsloth_.*|architectures|auto_map|transformers_version|transformers\.js_config|model_type|torch_dtype|dtype|license"
    r"|(attn|cache)_implementation|use_cache|use_flash_attn|use_flash_attention(_2)?|use_sdpa|flash_attn|fused_dense"
    r"|flash_rotary|fused_(mlp|bias_fc|dropout_add_layer_norm|rms_norm)|gradient_checkpointing|initializer_.*"
    r"|(.*_)?dropout(_(p|prob|rate|ratio))?|.*_pdrop|fp16|bf16|fp32"
    r"|((.*_)?(bos|eos|pad|sep|cls|unk|mask|im|start|end|image|video|audio|vision|boi|eoi|user|assistant|system|eot|eod)"
    r"|(begin_)?suppress)_token(_id|_index)?s?|tokenizer_class|model_max_length|max_sequence_length|max_length|seq_length"
    r"|neftune_noise_alpha|pretraining_tp|is_llama_config|task_specific_params|summary_.*|n_ctx|eos|bos"
    r"|finetuning_task|id2label|label2id|num_labels|problem_type|output_(attentions|hidden_states|past|router_logits|scores)"
    r"|return_dict|z_loss.*|generation_config"
    r"|router_aux_loss_coef|max_window_layers|vocab_file|trl_.*"
    r"|training_(args|arguments|config|data|dataset|dtype|epochs|loss|stage|steps|tokens)"
)
# Whose values the tensors show: where they differ, one is missing, unknown or of another shape.
_SHOWN = re.compile(r"intermediate_size|num_key_value_heads|((use|attention|mlp|qkv|o|lm_head)_)?bias|add_bias_linear")
# Keys that change nothing at these values, or null.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "logit_scale": (1,), "logits_scaling": (1,), "embedding_multiplier": (1,), "residual_multiplier": (1,),
    "embedding_scale": (1,), "scale_emb": (1,), "num_experts": (0, 1), "num_local_experts": (0, 1),
    "is_causal": (True,), "causal": (True,), "n_special": (0,), "rope_scaling_factor": (1,),
    "num_nextn_predict_layers": (0,),
}  # fmt: skip
# What no model here does, so that false is right. Other switches by the name of a part may take one away that is there.
_SWITCHES = re.compile(
    r"rope_interleaved|rotary_interleaved|use_mrope|use_sliding_window|(use_)?(qk|q|k)_?(layer)?norm|qk_layernorm"
    r"|(use_)?alibi|use_parallel_residual|parallel_attn|multi_query|multi_query_attention|(use_)?dynamic_ntk"
    r"|use_dynamic_ntk|use_logn_attn|use_scaled_rope|upcast_attn|reorder_and_upcast_attn|use_moe|add_cross_attention"
    r"|scale_attn_by_inverse_layer_idx|apply_residual_connection_post_layernorm|use_bidirectional_attention"
    r"|(is_)?bidirectional(_attention)?|scale_embedding|attention_sink|use_post_norm|sandwich_norm|share_layers"
)
_PARTS = re.compile(
    r"rope|rotary|norm|residual|causal|scal|pos|emb|head|gate|attn|attention|mlp|ffn|feed|softmax|softcap|tie|tying"
    r"|share|layer|block|decoder|act|lm_|bias|kv|qkv|mask|window"
)
# Read by the code of these families' models, though their configurations do not name them.
_READ = {
    "head_dim": {"apertus", "cohere", "exaone4", "granite", "olmo", "olmo2", "olmo3", "phi", "phi3", "qwen2", "smollm3",
                 "starcoder2"},
    "hidden_activation": {"gemma"},
    "rope_scaling": {"gemma", "gemma2", "glm", "glm4", "helium", "ministral", "mistral"},
    "sliding_window_pattern": {"gemma3_text"},
}  # fmt: skip
# Keys of published files that their classes do not read: what they say where it is what the class does.
_SAID: dict[str, dict[str, tuple[Any, ...]]] = {
    "apertus": {"post_norm": (False,), "qk_norm": (True,)},
    "cohere2": {
        "order_of_interleaved_layers": ("local_attn_first",), "rotary_pct": (1,),
        "position_embedding_type": ("rope_gptj",), "use_embedding_sharing": (True,), "use_gated_activation": (True,),
        "use_parallel_block": (True,), "use_parallel_embedding": (True, False),
    },
    "granitemoehybrid": {"init_method": ("mup",), "normalization_function": ("rmsnorm",)},
    "hunyuan_v1_dense": {
        "add_classification_head": (False,), "class_num": (0,), "norm_type": ("rms", "hf_rms"), "pool_type": ("last",),
        "use_cla": (False,), "use_qk_norm": (True,), "use_rotary_pos_emb": (True,),
    },
    "olmo": {"rms_norm_eps": (1e-5,)},
    "phi3": {"full_attn_mod": (1,), "interpolate_factor": (1,)},
    "starcoder2": {
        "attention_softmax_in_fp32": (True,), "mlp_type": ("default",), "norm_type": ("layer_norm",),
        "scale_attention_softmax_in_fp32": (True,), "scale_attn_weights": (True,),
    },
}  # fmt: skip
# Other names of what the class reads, harmless where they say the same: Hunyuan's, Gemma's, Nemotron's, StarCoder 2's.
_OTHER_NAMES = {
    "attention_head_dim": "head_dim", "hidden_act": "hidden_activation", "kv_channels": "head_dim",
    "rms_norm_eps": "norm_epsilon", "rope_percent": "partial_rotary_factor", "sliding_window_size": "sliding_window",
}  # fmt: skip
_POSITIONS = {"gpt2": ("absolute", "learned")}  # the others' are rotary
_POSITIVE = {
    "rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "max_position_embeddings", "n_positions", "rope_theta",
    "rope_local_base_freq",
}  # fmt: skip
_WINDOWS_BASE = "rope_local_base_freq"
_REMEDY = "; if it does not change what the model computes, take it out of config.json"


def readable(written: dict[str, Any], name: str) -> dict[str, Any]:
    """``written`` without what transformers' classes trip over though it is sound.

    Raises ExportError where config.json has no table in a place where they take one for granted.
    """
    for key in ("rope_scaling", "rope_parameters", "quantization_config"):
        value = written.get(key)
        if value is not None and not isinstance(value, dict):
            raise ExportError(f"{name}: config.json says {key} = {_short(value)}, which is no table; correct it")
    mended = deepcopy(written)  # transformers 5 writes into tables that it is given
    if "quantization_config" in mended and mended["quantization_config"] is None:
        del mended["quantization_config"]
    scaling = mended.get("rope_scaling")
    if mended["model_type"] == "gemma3_text" and scaling and "rope_type" not in scaling and "type" in scaling:
        mended["rope_scaling"] = scaling | {"rope_type": scaling["type"]}
    if mended["model_type"] == "phi3" and scaling and scaling.get("type") == "su":  # what longrope was called at first
        mended["rope_scaling"] = scaling | {"type": "longrope"}
    for key in [key for key in mended if key.startswith("_attn_implementation")]:  # how somebody ran it
        del mended[key]
    if _is_lettered("sliding_window_pattern", mended.get("sliding_window_pattern"), mended["model_type"]):
        mended["sliding_window_pattern"] = len(mended["sliding_window_pattern"])
    return mended


def _is_lettered(key: str, value: Any, kind: str) -> bool:
    """EXAONE 4.0's files say "LLLG" where transformers counts to 4, and documents both."""
    lettered = key == "sliding_window_pattern" and kind == "exaone4" and isinstance(value, str)
    return lettered and re.fullmatch(r"L+G", value) is not None


def apply_keys(config: Any, written: dict[str, Any], name: str) -> None:
    """Hold ``config``, as transformers read it, to ``written``, its file; complete what has another name there.

    Raises ExportError naming the key that is not understood, or whose value is of another kind than it must be.
    """
    _of_another_head(config, written, name)
    default = type(config)()
    rest = dict(written)
    rotary = rotary_keys(written, name)
    if not has(default, _WINDOWS_BASE) and rotary.get(_WINDOWS_BASE) == rotary.get("rope_theta"):
        rotary.pop(_WINDOWS_BASE, None)  # one base for all its layers
    rest.pop("rope_parameters", None)
    rest |= rotary
    for key, value in rest.items():
        if has(default, key) and not _is_lettered(key, value, config.model_type):
            _require_kind(key, value, value_of(default, key), name)
        elif not has(default, key) and not _harmless(key, value, config):
            raise ExportError(
                f"{name}: config.json says {key} = {_short(value)}, which a {config.model_type} model does not"
                f" have here{_REMEDY}"
            )
    window = written.get("sliding_window")
    windowed = hasattr(default, "sliding_window") and not hasattr(default, "use_sliding_window")
    if windowed and isinstance(window, int) and window < 1:
        raise ExportError(
            f"{name}: config.json says sliding_window = {window}, which must be at least 1, or null for no window"
        )
    config.return_dict = True  # says how results are handed over, and is counted on
    put(config, {key: rest[key] for key in KEYS if rest.get(key) is not None} | rotary)
    for old, new in {**config.attribute_map, **ALIASES}.items():
        if has(default, old):
            value = _joined(rest, old, new, name)
            if value is not None and old in ALIASES:  # the others transformers joins itself
                put(config, {old: value, new: value})
    _apply_window_pattern(config, written, name)
    if config.model_type == "gemma" and rest.get("hidden_activation"):
        config.hidden_act = rest["hidden_activation"]  # transformers reads the other name, which old files have wrong


def _apply_window_pattern(config: Any, written: dict[str, Any], name: str) -> None:
    """Gemma 3: transformers writes every how many layers a full one stands under another name than it reads."""
    if config.model_type != "gemma3_text" or written.get("layer_types") is not None:
        return
    keys = ("_sliding_window_pattern", "sliding_window_pattern")
    found = [written[key] for key in keys if written.get(key) is not None]
    if not found:
        return
    every = found[0]
    if isinstance(every, bool) or not isinstance(every, int) or every < 1 or found[-1] != every:
        said = " and ".join(map(_short, found))
        raise ExportError(f"{name}: config.json says sliding_window_pattern = {said}, not one whole number; correct it")
    config.layer_types = [
        "sliding_attention" if (i + 1) % every else "full_attention" for i in range(config.num_hidden_layers)
    ]


def _of_another_head(config: Any, written: dict[str, Any], name: str) -> None:
    """Its class is the one that will be loaded, that class without its head (the files show which), or a wrapper."""
    named = written.get("architectures") or []
    if not isinstance(named, list) or not all(isinstance(a, str) for a in named):
        raise ExportError(f"{name}: config.json says architectures = {_short(named)}, which is no list; correct it")
    if is_reward_model(config):
        require_one_label(config, name)
        return
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ExportError(f"{name}: a {config.model_type} model is no causal language model")
    own = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)].__name__
    bare = re.sub(r"ForCausalLM|LMHeadModel", "Model", own)
    good = {_plain(c) for c in (own, bare, own.replace("Text", ""), "AutoModelForCausalLM", "PeftModelForCausalLM")}
    if (config.model_type, written.get("model_type")) == ("ministral", "mistral"):  # transformers goes by layer_types
        good.add("mistralforcausallm")
    if named and not any(_plain(a) in good for a in named):
        raise ExportError(
            f"{name}: config.json says {_short(named[0])}, not {own}: a reward, classification or other model; export a"
            " causal language model, or a reward model of transformers' own class"
        )


def _plain(class_name: str) -> str:
    """Without what its authors and transformers write differently: LLaMAForCausalLM, Ernie4_5_ForCausalLM."""
    return class_name.casefold().replace("_", "")


def _harmless(key: str, value: Any, config: Any) -> bool:
    if _MUTE.fullmatch(key) or _SHOWN.fullmatch(key) or config.model_type in _READ.get(key, ()):
        return True
    if key in _SAID.get(config.model_type, {}):
        return value in _SAID[config.model_type][key]
    if config.model_type == "hunyuan_v1_dense" and _of_hunyuan(key, value, config):
        return True
    if key in _OTHER_NAMES:
        other = _OTHER_NAMES[key]
        return value is not None and has(config, other) and bool(value == value_of(config, other))
    if key in ("layer_switch", "sliding_window_pattern") and config.model_type == "cohere2":
        return isinstance(value, int) and value > 0 and _has_pattern(config, value)
    if key == "head_dim":
        return bool(value == config.hidden_size // config.num_attention_heads)
    if key == "sliding_window" and isinstance(value, int) and not isinstance(value, bool):
        return bool(value >= config.max_position_embeddings)
    if key == "position_embedding_type":
        return value is None or value in _POSITIONS.get(config.model_type, ("rope", "rotary"))
    if key == "num_key_value_groups" and value is not None:
        kv_heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        return bool(value * kv_heads == config.num_attention_heads)
    if key in _NEUTRAL:
        return value is None or value in _NEUTRAL[key]
    if value is False:
        return bool(_SWITCHES.fullmatch(key) or not _PARTS.search(key))
    return value is None or value == [] or value == {}


def _of_hunyuan(key: str, value: Any, config: Any) -> bool:
    """Numbers of Hunyuan's files that its class does not read: tokens, and parts that are switched off."""
    if key == "dense_list":  # widths of a classifier that add_classification_head puts there
        return bool(value == [config.hidden_size, 0])
    if key == "org_vocab_size":
        return bool(value == config.vocab_size)
    return (
        key == "cla_share_factor"
        or re.fullmatch(r"(im|text)_(start|end|newline)_id|mask_init_id|pad_id", key) is not None
    )


def _has_pattern(config: Any, every: int) -> bool:
    """Whether every so many layers one is without a window."""
    full = [kind == "full_attention" for kind in config.layer_types]
    return full == [(i + 1) % every == 0 for i in range(len(full))]


def _require_kind(key: str, value: Any, default: Any, name: str) -> None:
    """Text where a number or a switch stands is truthy, whatever it says."""
    if key in _POSITIVE and not (value is None and default is None):
        sound = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
        if not sound or (value == 0 and not key.startswith(("rms_", "layer_norm_"))):
            said = "null" if value is None else _short(value)
            raise ExportError(f"{name}: config.json says {key} = {said}, which must be a number above 0; correct it")
    if value is None or key.endswith(("_token_id", "_token_ids")):
        return
    wrong = False
    if isinstance(default, bool):
        wrong = not isinstance(value, bool)
    elif isinstance(default, int | float):
        wrong = isinstance(value, bool | str | list | dict)
    elif isinstance(default, str):
        wrong = not isinstance(value, str)
    if wrong:
        kind = "true or false" if isinstance(default, bool) else "text" if isinstance(default, str) else "a number"
        raise ExportError(f"{name}: config.json says {key} = {_short(value)}, which must be {kind}; correct it")


def _joined(written: dict[str, Any], old: str, new: str, name: str) -> Any:
    """What the file has under one of two names of one thing, or None."""
    values = [written[key] for key in (old, new) if written.get(key) is not None]
    if len(values) == 2 and values[0] != values[1]:
        raise ExportError(f"{name}: config.json says {old} = {values[0]} and {new} = {values[1]}; correct it")
    return values[0] if values else None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

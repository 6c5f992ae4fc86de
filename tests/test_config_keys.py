"""What a config.json says is done or refused; what published files say is taken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM

from rlaif_fast import ExportError, Judge
from rlaif_fast.prompts.template import SUMMARY
from rlaif_fast_export.exporter import export_bundle
from rlaif_fast_export.sources.config_keys import apply_keys
from rlaif_fast_export.sources.families import SUPPORTED, check_supported
from rlaif_fast_export.sources.lane import NEXT
from rlaif_fast_export.sources.rotary_config import value_of
from rlaif_fast_export.sources.source import find_source
from tests.families import tiny_model
from tests.plain_pytorch import reference_log_odds
from tests.test_checkpoints import configure
from tests.test_gguf import logits, remade

LLAMA3 = {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 8192,
          "rope_type": "llama3"}  # fmt: skip
_ALL = {"bos_token_id": 1, "eos_token_id": 2, "initializer_range": 0.02, "torch_dtype": "bfloat16", "vocab_size": 400,
        "transformers_version": "4.46.0", "use_cache": True}  # fmt: skip
_SIZES = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
          "max_position_embeddings": 1024}  # fmt: skip
_LLAMA = _ALL | _SIZES | {"num_key_value_heads": 2, "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 5e5,
                          "attention_dropout": 0.0, "tie_word_embeddings": True}  # fmt: skip
_GEMMA = _ALL | _SIZES | {"num_key_value_heads": 2, "head_dim": 32, "hidden_act": "gelu_pytorch_tanh",
                          "hidden_activation": "gelu_pytorch_tanh", "rms_norm_eps": 1e-6, "pad_token_id": 0,
                          "rope_theta": 1e4,
                          "attention_bias": False, "attention_dropout": 0.0}  # fmt: skip
# The keys of published files: names as they stand there, sizes cut down.
PUBLISHED: dict[str, dict[str, Any]] = {
    "Llama 3.2": _LLAMA | {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "attention_bias": False,
                           "head_dim": 16, "mlp_bias": False, "pretraining_tp": 1, "rope_scaling": LLAMA3,
                           "eos_token_id": [1, 2]},
    "SmolLM2": _LLAMA | {"model_type": "llama", "attention_bias": False, "is_llama_config": True, "mlp_bias": False,
                         "pretraining_tp": 1, "rope_interleaved": False, "rope_scaling": None, "pad_token_id": 2,
                         "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16"}}},
    "Qwen 2.5": _LLAMA | {"model_type": "qwen2", "max_window_layers": 21, "sliding_window": 32768, "use_mrope": False,
                          "use_sliding_window": False},
    "Qwen 3": _LLAMA | {"model_type": "qwen3", "attention_bias": False, "head_dim": 32, "max_window_layers": 28,
                        "rope_scaling": None, "sliding_window": None, "use_sliding_window": False},
    "Mistral 0.1": _LLAMA | {"model_type": "mistral", "sliding_window": 4096, "tie_word_embeddings": False},
    "Mistral 0.3": _LLAMA | {"model_type": "mistral", "sliding_window": None, "tie_word_embeddings": False},
    "Gemma": _GEMMA | {"model_type": "gemma", "rope_scaling": None, "hidden_activation": None},
    "Gemma 2": _GEMMA | {"model_type": "gemma2", "attn_logit_softcapping": 50.0, "cache_implementation": "hybrid",
                         "final_logit_softcapping": 30.0, "query_pre_attn_scalar": 256, "sliding_window": 4096,
                         "sliding_window_size": 4096},
    "Gemma 3": {k: v for k, v in _GEMMA.items() if k != "hidden_act"} | {
        "model_type": "gemma3_text", "attn_logit_softcapping": None, "cache_implementation": "hybrid",
        "final_logit_softcapping": None, "query_pre_attn_scalar": 256, "rope_local_base_freq": 10000,
        "rope_scaling": None, "sliding_window": 512, "sliding_window_pattern": 6, "_sliding_window_pattern": 6,
        "use_bidirectional_attention": False},
    "Phi 1.5": _ALL | _SIZES | {
        "_name_or_path": "microsoft/phi-1_5", "model_type": "phi", "attention_dropout": 0.0, "embd_pdrop": 0.0,
        "hidden_act": "gelu_new", "layer_norm_eps": 1e-05, "num_key_value_heads": None, "partial_rotary_factor": 0.5,
        "qk_layernorm": False, "resid_pdrop": 0.0, "rope_scaling": None, "rope_theta": 10000.0,
        "tie_word_embeddings": False, "bos_token_id": None, "eos_token_id": None,
        "auto_map": {"AutoConfig": "configuration_phi.PhiConfig"}},
    "GPT-2": {
        "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1, "bos_token_id": 3,
        "embd_pdrop": 0.1, "eos_token_id": 3, "initializer_range": 0.02, "layer_norm_epsilon": 1e-05,
        "model_type": "gpt2", "n_ctx": 1024, "n_embd": 64, "n_head": 4, "n_layer": 2, "n_positions": 1024,
        "resid_pdrop": 0.1, "summary_activation": None, "summary_first_dropout": 0.1, "summary_proj_to_labels": True,
        "summary_type": "cls_index", "summary_use_proj": True, "vocab_size": 400,
        "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}}},
    "Pythia": _ALL | _SIZES | {
        "architectures": ["GPTNeoXForCausalLM"], "model_type": "gpt_neox", "hidden_act": "gelu",
        "layer_norm_eps": 1e-05, "rotary_emb_base": 10000, "rotary_pct": 0.25,
        "tie_word_embeddings": False, "use_parallel_residual": True},
    "Phi 3.5": _LLAMA | {
        "model_type": "phi3", "architectures": ["Phi3ForCausalLM"], "attention_bias": False, "embd_pdrop": 0.0,
        "auto_map": {"AutoConfig": "configuration_phi3.Phi3Config", "AutoModelForCausalLM": "modeling_phi3.Phi3For"},
        "max_position_embeddings": 8192, "original_max_position_embeddings": 256, "pad_token_id": 3,
        "resid_pdrop": 0.0, "sliding_window": 262144, "tie_word_embeddings": False,
        "rope_scaling": {"long_factor": [1.0] * 8, "short_factor": [1.5] * 8, "type": "longrope"}},
    "Phi 4 mini": _LLAMA | {
        "model_type": "phi3", "embd_pdrop": 0.0, "full_attn_mod": 1, "interpolate_factor": 1, "lm_head_bias": False,
        "mlp_bias": False, "original_max_position_embeddings": 1024, "pad_token_id": 3, "partial_rotary_factor": 0.75,
        "resid_pdrop": 0.0, "rope_scaling": {"long_factor": [1.0] * 6, "short_factor": [1.0] * 6, "type": "longrope"},
        "sliding_window": 262144},
    "Apertus 8B": _LLAMA | {
        "model_type": "apertus", "architectures": ["ApertusForCausalLM"], "attention_bias": False,
        "hidden_act": "xielu", "mlp_bias": False, "pad_token_id": 3, "post_norm": False, "qk_norm": True,
        "rope_scaling": LLAMA3 | {"original_max_position_embeddings": 512, "factor": 8.0, "type": "llama3"},
        "tie_word_embeddings": False},
    "Granite 3.3": _LLAMA | {
        "model_type": "granite", "architectures": ["GraniteForCausalLM"], "attention_bias": False,
        "attention_multiplier": 0.015625, "embedding_multiplier": 12.0, "logits_scaling": 8.0, "mlp_bias": False,
        "pad_token_id": 0, "residual_multiplier": 0.22, "rope_scaling": None},
    "Granite 4.0 micro": _LLAMA | {
        "model_type": "granitemoehybrid", "architectures": ["GraniteMoeHybridForCausalLM"], "attention_bias": False,
        "attention_multiplier": 0.015625, "embedding_multiplier": 12, "init_method": "mup",
        "layer_types": ["attention"] * 2, "logits_scaling": 8, "mamba_chunk_size": 256, "mamba_conv_bias": True,
        "mamba_d_conv": 4, "mamba_d_head": 64, "mamba_d_state": 256, "mamba_expand": 2, "mamba_n_groups": 1,
        "mamba_n_heads": 2, "mamba_proj_bias": False, "normalization_function": "rmsnorm", "num_experts_per_tok": 0,
        "num_local_experts": 0, "output_router_logits": False, "pad_token_id": 0, "position_embedding_type": "rope",
        "residual_multiplier": 0.22, "rope_scaling": None, "router_aux_loss_coef": 0.01,
        "shared_intermediate_size": 128},
    "SmolLM3": _LLAMA | {
        "model_type": "smollm3", "architectures": ["SmolLM3ForCausalLM"], "attention_bias": False,
        "layer_types": ["full_attention"] * 2, "max_window_layers": 28, "mlp_bias": False, "no_rope_layer_interval": 4,
        "no_rope_layers": [1, 0], "pad_token_id": 3, "pretraining_tp": 2, "rope_scaling": None, "sliding_window": None,
        "use_sliding_window": False},
    "OLMo": {k: v for k, v in _LLAMA.items() if k != "rms_norm_eps"} | {
        "model_type": "olmo", "attention_bias": False, "clip_qkv": None, "pad_token_id": 1, "rope_scaling": None},
    "OLMo 2": _LLAMA | {"model_type": "olmo2", "architectures": ["Olmo2ForCausalLM"], "attention_bias": False,
                        "pad_token_id": 3, "rope_scaling": None, "tie_word_embeddings": False},
    "OLMo 3": _LLAMA | {
        "model_type": "olmo3", "architectures": ["Olmo3ForCausalLM"], "attention_bias": False, "pad_token_id": 3,
        "layer_types": ["sliding_attention", "full_attention"], "sliding_window": 512, "rope_scaling": {
            "attention_factor": 1.2079441541679836, "beta_fast": 32.0, "beta_slow": 1.0, "factor": 8.0,
            "original_max_position_embeddings": 512, "rope_type": "yarn"}},
    "EXAONE 4.0": _LLAMA | {
        "model_type": "exaone4", "architectures": ["Exaone4ForCausalLM"], "head_dim": 16, "pad_token_id": 0,
        "layer_types": ["full_attention"] * 2, "sliding_window": None, "sliding_window_pattern": None,
        "rope_scaling": LLAMA3 | {"original_max_position_embeddings": 512, "factor": 16.0, "low_freq_factor": 1.0}},
    "Hunyuan 1.8B": _LLAMA | {
        "model_type": "hunyuan_v1_dense", "architectures": ["HunYuanDenseV1ForCausalLM"], "attention_bias": False,
        "attention_head_dim": 16, "head_dim": 16, "mlp_bias": False, "norm_type": "rms", "pretraining_tp": 1,
        "pad_token_id": 3, "use_qk_norm": True, "use_cla": False, "rope_scaling": {
            "alpha": 1000.0, "beta_fast": 32, "beta_slow": 1, "factor": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0,
            "type": "dynamic"}},
    "ERNIE 4.5 0.3B": _LLAMA | {
        "model_type": "ernie4_5", "architectures": ["Ernie4_5ForCausalLM"], "head_dim": 16, "pad_token_id": 0,
        "use_bias": False},
    "GLM-Edge": _LLAMA | {
        "model_type": "glm", "architectures": ["GlmForCausalLM"], "attention_bias": False, "head_dim": 16,
        "partial_rotary_factor": 0.5, "pad_token_id": 3, "eos_token_id": [2, 3]},
    "GLM-4-0414": _LLAMA | {
        "model_type": "glm4", "architectures": ["Glm4ForCausalLM"], "attention_bias": True, "head_dim": 16,
        "partial_rotary_factor": 0.5, "pad_token_id": 3, "eos_token_id": [2, 3], "tie_word_embeddings": False},
    "Helium": _LLAMA | {
        "model_type": "helium", "architectures": ["HeliumForCausalLM"], "attention_bias": False, "head_dim": 16,
        "mlp_bias": False, "pad_token_id": 3, "tie_word_embeddings": False},
    "Aya Expanse": {k: v for k, v in _LLAMA.items() if k not in ("rms_norm_eps", "tie_word_embeddings")} | {
        "model_type": "cohere", "architectures": ["CohereForCausalLM"], "attention_bias": False,
        "layer_norm_eps": 1e-05, "logit_scale": 0.125, "model_max_length": 8192, "pad_token_id": 0,
        "use_qk_norm": False},
    "Command R7B": {k: v for k, v in _LLAMA.items() if k not in ("rms_norm_eps", "tie_word_embeddings")} | {
        "model_type": "cohere2", "architectures": ["Cohere2ForCausalLM"], "attention_bias": False,
        "cache_implementation": "hybrid", "head_dim": 16, "layer_norm_eps": 1e-05, "layer_switch": 4,
        "logit_scale": 0.25, "num_hidden_layers": 4, "order_of_interleaved_layers": "local_attn_first",
        "pad_token_id": 0, "position_embedding_type": "rope_gptj", "rope_scaling": None, "rotary_pct": 1.0,
        "sliding_window": 512, "sliding_window_pattern": 4, "use_embedding_sharing": True, "use_gated_activation": True,
        "use_parallel_block": True, "use_parallel_embedding": True},
    "AFM 4.5B": _LLAMA | {
        "model_type": "arcee", "architectures": ["ArceeForCausalLM"], "attention_bias": False, "head_dim": 16,
        "hidden_act": "relu2", "mlp_bias": False, "pad_token_id": 0, "rope_scaling": {
            "beta_fast": 32.0, "beta_slow": 1.0, "factor": 4.0, "mscale": 1.0, "original_max_position_embeddings": 256,
            "rope_type": "yarn", "type": "yarn"}},
    "StarCoder 2": {k: v for k, v in _LLAMA.items() if k not in ("rms_norm_eps", "tie_word_embeddings")} | {
        "model_type": "starcoder2", "architectures": ["Starcoder2ForCausalLM"], "embedding_dropout": 0.1,
        "hidden_act": "gelu_pytorch_tanh", "mlp_type": "default", "norm_epsilon": 1e-05, "norm_type": "layer_norm",
        "residual_dropout": 0.1, "sliding_window": 512, "use_bias": True, "attention_softmax_in_fp32": True,
        "scale_attention_softmax_in_fp32": True, "scale_attn_weights": True},
    "StableLM 2": {k: v for k, v in _LLAMA.items() if k != "rms_norm_eps"} | {
        "model_type": "stablelm", "architectures": ["StableLmForCausalLM"], "layer_norm_eps": 1e-05,
        "partial_rotary_factor": 0.25, "tie_word_embeddings": False, "use_qkv_bias": True},
    "Minitron": {k: v for k, v in _LLAMA.items() if k != "rms_norm_eps"} | {
        "model_type": "nemotron", "architectures": ["NemotronForCausalLM"], "attention_bias": False, "head_dim": 16,
        "hidden_act": "relu2", "mlp_bias": False, "norm_eps": 1e-05, "partial_rotary_factor": 0.5,
        "tie_word_embeddings": False},
    "Ministral": _LLAMA | {
        "model_type": "ministral", "architectures": ["MinistralForCausalLM"], "head_dim": 16,
        "layer_types": ["full_attention", "sliding_attention"], "sliding_window": 512, "tie_word_embeddings": False},
    "Ministral 3 3B": {k: v for k, v in _LLAMA.items() if k != "rope_theta"} | {
        "model_type": "ministral3", "head_dim": 16, "sliding_window": None, "max_position_embeddings": 8192,
        "rope_parameters": {
            "beta_fast": 32.0, "beta_slow": 1.0, "factor": 16.0, "llama_4_scaling_beta": 0.1, "mscale": 1.0,
            "mscale_all_dim": 1.0, "original_max_position_embeddings": 512, "rope_theta": 1e6, "rope_type": "yarn",
            "type": "yarn"}},
    # Of these two, what transformers' class writes.
    "HyperCLOVA X": _LLAMA | {
        "model_type": "hyperclovax", "attention_bias": False, "attention_multiplier": 0.01, "head_dim": 16,
        "embedding_multiplier": 10.0, "logits_scaling": 0.125, "mlp_bias": False, "residual_multiplier": 1.0,
        "use_post_norm": True, "pad_token_id": 0, "rope_scaling": None},
    "Jais 2 8B": {k: v for k, v in _LLAMA.items() if k != "rms_norm_eps"} | {
        "model_type": "jais2", "attention_bias": True, "head_dim": 16, "hidden_act": "relu2", "layer_norm_eps": 1e-05,
        "mlp_bias": True, "rope_scaling": None, "tie_word_embeddings": False},
    "Seed-OSS": _LLAMA | {
        "model_type": "seed_oss", "architectures": ["SeedOssForCausalLM"], "attention_bias": True,
        "attention_out_bias": False, "head_dim": 16, "mlp_bias": False, "pad_token_id": 1, "residual_dropout": 0.1,
        "rope_scaling": {"rope_type": "default"}, "tie_word_embeddings": False},
}  # fmt: skip
_HUNYUAN = {k: v for k, v in PUBLISHED["Hunyuan 1.8B"].items() if k not in ("norm_type", "use_cla")}
_PLAIN_STARCODER = {k: v for k, v in PUBLISHED["StarCoder 2"].items() if "fp32" not in k and "dropout" not in k}
# More files as they lie on the hub (docs/exporting.md#keys-and-tensors), which say more, or other things, of a family.
PUBLISHED |= {
    "Phi 3 mini": {k: v for k, v in PUBLISHED["Phi 3.5"].items() if k != "max_position_embeddings"} | {
        "max_position_embeddings": 1024, "original_max_position_embeddings": 1024, "rope_scaling": None,
        "sliding_window": 2047},
    "Phi 4 mini instruct": PUBLISHED["Phi 4 mini"] | {
        "_name_or_path": "Phi-4-mini-instruct", "architectures": ["Phi3ForCausalLM"], "attention_bias": False},
    "ERNIE 4.5 0.3B base": {k: v for k, v in PUBLISHED["ERNIE 4.5 0.3B"].items() if k != "attention_dropout"} | {
        "architectures": ["Ernie4_5_ForCausalLM"], "use_cache": False, "auto_map": {
            "AutoConfig": "configuration_ernie4_5.Ernie4_5_Config"}},
    "Hy-MT2 7B": PUBLISHED["Hunyuan 1.8B"] | {
        "add_classification_head": False, "attention_dropout": 0.1, "cla_share_factor": 2, "class_num": 0,
        "dense_list": [64, 0], "im_end_id": 5, "im_newline_id": 11, "im_start_id": 4, "mask_init_id": 12,
        "org_vocab_size": 400, "pad_id": 3, "pool_type": "last", "sep_token_id": 4, "text_end_id": 7,
        "text_start_id": 6, "use_rotary_pos_emb": True},
    "Hunyuan MT": _HUNYUAN | {"add_classification_head": False, "use_rotary_pos_emb": True},
    "StarCoder 2 15B": {k: v for k, v in _PLAIN_STARCODER.items() if k != "scale_attn_weights"} | {
        "_name_or_path": "/aot/checkpoints/15b/config.json", "rms_norm_eps": 1e-05, "tie_word_embeddings": False},
    "GLM-Edge 1.5B": PUBLISHED["GLM-Edge"] | {"eos_token_id": [1, 2, 3], "partial_rotary_factor": 1.0},
    "GLM-4 9B": {k: v for k, v in PUBLISHED["GLM-Edge"].items() if k != "partial_rotary_factor"} | {
        "attention_bias": True, "rms_norm_eps": 1.5625e-07, "tie_word_embeddings": False},
    "Nemotron Mini": {k: v for k, v in PUBLISHED["Minitron"].items() if k != "head_dim"} | {"kv_channels": 16},
    "Minitron, first": {k: v for k, v in PUBLISHED["Minitron"].items() if k != "partial_rotary_factor"} | {
        "rope_percent": 0.5, "rope_scaling": None},
    "Helium 1": PUBLISHED["Helium"] | {"pretraining_tp": 1, "rms_norm_eps": 1e-08},
    "OLMo 0724": PUBLISHED["OLMo"] | {"pretraining_tp": 1, "rms_norm_eps": 1e-05, "tie_word_embeddings": False},
    "SmolLM3, tuned": PUBLISHED["SmolLM3"] | {"bos_token_id": None, "model_name": "owner/SmolLM3"},
    "EXAONE 4.0 32B": {k: v for k, v in PUBLISHED["EXAONE 4.0"].items() if k != "layer_types"} | {
        "num_hidden_layers": 4, "sliding_window": 512, "sliding_window_pattern": 4, "tie_word_embeddings": False},
}  # fmt: skip


def read(folder: Path, written: dict[str, Any]) -> Any:
    """The configuration of a folder with this config.json alone."""
    if written["model_type"] in SUPPORTED and written["model_type"] not in CONFIG_MAPPING:
        pytest.skip(f"{written['model_type']} is not in this transformers: make test-next has it")
    (folder / "config.json").write_text(json.dumps(written))
    return find_source(str(folder)).config()


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_files_are_taken(name: str, tmp_path: Path) -> None:
    config = read(tmp_path, PUBLISHED[name])
    wanted = {**AutoConfig.from_pretrained(tmp_path).to_dict(), "_name_or_path": config._name_or_path}
    scaling = wanted.get("rope_scaling") or {}
    if kind := scaling.get("rope_type", scaling.get("type")):  # two names of one thing
        rest = {key: value for key, value in scaling.items() if key != "type"}
        wanted["rope_scaling"] = None if kind == "default" else rest | {"rope_type": kind}
    if NEXT and "rope_parameters" in wanted:
        wanted["rope_parameters"].pop("type", None)
    assert config.to_dict() == wanted


_KINDS = ("full_attention", "sliding_attention")
_TABLE = {"rope_type": "default", "rope_theta": 700.0}


@pytest.mark.parametrize(
    ("name", "change", "base", "width"),
    [
        ("Seed-OSS", {"rope_theta": 700.0}, 700.0, 16),
        ("Helium", {"rope_theta": 700.0}, 700.0, 16),
        ("Pythia", {"rotary_emb_base": 700.0}, 700.0, 4),
        ("GLM-Edge", {"rope_theta": 700.0}, 700.0, 8),
        ("Phi 1.5", {"rope_theta": 700.0, "partial_rotary_factor": 0.25}, 700.0, 4),
        ("StableLM 2", {"rope_theta": 700.0, "partial_rotary_factor": 0.5}, 700.0, 8),
        ("Gemma 3", {"rope_theta": 700.0, "rope_local_base_freq": 700.0}, 700.0, 32),
        ("Gemma 3", {"rope_parameters": dict.fromkeys(_KINDS, _TABLE), "rope_theta": None,
                     "rope_local_base_freq": None, "rope_scaling": None}, 700.0, 32),
        ("OLMo 3", {"rope_theta": 700.0, "rope_scaling": None}, 700.0, 16),
        ("OLMo 3", {"rope_parameters": dict.fromkeys(_KINDS, _TABLE), "rope_theta": None, "rope_scaling": None}, 700.0,
         16),
    ],
)  # fmt: skip
def test_models_turn_by_the_base_of_the_file(
    name: str, change: dict[str, Any], base: float, width: int, tmp_path: Path
) -> None:
    """All layers, whatever transformers makes of the keys: by hand."""
    config = read(tmp_path, PUBLISHED[name] | change)
    model = AutoModelForCausalLM.from_config(config)
    made = [buffer for buffer_name, buffer in model.named_buffers() if buffer_name.endswith("inv_freq")]
    if not made:  # OLMo 3 keeps them where they are no buffers of the model
        made = [part.inv_freq for part in model.model.rotary_embs.values()]
    for frequencies in made:
        torch.testing.assert_close(frequencies, base ** (-torch.arange(0, width, 2) / width))


def test_every_family_has_a_published_file() -> None:
    assert {written["model_type"] for written in PUBLISHED.values()} == set(SUPPORTED)


def test_what_training_tools_add_is_taken(tmp_path: Path) -> None:
    read(tmp_path, PUBLISHED["Llama 3.2"] | {
        "unsloth_version": "2025.1", "_attn_implementation_autoset": True, "neftune_noise_alpha": 5, "dtype": "float32",
        "logits_scaling": 1.0, "num_experts": 0, "model_max_length": 2048,
        "sliding_window": 1024, "fp16": True, "bf16": True, "fp32": True, "use_flash_attention": True,
        "position_embedding_type": "rope", "num_key_value_groups": 2, "rope_scaling_factor": 1.0,
        "num_nextn_predict_layers": 0, "image_token_id": 5, "use_wandb": False, "qk_layernorm": False,
    })  # fmt: skip
    read(tmp_path, PUBLISHED["GPT-2"] | {"n_special": 0, "num_attention_heads": 4})


def test_a_quantization_that_is_null_is_none(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_folder("llama"), tmp_path / "m"))
    said = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(said | {"quantization_config": None}))
    assert torch.equal(logits(find_source(str(folder)).model()), logits(tiny_model("llama")))


@pytest.mark.parametrize("key", ["_sliding_window_pattern", "sliding_window_pattern"])
def test_either_name_of_gemma_3s_pattern_is_read(key: str, tmp_path: Path) -> None:
    written = {k: v for k, v in PUBLISHED["Gemma 3"].items() if "pattern" not in k}
    config = read(tmp_path, written | {key: 2, "num_hidden_layers": 4})
    assert config.layer_types == ["sliding_attention", "full_attention"] * 2


def test_exaones_pattern_may_be_letters(tmp_path: Path) -> None:
    config = read(tmp_path, PUBLISHED["EXAONE 4.0 32B"] | {"sliding_window_pattern": "LLLG"})
    assert config.sliding_window_pattern == 4
    assert config.layer_types == ["sliding_attention"] * 3 + ["full_attention"]
    with pytest.raises(ExportError, match="cannot be loaded"):
        read(tmp_path, PUBLISHED["EXAONE 4.0 32B"] | {"sliding_window_pattern": "GLLL"})


def test_a_published_wrapper_is_taken(tmp_path: Path) -> None:
    """Gemma 3 with images, as transformers 4.54 wrote it."""
    left_out = {"bos_token_id", "eos_token_id", "cache_implementation", "pad_token_id", "use_bidirectional_attention"}
    text = {k: v for k, v in PUBLISHED["Gemma 3"].items() if "pattern" not in k and k not in left_out}
    text |= {"layer_types": ["sliding_attention", "full_attention"], "rope_scaling": {
        "factor": 8.0, "rope_type": "linear"}}  # fmt: skip
    vision = {"attention_dropout": 0.0, "hidden_act": "gelu_pytorch_tanh", "hidden_size": 32, "image_size": 28,
              "intermediate_size": 64, "layer_norm_eps": 1e-06, "model_type": "siglip_vision_model",
              "num_attention_heads": 2, "num_channels": 3, "num_hidden_layers": 1, "patch_size": 14,
              "torch_dtype": "bfloat16", "vision_use_head": False}  # fmt: skip
    config = read(tmp_path, {
        "architectures": ["Gemma3ForConditionalGeneration"], "boi_token_index": 398, "eoi_token_index": 397,
        "eos_token_id": [1, 106], "image_token_index": 399, "initializer_range": 0.02, "mm_tokens_per_image": 4,
        "model_type": "gemma3", "text_config": text, "torch_dtype": "bfloat16",
        "transformers_version": "4.54.0.dev0", "vision_config": vision,
    })  # fmt: skip
    assert config.model_type == "gemma3_text" and config.layer_types == ["sliding_attention", "full_attention"]


def test_scores_without_a_scale(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_folder("gpt2"), tmp_path / "m"))
    settings = {"scale_attn_weights": False, "scale_attn_by_inverse_layer_idx": False}
    configure(folder, **settings)
    bundle = export_bundle(find_source(str(folder)), tmp_path / "b", SUMMARY, force=False, progress=lambda *_: None)
    judge, twin = Judge.load(bundle), remade(tiny_model("gpt2"), **settings)
    prompt = [*judge.manifest.prompt.prefix_ids, 7, 8, 9]
    reference = reference_log_odds(twin, [prompt], judge.manifest.prompt.label_ids)
    assert abs(judge.log_odds_of([prompt])[0] - reference[0]) < 1e-3


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("Llama 3.2", {"logit_scale": 0.25}, "says logit_scale = 0.25, which a llama model does not have"),
        ("Llama 3.2", {"embedding_multiplier": 12.0}, "says embedding_multiplier"),
        ("Llama 3.2", {"sliding_window": 40}, "says sliding_window = 40"),
        ("Llama 3.2", {"layer_types": ["full_attention", "sliding_attention"]}, "says layer_types"),
        ("Llama 3.2", {"qk_layernorm": True}, "says qk_layernorm"),
        ("Llama 3.2", {"rope_interleaved": True}, "says rope_interleaved"),
        ("Llama 3.2", {"final_logit_softcapping": 30.0}, "says final_logit_softcapping"),
        ("Llama 3.2", {"rms_norm_epsilon": 1e-3}, "says rms_norm_epsilon"),
        ("Llama 3.2", {"rope_thetta": 1e4}, "says rope_thetta"),
        ("Llama 3.2", {"is_causal": False}, "says is_causal"),
        ("Llama 3.2", {"num_local_experts": 8}, "says num_local_experts"),
        ("Llama 3.2", {"quantization": {"bits": 4}}, "says quantization"),
        ("Llama 3.2", {"transformers_weights": "other.safetensors"}, "says transformers_weights"),
        ("Llama 3.2", {"architectures": ["LlamaForTokenClassification"]}, "a reward, classification or other model"),
        ("Llama 3.2", {"architectures": ["LlamaForSequenceClassification"]}, "with 2 labels (num_labels, id2label in"),
        ("Llama 3.2", {"tie_word_embeddings": "false"}, "tie_word_embeddings = 'false', which must be true or false"),
        ("Llama 3.2", {"rope_theta": "10000"}, "rope_theta = '10000', which must be a number"),
        ("Llama 3.2", {"hidden_act": 3}, "hidden_act = 3, which must be text"),
        ("Llama 3.2", {"rope_scaling": {"rope_type": "linear"}}, "factor"),
        ("Llama 3.2", {"rope_scaling": {"kind": "linear", "factor": 4.0}}, ""),
        ("Llama 3.2", {"rope_scaling": {"type": "linear", "factor": 4.0, "mrope_section": 1}}, "has no mrope_section"),
        ("Llama 3.2", {"rope_scaling": {"type": "default", "factor": 4.0}}, "has no factor"),
        ("Llama 3.2", {"rope_scaling": {"rope_type": "yarnn", "factor": 4.0}}, ""),
        ("Llama 3.2", {"rope_scaling": 4.0}, ""),
        ("Llama 3.2", {"rope_parameters": {"rope_type": "longrope", "rope_theta": 1e4}}, "longrope"),
        ("Qwen 3", {"rope_parameters": {"rope_theta": 5e5, "partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
        ("Llama 3.2", {"rope_parameters": 3}, "which is no table"),
        ("Llama 3.2", {"model_type": None}, "says no model_type"),
        ("Gemma 2", {"hidden_act": "gelu"}, "says hidden_act = 'gelu'"),
        ("Gemma 2", {"sliding_window_size": 40}, "says sliding_window_size = 40"),
        ("Pythia", {"head_dim": 32}, "says head_dim = 32"),
        ("Pythia", {"rope_theta": 500}, "says rotary_emb_base = 10000 and rope_theta = 500"),
        ("GPT-2", {"num_attention_heads": 2}, "says num_attention_heads = 2 and n_head = 4"),
        ("GPT-2", {"num_hidden_layers": 3}, "says num_hidden_layers = 3 and n_layer = 2"),
        ("Hy-MT2 7B", {"add_classification_head": True}, "says add_classification_head = True"),
        ("Hy-MT2 7B", {"use_cla": True}, "says use_cla = True"),
        ("Hy-MT2 7B", {"dense_list": [64, 2]}, "says dense_list"),
        ("Hy-MT2 7B", {"org_vocab_size": 300}, "says org_vocab_size = 300"),
        ("Nemotron Mini", {"kv_channels": 32}, "says kv_channels = 32"),
        ("Minitron, first", {"rope_percent": 1.0}, "says rope_percent = 1.0"),
        ("StarCoder 2 15B", {"rms_norm_eps": 1e-3}, "says rms_norm_eps = 0.001"),
        ("OLMo 0724", {"rms_norm_eps": 1e-6}, "says rms_norm_eps = 1e-06"),
        ("ERNIE 4.5 0.3B", {"architectures": ["Ernie4_5_MoeForCausalLM"]}, "not Ernie4_5ForCausalLM"),
        *((n, {"rope_scaling": v}, "rope_scaling") for n in ("GPT-2", "Gemma", "Gemma 2", "Mistral 0.1", "Llama 3.2")
          for v in ("linear", [1], 5, True)),
        *(("Llama 3.2", {key: value}, f"says {key}") for key, value in {
            "output_multiplier": 0.5, "output_scale": 2, "output_logit_softcap": 30.0, "window_tokens": 4,
            "training_rope_scaling": {"factor": 2}, "logit_dropout_scale": 0.5, "sliding_window_tokens": 4,
            "global_token_ids": [1], "_attn_logit_softcapping": 50.0, "_sliding_window": 3, "use_rope": False,
            "_rope_scaling": {"factor": 2}, "rope": False, "rotary": False, "add_final_norm": False, "pre_norm": False,
            "position_embedding_type": "alibi", "num_key_value_groups": 4, "rope_scaling_factor": 2.0,
            "num_nextn_predict_layers": 1}.items()),
        *(("Llama 3.2", {"architectures": [value]}, f"says '{value}', not LlamaForCausalLM") for value in (
            "LlamaForCausalLMWithValueHead", "AutoModelForCausalLMWithValueHead", "LlamaBiModel", "LlamaEncoderModel",
            "LlamaPRM", "GraniteForCausalLM")),
        ("Llama 3.2", {"architectures": "LlamaForCausalLM"}, "which is no list"),
        *((n, {"rope_scaling": {"rope_type": t, "factor": 4.0, "rope_theta": 5e6}}, "says rope_theta in two places")
          for n in ("Llama 3.2", "Gemma 3", "Mistral 0.1") for t in ("linear", "yarn")),
        ("Llama 3.2", {"rope_scaling": {"rope_type": "default", "rope_theta": 1e4}}, "says rope_theta in two places"),
        ("Llama 3.2", {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}, "says rope_scaling in two"),
        ("Qwen 3", {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}, "says rope_theta in two places"),
        ("Gemma 3", {"rope_parameters": {"full_attention": {"rope_theta": 1e6}, "sliding_attention": {}}},
         "says rope_theta in two places"),
        ("Gemma 3", {"rope_parameters": {"full_attention": {}, "sliding_attention": {"rope_theta": 1e6}}},
         "says rope_local_base_freq in two places"),
        ("Llama 3.2", {"rope_scaling": {"type": "linear", "rope_type": "yarn", "factor": 4.0}}, "kind of its rope"),
        *(("Gemma", {"rope_scaling": {"rope_type": "linear", "factor": v}}, "factor") for v in (-4.0, True, 0, None)),
        ("Llama 3.2", {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "attention_factor": 0.0}},
         "attention_factor = 0.0 in rope_scaling, which must be a positive number"),
        ("Llama 3.2", {"rope_scaling": LLAMA3 | {"low_freq_factor": 8.0}}, "low_freq_factor in rope_scaling"),
        ("Llama 3.2", {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "beta_slow": 40}}, "less than beta_fast"),
        *(("Llama 3.2", {"rms_norm_eps": v}, "rms_norm_eps = ") for v in (None, -1)),
        ("Qwen 3", {"max_position_embeddings": None}, "max_position_embeddings = null, which must be a number"),
        *(("Mistral 0.1", {"sliding_window": v}, f"says sliding_window = {v}, which must") for v in (0, -1)),
        ("Gemma 3", {"_sliding_window_pattern": 2}, "sliding_window_pattern = 2 and 6, not one whole number"),
    ],
)  # fmt: skip
def test_what_nobody_reads_is_refused(name: str, change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError) as raised:
        read(tmp_path, PUBLISHED[name] | change)
    said = str(raised.value)
    by_class = NEXT and f"Validation error for field '{next(iter(change))}'" in said  # it checks some kinds itself
    assert said.startswith(f"{tmp_path.name}: ") and (reason in said or by_class) and len(said.splitlines()) == 1, said


@pytest.mark.parametrize(
    ("name", "new", "settings"),
    [
        ("llama", {"rope_type": "default", "rope_theta": 500.0}, {"rope_theta": 500.0}),
        ("llama", {"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0},
         {"rope_theta": 500.0, "rope_scaling": {"rope_type": "linear", "factor": 4.0}}),
        ("gpt-neox", {"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 0.5},
         {"rotary_emb_base": 500.0, "rotary_pct": 0.5}),
        ("phi", {"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 0.25},
         {"rope_theta": 500.0, "partial_rotary_factor": 0.25}),
        ("gemma3", {"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 2e6},
                    "sliding_attention": {"rope_type": "default", "rope_theta": 500.0}},
         {"rope_theta": 2e6, "rope_local_base_freq": 500.0, "rope_scaling": {"rope_type": "linear", "factor": 8.0}}),
    ],
)  # fmt: skip
def test_rotary_positions_as_transformers_5_writes_them(
    name: str, new: dict[str, Any], settings: dict[str, Any], tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_folder(name), tmp_path / "model"))
    old = {
        "rope_theta",
        "rope_scaling",
        "rotary_emb_base",
        "rotary_pct",
        "partial_rotary_factor",
        "rope_local_base_freq",
    }
    configure(folder, **dict.fromkeys(old), rope_parameters=new)
    base = tiny_model(name)
    made, twin = logits(find_source(str(folder)).model()), logits(remade(base, **settings))
    assert torch.allclose(made, twin, atol=1e-5) and not torch.allclose(made, logits(base), atol=1e-2)


@pytest.mark.parametrize("name", ["gemma3", "llama", "mistral", "gemma2"])
def test_an_old_table_may_have_the_new_names(name: str, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """Its kind as "type", and the base beside it."""
    folder = Path(shutil.copytree(tiny_folder(name), tmp_path / "model"))
    configure(
        folder,
        rope_theta=None,
        rope_parameters=None,
        rope_scaling={"type": "linear", "factor": 4.0, "rope_theta": 500.0},
    )
    twin = remade(tiny_model(name), rope_theta=500.0, rope_scaling={"rope_type": "linear", "factor": 4.0})
    assert torch.allclose(logits(find_source(str(folder)).model()), logits(twin), atol=1e-5)


@pytest.mark.parametrize("named", [["LLaMAForCausalLM"], ["LlamaModel"], ["PeftModelForCausalLM"], [], None])
def test_other_names_of_the_class_are_taken(named: list[str] | None, tmp_path: Path) -> None:
    read(tmp_path, PUBLISHED["Llama 3.2"] | {"architectures": named})


def test_how_results_are_handed_over_is_not_the_models(tmp_path: Path) -> None:
    assert read(tmp_path, PUBLISHED["Llama 3.2"] | {"return_dict": False}).return_dict


def test_either_name_of_gpt_neox_is_read(tmp_path: Path) -> None:
    written = {k: v for k, v in PUBLISHED["Pythia"].items() if k not in ("rotary_emb_base", "rotary_pct")}
    config = read(tmp_path, written | {"rope_theta": 500, "partial_rotary_factor": 0.5})
    found = [value_of(config, key) for key in ("rope_theta", "rotary_emb_base", "rotary_pct", "partial_rotary_factor")]
    assert found == [500, 500, 0.5, 0.5]


def test_gemmas_activation_has_two_names(tmp_path: Path) -> None:
    written = PUBLISHED["Gemma"] | {"hidden_act": "gelu", "hidden_activation": "gelu_pytorch_tanh"}
    assert read(tmp_path, written).hidden_act == "gelu_pytorch_tanh"


ODD = {
    "hidden_act": "siluu", "num_attention_heads": 3, "num_attention_heads ": 4, "hidden_size": [64], "head_dim": "16",
    "num_hidden_layers": -1, "num_key_value_heads": "2", "vocab_size": 0, "pad_token_id": 4000,
    "rope_scaling": {"rope_type": "linear", "factor": "four"},
}  # fmt: skip


@pytest.mark.parametrize("key", ODD)
def test_odd_values_are_one_line(key: str, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """Whatever transformers trips over."""
    folder = Path(shutil.copytree(tiny_folder("llama"), tmp_path / "m"))
    configure(folder, **{key: ODD[key]})
    with pytest.raises(ExportError, match=r"^m: [^\n]+$"):
        find_source(str(folder)).model()


def test_check_supported_comes_first(tmp_path: Path) -> None:
    written = PUBLISHED["Llama 3.2"] | {"quantization_config": {"quant_method": "gptq", "bits": 4}}
    with pytest.raises(ExportError, match="quantized already"):
        read(tmp_path, written)


def test_a_configuration_is_held_to_its_own_file() -> None:
    config = AutoConfig.for_model(**deepcopy(PUBLISHED["Qwen 3"]))
    check_supported(config, "m")
    apply_keys(config, PUBLISHED["Qwen 3"], "m")

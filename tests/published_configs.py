"""The config.json of published models: their keys as they stand there, sizes cut down."""

from __future__ import annotations

from typing import Any

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

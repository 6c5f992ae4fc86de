"""Tiny random models of every supported family: real classes of transformers, seconds to make."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from rlaif_fast_export.sources.families import needs_eager
from tests.chat_templates import CHATS, Chat

torch.set_num_threads(1)  # tiny products: more threads only wait for each other

VOCABULARY = 400
CONTEXT = 1024
_GROUPED = {"num_key_value_heads": 2}
_COMMON: dict[str, Any] = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT, "initializer_range": 0.3,
}  # fmt: skip
_PADDED = {"pad_token_id": 2}  # where the class would take one beyond this vocabulary
_WINDOWS = {"sliding_window": 40, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}

# name -> (family as in rlaif_fast_export.sources.families, configuration class, model class, what is particular)
FAMILIES: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "phi": ("phi", "PhiConfig", "PhiForCausalLM", {"hidden_size": 128, "partial_rotary_factor": 0.5}),
    "phi-odd-rotary": ("phi", "PhiConfig", "PhiForCausalLM", {"partial_rotary_factor": 0.5, "qk_layernorm": True}),
    "llama": ("llama", "LlamaConfig", "LlamaForCausalLM", _GROUPED),
    "llama-rope-scaled": ("llama", "LlamaConfig", "LlamaForCausalLM", {
        "rope_scaling": {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                         "original_max_position_embeddings": 256}, "attention_bias": True, "mlp_bias": True}),
    "qwen2": ("qwen2", "Qwen2Config", "Qwen2ForCausalLM", _GROUPED),
    "qwen3": ("qwen3", "Qwen3Config", "Qwen3ForCausalLM", {"head_dim": 32, **_GROUPED}),
    "mistral": ("mistral", "MistralConfig", "MistralForCausalLM", {"sliding_window": 40, **_GROUPED}),
    "gemma": ("gemma", "GemmaConfig", "GemmaForCausalLM", {"head_dim": 32, **_GROUPED}),
    "gemma2": ("gemma2", "Gemma2Config", "Gemma2ForCausalLM", {"head_dim": 32, **_WINDOWS, **_GROUPED}),
    "gemma3": ("gemma3_text", "Gemma3TextConfig", "Gemma3ForCausalLM", {"head_dim": 32, **_WINDOWS, **_GROUPED}),
    "gpt-neox": ("gpt_neox", "GPTNeoXConfig", "GPTNeoXForCausalLM", {"rotary_pct": 0.25}),
    "gpt-neox-sequential": ("gpt_neox", "GPTNeoXConfig", "GPTNeoXForCausalLM", {
        "rotary_pct": 1.0, "use_parallel_residual": False}),
    "gpt2": ("gpt2", "GPT2Config", "GPT2LMHeadModel", {"scale_attn_by_inverse_layer_idx": True}),
}  # fmt: skip
# The same of families that share all they are made of with those above but for what is switched on here: the tests of
# other rooms do without them.
MORE_FAMILIES: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "phi3": ("phi3", "Phi3Config", "Phi3ForCausalLM", {  # q, k, v in one; gate and up in one; half of each head turns
        "head_dim": 32, "hidden_size": 128, "partial_rotary_factor": 0.5, "sliding_window": 40, **_PADDED, **_GROUPED}),
    "phi3-long": ("phi3", "Phi3Config", "Phi3ForCausalLM", {
        "max_position_embeddings": 4 * CONTEXT, "original_max_position_embeddings": CONTEXT, **_PADDED,
        "rope_scaling": {"type": "longrope", "short_factor": [1.0 + 0.1 * n for n in range(8)],
                         "long_factor": [2.0 + n for n in range(8)]}}),
    "llama-dynamic": ("llama", "LlamaConfig", "LlamaForCausalLM", {
        "rope_scaling": {"rope_type": "dynamic", "factor": 4.0}, **_GROUPED}),
    "apertus": ("apertus", "ApertusConfig", "ApertusForCausalLM", {**_PADDED, **_GROUPED}),
    "granite": ("granite", "GraniteConfig", "GraniteForCausalLM", {
        "embedding_multiplier": 3.0, "residual_multiplier": 0.4, "attention_multiplier": 0.1, "logits_scaling": 4.0,
        "attention_bias": True, "mlp_bias": True, **_GROUPED}),
    "granite4": ("granitemoehybrid", "GraniteMoeHybridConfig", "GraniteMoeHybridForCausalLM", {
        "embedding_multiplier": 3.0, "residual_multiplier": 0.4, "attention_multiplier": 0.1, "logits_scaling": 4.0,
        "num_local_experts": 0, "num_experts_per_tok": 0, "shared_intermediate_size": 96,
        "layer_types": ["attention"] * 3, "position_embedding_type": "rope", **_GROUPED}),
    "smollm3": ("smollm3", "SmolLM3Config", "SmolLM3ForCausalLM", {  # the last layer has no rotary positions
        "no_rope_layers": [1, 1, 0], "pretraining_tp": 1, **_PADDED, **_GROUPED}),
    "olmo": ("olmo", "OlmoConfig", "OlmoForCausalLM", _PADDED),
    "olmo2": ("olmo2", "Olmo2Config", "Olmo2ForCausalLM", {**_PADDED, **_GROUPED}),
    "olmo3": ("olmo3", "Olmo3Config", "Olmo3ForCausalLM", {**_WINDOWS, **_PADDED, **_GROUPED, "rope_scaling": {
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256, "attention_factor": 1.2,
        "beta_fast": 32.0, "beta_slow": 1.0}}),
    "exaone4": ("exaone4", "Exaone4Config", "Exaone4ForCausalLM", {**_WINDOWS, **_GROUPED}),
    "hunyuan": ("hunyuan_v1_dense", "HunYuanDenseV1Config", "HunYuanDenseV1ForCausalLM", {
        "head_dim": 32, "rope_scaling": {"type": "dynamic", "alpha": 50.0, "factor": 1.0}, **_GROUPED}),
    "ernie4_5": ("ernie4_5", "Ernie4_5Config", "Ernie4_5ForCausalLM", {"head_dim": 32, "use_bias": True, **_GROUPED}),
    "glm": ("glm", "GlmConfig", "GlmForCausalLM", {
        "head_dim": 32, "partial_rotary_factor": 0.5, "attention_bias": True, **_PADDED, **_GROUPED}),
    "glm4": ("glm4", "Glm4Config", "Glm4ForCausalLM", {
        "head_dim": 32, "partial_rotary_factor": 0.5, "attention_bias": True, **_PADDED, **_GROUPED}),
    "helium": ("helium", "HeliumConfig", "HeliumForCausalLM", {"head_dim": 16, **_GROUPED}),
    "cohere": ("cohere", "CohereConfig", "CohereForCausalLM", {
        "logit_scale": 0.25, "use_qk_norm": True, **_GROUPED}),
    "cohere2": ("cohere2", "Cohere2Config", "Cohere2ForCausalLM", {"logit_scale": 0.25, "head_dim": 32, **_WINDOWS,
                "layer_types": ["sliding_attention", "sliding_attention", "full_attention"], **_GROUPED}),
    "arcee": ("arcee", "ArceeConfig", "ArceeForCausalLM", {"head_dim": 16, **_GROUPED}),
    "starcoder2": ("starcoder2", "Starcoder2Config", "Starcoder2ForCausalLM", {
        "sliding_window": 40, "use_bias": True, **_GROUPED}),
    "stablelm": ("stablelm", "StableLmConfig", "StableLmForCausalLM", {
        "hidden_size": 128, "partial_rotary_factor": 0.5, "use_qkv_bias": True, "use_parallel_residual": True,
        **_GROUPED}),
    "nemotron": ("nemotron", "NemotronConfig", "NemotronForCausalLM", {
        "hidden_size": 128, "partial_rotary_factor": 0.5, "attention_bias": True, "mlp_bias": True, **_GROUPED}),
    "ministral": ("ministral", "MinistralConfig", "MinistralForCausalLM", {"head_dim": 32, **_WINDOWS, **_GROUPED}),
    "ministral3": ("ministral3", "Ministral3Config", "Ministral3ForCausalLM", {
        "head_dim": 32, "max_position_embeddings": 4 * CONTEXT, **_PADDED, **_GROUPED, "rope_parameters": {
            "rope_type": "yarn", "rope_theta": 500.0, "factor": 4.0, "original_max_position_embeddings": CONTEXT,
            "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1}}),
    "hyperclovax": ("hyperclovax", "HyperCLOVAXConfig", "HyperCLOVAXForCausalLM", {
        "embedding_multiplier": 3.0, "residual_multiplier": 0.4, "attention_multiplier": 0.1, "logits_scaling": 4.0,
        "head_dim": 32, "attention_bias": True, "mlp_bias": True, "use_post_norm": True, **_GROUPED}),
    "jais2": ("jais2", "Jais2Config", "Jais2ForCausalLM", {"head_dim": 32, **_GROUPED}),
    "seed_oss": ("seed_oss", "SeedOssConfig", "SeedOssForCausalLM", {
        "head_dim": 32, "attention_bias": True, "attention_out_bias": True, "mlp_bias": True, **_GROUPED}),
}  # fmt: skip
ALL_FAMILIES = FAMILIES | MORE_FAMILIES


def has_class(name: str) -> bool:
    """Whether the transformers that is installed has the family."""
    return hasattr(transformers, ALL_FAMILIES[name][2])


def tiny_model(name: str, **more: Any) -> Any:
    """A seeded random model in fp32, biases and norm scales not the identity. ``more`` is for its config."""
    _, config_class, model_class, particular = ALL_FAMILIES[name]
    if not has_class(name):
        pytest.skip(f"{model_class} is not in transformers {transformers.__version__}: make test-next has it")
    torch.manual_seed(7)
    settings = _COMMON | {"vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": 1} | particular | more
    settings = deepcopy(settings)  # transformers 5 writes into tables that it is given
    model = getattr(transformers, model_class)(getattr(transformers, config_class)(**settings)).eval()
    if needs_eager(model.config):
        model.set_attn_implementation("eager")
    for name_, parameter in model.named_parameters():
        if parameter.dim() == 1:
            parameter.data.add_(0.1 * torch.randn_like(parameter))
        elif name_.endswith("wpe.weight"):  # GPT-2's positions would drown the tokens
            parameter.data.mul_(0.3)
    return model.float()  # Apertus makes some in bfloat16, and loads them so


def tiny_tokenizer(kind: str = "bytes", chat: str | None = None) -> Any:
    """A tokenizer trained on a paragraph: byte-level BPE (GPT-2's kind), or one of SentencePiece's kinds with ▁.

    ``sentencepiece`` puts ▁ before every stretch between special tokens, ``metaspace`` before the text only.
    With ``chat``, one of CHATS, it has that chat template and its tokens.
    """
    style = CHATS[chat] if chat else Chat("", ())
    special = ["<s>", "</s>", "<|im_end|>", *(token for token in style.tokens if token not in ("</s>", "<|im_end|>"))]
    if kind == "bytes":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<s>"))
        if kind == "metaspace":
            tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
        else:
            tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        alphabet = sorted(set(_TEXT) | set("▁0123456789"))
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator([_TEXT], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    written = json.loads(tokenizer.to_str())
    for token in written["added_tokens"]:
        token["special"] = token["content"] not in style.not_special
        token["rstrip"] = token["content"] in style.not_special  # as Phi-3's
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(written)), bos_token="<s>", eos_token="</s>",
        additional_special_tokens=["<|im_end|>"], chat_template=style.template or None,
    )  # fmt: skip


def save_tiny(
    name: str, folder: Path, tokenizer: str = "bytes", chat: str | None = None, dtype: torch.dtype = torch.float32,
    **more: Any,
) -> Path:  # fmt: skip
    """The model and its tokenizer as a Hugging Face folder. ``more`` is for its config."""
    tiny_model(name, **more).to(dtype).save_pretrained(folder)
    tiny_tokenizer(tokenizer, chat).save_pretrained(folder)
    return folder


_TEXT = (
    "A good summary is coherent, accurate, covers the main ideas, and maintains overall quality. You are an expert "
    "rater. Given a text and two possible summaries, output 1 or 2 to indicate which is better. Text - Summary 1 - "
    "Summary 2 - Preferred Summary= The quick brown fox jumps over the lazy dog, while seven wizards brew hot jam. "
)

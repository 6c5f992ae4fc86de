"""Tiny random models of every supported family: real classes of transformers, seconds to make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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


def tiny_model(name: str, **more: Any) -> Any:
    """A seeded random model in fp32, biases and norm scales not the identity. ``more`` is for its config."""
    _, config_class, model_class, particular = FAMILIES[name]
    torch.manual_seed(7)
    settings = _COMMON | {"vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": 1} | particular | more
    model = getattr(transformers, model_class)(getattr(transformers, config_class)(**settings)).eval()
    if needs_eager(model.config):
        model.set_attn_implementation("eager")
    for name_, parameter in model.named_parameters():
        if parameter.dim() == 1:
            parameter.data.add_(0.1 * torch.randn_like(parameter))
        elif name_.endswith("wpe.weight"):  # GPT-2's positions would drown the tokens
            parameter.data.mul_(0.3)
    return model


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

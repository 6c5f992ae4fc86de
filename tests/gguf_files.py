"""Tiny models written as .gguf by the format's own library, as llama.cpp's converter writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from rlaif_fast_export.sources.rotary_config import value_of
from tests.families import tiny_tokenizer

# a family of tests/families.py -> llama.cpp's architecture
ARCHITECTURES = {
    "llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma2": "gemma2", "gemma3": "gemma3", "gpt2": "gpt2",
}  # fmt: skip


def keys_of(config: Any) -> dict[str, Any]:
    """The architecture's metadata, without its prefix."""
    if config.model_type == "gpt2":
        return {
            "context_length": config.n_positions, "embedding_length": config.n_embd, "block_count": config.n_layer,
            "feed_forward_length": config.n_inner or 4 * config.n_embd, "attention.head_count": config.n_head,
            "attention.layer_norm_epsilon": config.layer_norm_epsilon,
        }  # fmt: skip
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    keys = {
        "context_length": config.max_position_embeddings, "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers, "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads, "attention.head_count_kv": config.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps, "rope.freq_base": value_of(config, "rope_theta"),
        "attention.key_length": size, "attention.value_length": size,
    }  # fmt: skip
    if config.model_type == "llama":
        keys |= {"rope.dimension_count": size, "vocab_size": config.vocab_size}
    if config.model_type.startswith("gemma"):
        keys["attention.sliding_window"] = config.sliding_window
    if config.model_type == "gemma2":
        keys |= {
            "attn_logit_softcapping": config.attn_logit_softcapping,
            "final_logit_softcapping": config.final_logit_softcapping,
        }
    return keys


def tensors_of(model: Any) -> dict[str, npt.NDArray[np.float32]]:
    """Names and values as llama.cpp's converter makes them of a state dict."""
    config, found = model.config, {}
    kind = "gemma3" if config.model_type == "gemma3_text" else config.model_type
    architecture = {name: number for number, name in gguf.MODEL_ARCH_NAMES.items()}[kind]
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    tied = config.tie_word_embeddings
    for name, value in model.state_dict().items():
        stem, _, suffix = name.rpartition(".")
        new = names.get_name(stem)
        if new is None or (new == "output" and tied):
            continue
        array = value.numpy()
        if kind == "llama" and new.endswith(("attn_q", "attn_k")):  # llama.cpp rotates neighbours, not halves
            heads = config.num_attention_heads if new.endswith("q") else config.num_key_value_heads
            array = array.reshape(heads, 2, -1, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)
        if kind in ("gemma2", "gemma3") and stem.endswith("norm"):
            array = array + 1
        if kind == "gpt2" and array.ndim == 2 and ".h." in name:
            array = array.T
        found[f"{new}.{suffix}"] = np.ascontiguousarray(array)
    return found


def write_gguf(
    path: Path, model: Any, *, keys: dict[str, Any] | None = None, general: dict[str, Any] | None = None,
    tensors: dict[str, npt.NDArray[np.float32] | None] | None = None,
) -> Path:  # fmt: skip
    """``model`` with a tiny tokenizer. ``keys`` and ``tensors`` are changed or added; None takes one out."""
    kind = "gemma3" if model.config.model_type == "gemma3_text" else model.config.model_type
    writer = gguf.GGUFWriter(path, kind)
    for key, value in {**{f"{kind}.{k}": v for k, v in (keys_of(model.config) | (keys or {})).items()},
                       **(general or {})}.items():  # fmt: skip
        _add(writer, key, value)
    backend = json.loads(tiny_tokenizer().backend_tokenizer.to_str())
    tokens = sorted(backend["model"]["vocab"], key=backend["model"]["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if i < 3 else 1 for i in range(len(tokens))])
    writer.add_token_merges([" ".join(m) if isinstance(m, list) else m for m in backend["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    for name, value in (tensors_of(model) | (tensors or {})).items():
        if value is not None:
            writer.add_tensor(name, np.ascontiguousarray(value, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if value is None:
        return
    kinds = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string,
             list: writer.add_array}  # fmt: skip
    kinds[type(value)](key, value)

"""A configuration out of a .gguf file's metadata: every key of the architecture is done, or refused by name.

transformers' own reading leaves most keys out (scaling of rotary positions, softcaps, head sizes), and falls back on
its classes' defaults where llama.cpp has others. The defaults here are llama.cpp's, which wrote the file.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from transformers import CONFIG_MAPPING

from rlaif_fast.bundle.manifest import LONGEST_CONTEXT
from rlaif_fast.errors import ExportError
from rlaif_fast_export.sources.failures import refused
from rlaif_fast_export.sources.gguf_file import GgufFile

# llama.cpp's architecture -> transformers' model_type
ARCHITECTURES = {
    "gemma2": "gemma2",
    "gemma3": "gemma3_text",
    "gpt2": "gpt2",
    "llama": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
}
# Keys that change nothing at these values, and are refused at others.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "expert_count": (0,), "expert_used_count": (0,), "logit_scale": (0, 1), "embedding_scale": (0, 1),
    "residual_scale": (0, 1), "attention.scale": (0,), "attention.clamp_kqv": (0,), "attention.max_alibi_bias": (0,),
    "attention.causal": (True,), "use_parallel_residual": (False,), "pooling_type": (0,),
    "tensor_data_layout": ("Meta AI original pth",), "attn_logit_softcapping": (0,), "final_logit_softcapping": (0,),
    "rope.scaling.attn_factor": (0, 1), "rope.scaling.yarn_attn_factor": (1,), "rope.scaling.yarn_ext_factor": (-1, 1),
    "rope.scaling.yarn_log_multiplier": (0,), "rope.scaling.alpha": (0,),
}  # fmt: skip
_MUTE = {"rope.scaling.finetuned"}  # says how the model was trained
_EXPORT_THE_ORIGINAL = "export the original model instead of the .gguf file"


def gguf_config(file: GgufFile) -> Any:
    """The transformers configuration of ``file``. Raises ExportError."""
    kind = ARCHITECTURES.get(file.architecture)
    if kind is None:
        raise ExportError(
            f"{file.name}: architecture {file.architecture!r} is not supported as a .gguf file; supported are"
            f" {', '.join(sorted(ARCHITECTURES))}; {_EXPORT_THE_ORIGINAL}"
        )
    keys = _Keys(file)
    settings = _gpt2(keys) if kind == "gpt2" else _rotary(keys, kind)
    keys.all_understood()
    embedding = file.tensors.get("token_embd.weight")
    if embedding is None:
        raise ExportError(f"{file.name}: 1 tensor is missing in its file: token_embd.weight; download the file again")
    settings |= {"vocab_size": int(embedding.shape[-1]), "tie_word_embeddings": file.tied}
    with refused(f"{file.name}: its metadata make no {kind} model", f"; {_EXPORT_THE_ORIGINAL}"):
        return CONFIG_MAPPING[kind](**settings)


class _Keys:
    """An architecture's keys, taken one by one; what is left over nobody understood."""

    def __init__(self, file: GgufFile) -> None:
        self._file, self._prefix = file, f"{file.architecture}."
        found = file.keys.items()
        self._left = {key.removeprefix(self._prefix): value for key, value in found if key.startswith(self._prefix)}
        self.tensors = file.tensors
        self._left.pop("vocab_size", None)  # the embedding says it, and llama.cpp takes the tokenizer's

    def refuse(self, key: str, value: Any, why: str = "cannot be done") -> ExportError:
        return ExportError(f"{self._file.name}: {self._prefix}{key} = {value!r} {why}; {_EXPORT_THE_ORIGINAL}")

    def number(self, key: str, default: float | None = None) -> float:
        """A positive one; without a default it must be there."""
        value = self._left.pop(key, default)
        if value is None:
            raise ExportError(f"{self._file.name}: the file does not say {self._prefix}{key}; {_EXPORT_THE_ORIGINAL}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
            raise self.refuse(key, value, "is no positive number")
        return value

    def whole(self, key: str, default: int | None = None) -> int:
        value = self.number(key, default)
        if value != int(value):
            raise self.refuse(key, value, "is no whole number")
        return int(value)

    def optional(self, key: str) -> float | None:
        """None where it is not there, or zero, which switches it off."""
        if self._left.get(key, 0) != 0:
            return self.number(key)
        self._left.pop(key, None)
        return None

    def same(self, key: str, wanted: Any, *also: Any) -> None:
        """Take a key that may only have the value that models of this architecture have, however it is written."""
        value = self._left.pop(key, wanted)
        if value not in (wanted, *also):
            raise self.refuse(key, value, f"cannot be done, only {wanted!r}")

    def text(self, key: str, default: str) -> str:
        return str(self._left.pop(key, default))

    def all_understood(self) -> None:
        for key, value in self._left.items():
            if key in _MUTE or value in _NEUTRAL.get(key, ()):
                continue
            why = "cannot be done" if key in _NEUTRAL else "is a key that this exporter does not understand"
            raise self.refuse(key, value, why)


def _gpt2(keys: _Keys) -> dict[str, Any]:
    heads = keys.whole("attention.head_count")
    keys.same("attention.head_count_kv", heads)
    return {
        "n_positions": keys.whole("context_length"), "n_embd": keys.whole("embedding_length"),
        "n_layer": keys.whole("block_count"), "n_inner": keys.whole("feed_forward_length"), "n_head": heads,
        "layer_norm_epsilon": keys.number("attention.layer_norm_epsilon"),
    }  # fmt: skip


def _rotary(keys: _Keys, kind: str) -> dict[str, Any]:
    """Everything but GPT-2: rotary positions and RMS norms."""
    heads, hidden = keys.whole("attention.head_count"), keys.whole("embedding_length")
    size, context = keys.whole("attention.key_length", hidden // heads), keys.whole("context_length")
    keys.same("attention.value_length", size)
    keys.same("rope.dimension_count", size)
    # transformers undoes llama.cpp's order of rows in q and k only where the file says how many heads k has
    kv_heads = keys.whole("attention.head_count_kv", None if kind == "llama" else heads)
    settings: dict[str, Any] = {
        "hidden_size": hidden, "num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": size,
        "max_position_embeddings": context, "num_hidden_layers": keys.whole("block_count"),
        "intermediate_size": keys.whole("feed_forward_length"), "rope_theta": keys.number("rope.freq_base", 10_000.0),
        "rms_norm_eps": keys.number("attention.layer_norm_rms_epsilon"), "rope_scaling": _scaling(keys, context),
    }  # fmt: skip
    settings["attention_bias"] = "blk.0.attn_q.bias" in keys.tensors
    settings["mlp_bias"] = "blk.0.ffn_up.bias" in keys.tensors
    if particular := _PARTICULAR.get(kind):
        return settings | particular(keys, settings)
    window = keys.optional("attention.sliding_window")
    if window is not None and window < min(context, LONGEST_CONTEXT):
        raise keys.refuse("attention.sliding_window", window)
    return settings


def _gemma2(keys: _Keys, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "query_pre_attn_scalar": _query_scale(settings, layers_of_largest=46),
        "sliding_window": keys.whole("attention.sliding_window", 4096),
        "attn_logit_softcapping": keys.number("attn_logit_softcapping", 50.0),
        "final_logit_softcapping": keys.number("final_logit_softcapping", 30.0),
    }


def _gemma3(keys: _Keys, settings: dict[str, Any]) -> dict[str, Any]:
    kinds = [(i + 1) % 6 > 0 for i in range(settings["num_hidden_layers"])]
    keys.same("attention.sliding_window_pattern", 6, kinds)
    return {
        "query_pre_attn_scalar": _query_scale(settings, layers_of_largest=62),
        "sliding_window": keys.whole("attention.sliding_window"),
        "rope_local_base_freq": keys.number("rope.freq_base_swa", 10_000.0),
        "final_logit_softcapping": keys.optional("final_logit_softcapping"),
    }


_PARTICULAR: dict[str, Callable[[_Keys, dict[str, Any]], dict[str, Any]]] = {
    "gemma2": _gemma2,
    "gemma3_text": _gemma3,
}


def _query_scale(settings: dict[str, Any], layers_of_largest: int) -> Any:
    """The file does not say it: llama.cpp knows the 27B models by their layers."""
    if settings["num_hidden_layers"] == layers_of_largest:
        scale = settings["hidden_size"] / settings["num_attention_heads"]
        return int(scale) if scale.is_integer() else scale  # transformers 5 takes whole numbers alone
    return settings["head_dim"]


def _scaling(keys: _Keys, context: int) -> dict[str, Any] | None:
    """Of rotary positions: linear and yarn. A factor without a kind is linear, as in llama.cpp."""
    kind = keys.text("rope.scaling.type", "linear")
    old, factor = keys.optional("rope.scale_linear"), keys.optional("rope.scaling.factor")
    factor = factor or old or 1.0
    original = keys.whole("rope.scaling.original_context_length", context)
    fast, slow = keys.number("rope.scaling.yarn_beta_fast", 32.0), keys.number("rope.scaling.yarn_beta_slow", 1.0)
    if kind == "none" or (kind == "linear" and factor == 1):
        return None
    if kind == "linear":
        return {"rope_type": "linear", "factor": float(factor)}
    if kind == "yarn":
        return {
            "rope_type": "yarn", "factor": float(factor), "original_max_position_embeddings": original,
            "beta_fast": float(fast), "beta_slow": float(slow),
        }  # fmt: skip
    raise keys.refuse("rope.scaling.type", kind)

"""Every family's logits in numpy, from tensors under the names of the published checkpoints: no loader."""

from __future__ import annotations

from collections.abc import Callable
from math import erf
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Tensors = dict[str, Array]
Config = dict[str, Any]
Named = Callable[[Array, str], Array]  # (x, the layer's name)


def rms(x: Array, weight: Array, eps: float) -> Array:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * weight


def layer_norm(x: Array, weight: Array, bias: Array, eps: float) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps) * weight + bias


def gelu_tanh(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def gelu(x: Array) -> Array:
    return 0.5 * x * (1 + np.vectorize(erf)(x / np.sqrt(2)))


def silu(x: Array) -> Array:
    return x / (1 + np.exp(-x))


def rotated(x: Array, theta: float, width: int) -> Array:
    """x [heads, S, D]: the first ``width`` of D turned by position, each with the one half of them further on."""
    angles = np.arange(x.shape[1])[:, None] * theta ** (-np.arange(0, width, 2) / width)  # [S, width/2]
    a, b, rest = x[..., : width // 2], x[..., width // 2 : width], x[..., width:]
    turned = a * np.cos(angles) - b * np.sin(angles), b * np.cos(angles) + a * np.sin(angles)
    return np.concatenate((*turned, rest), -1)


def attention(q: Array, k: Array, v: Array, scale: float, window: int | None = None, cap: float | None = None) -> Array:
    """[S, heads * D] of q [heads, S, D] and k, v [groups, S, D]."""
    times = len(q) // len(k)
    k, v = np.repeat(k, times, 0), np.repeat(v, times, 0)
    scores = q @ k.transpose(0, 2, 1) * scale
    if cap:
        scores = cap * np.tanh(scores / cap)
    behind = np.arange(q.shape[1])[:, None] - np.arange(q.shape[1])
    scores = np.where((behind < 0) | (behind >= (window or np.inf)), -np.inf, scores)
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    found: Array = (shares / shares.sum(-1, keepdims=True) @ v).transpose(1, 0, 2)
    return found.reshape(len(found), -1)


def with_biases(t: Tensors, eps: float) -> tuple[Named, Named]:
    """A linear layer and a layer norm, by name."""

    def linear(x: Array, name: str) -> Array:
        return x @ t[f"{name}.weight"].T + t[f"{name}.bias"]

    def norm(x: Array, name: str) -> Array:
        return layer_norm(x, t[f"{name}.weight"], t[f"{name}.bias"], eps)

    return linear, norm


def heads(x: Array, size: int) -> Array:
    """[heads, S, D] of [S, heads * D]."""
    return x.reshape(len(x), -1, size).transpose(1, 0, 2)


def llama_like(t: Tensors, c: Config, ids: list[int]) -> Array:
    """Llama, Mistral, Qwen 2 and 3, Gemma 1 to 3."""
    kind, size, eps = c["model_type"], c["head_dim"], c["rms_norm_eps"]
    gemma = kind.startswith("gemma")
    act = gelu_tanh if gemma else silu
    sandwich = kind in ("gemma2", "gemma3_text")
    pattern = {"gemma2": 2, "gemma3_text": 6}.get(kind)

    def norm(x: Array, name: str) -> Array:
        return rms(x, t[f"{name}.weight"] + gemma, eps)

    def linear(x: Array, name: str) -> Array:
        return x @ t[f"{name}.weight"].T + t.get(f"{name}.bias", np.zeros(1))

    x = t["model.embed_tokens.weight"][ids] * (np.sqrt(c["hidden_size"]) if gemma else 1)
    for layer in range(c["num_hidden_layers"]):
        at = f"model.layers.{layer}"
        local = bool(pattern and (layer + 1) % pattern)
        h = norm(x, f"{at}.input_layernorm")
        q, k, v = (heads(linear(h, f"{at}.self_attn.{part}_proj"), size) for part in "qkv")
        if f"{at}.self_attn.q_norm.weight" in t:
            q, k = norm(q, f"{at}.self_attn.q_norm"), norm(k, f"{at}.self_attn.k_norm")
        theta = c["rope_local_base_freq"] if local and kind == "gemma3_text" else c["rope_theta"]
        q, k = rotated(q, theta, size), rotated(k, theta, size)
        window = c.get("sliding_window") if local or kind == "mistral" else None
        scale = c.get("query_pre_attn_scalar", size) ** -0.5
        h = linear(attention(q, k, v, scale, window, c.get("attn_logit_softcapping")), f"{at}.self_attn.o_proj")
        x = x + (norm(h, f"{at}.post_attention_layernorm") if sandwich else h)
        h = norm(x, f"{at}.{'pre_feedforward' if sandwich else 'post_attention'}_layernorm")
        gated = act(linear(h, f"{at}.mlp.gate_proj")) * linear(h, f"{at}.mlp.up_proj")
        h = linear(gated, f"{at}.mlp.down_proj")
        x = x + (norm(h, f"{at}.post_feedforward_layernorm") if sandwich else h)
    logits = norm(x, "model.norm") @ t.get("lm_head.weight", t["model.embed_tokens.weight"]).T
    cap = c.get("final_logit_softcapping")
    return cap * np.tanh(logits / cap) if cap else logits


def phi(t: Tensors, c: Config, ids: list[int]) -> Array:
    size = c["hidden_size"] // c["num_attention_heads"]
    linear, norm = with_biases(t, c["layer_norm_eps"])
    x = t["model.embed_tokens.weight"][ids]
    for layer in range(c["num_hidden_layers"]):
        at = f"model.layers.{layer}"
        h = norm(x, f"{at}.input_layernorm")
        q, k, v = (heads(linear(h, f"{at}.self_attn.{part}_proj"), size) for part in "qkv")
        q, k = (rotated(part, c["rope_theta"], int(size * c["partial_rotary_factor"])) for part in (q, k))
        attended = linear(attention(q, k, v, size**-0.5), f"{at}.self_attn.dense")
        x = x + attended + linear(gelu_tanh(linear(h, f"{at}.mlp.fc1")), f"{at}.mlp.fc2")
    return linear(norm(x, "model.final_layernorm"), "lm_head")


def gpt_neox(t: Tensors, c: Config, ids: list[int]) -> Array:
    size = c["hidden_size"] // c["num_attention_heads"]
    linear, norm = with_biases(t, c["layer_norm_eps"])
    x = t["gpt_neox.embed_in.weight"][ids]
    for layer in range(c["num_hidden_layers"]):
        at = f"gpt_neox.layers.{layer}"
        fused = linear(norm(x, f"{at}.input_layernorm"), f"{at}.attention.query_key_value")
        q, k, v = np.split(heads(fused, 3 * size), 3, -1)  # each head's three lie together
        q, k = (rotated(part, c["rotary_emb_base"], int(size * c["rotary_pct"])) for part in (q, k))
        attended = linear(attention(q, k, v, size**-0.5), f"{at}.attention.dense")
        h = gelu(linear(norm(x, f"{at}.post_attention_layernorm"), f"{at}.mlp.dense_h_to_4h"))
        x = x + attended + linear(h, f"{at}.mlp.dense_4h_to_h")
    return norm(x, "gpt_neox.final_layer_norm") @ t["embed_out.weight"].T


def gpt2(t: Tensors, c: Config, ids: list[int]) -> Array:
    t = t | {name: value.T for name, value in t.items() if ".c_" in name}  # [in, out] in the files
    linear, norm = with_biases(t, c["layer_norm_epsilon"])
    size = c["n_embd"] // c["n_head"]
    x = t["wte.weight"][ids] + t["wpe.weight"][: len(ids)]
    for layer in range(c["n_layer"]):
        at = f"h.{layer}"
        fused = np.split(linear(norm(x, f"{at}.ln_1"), f"{at}.attn.c_attn"), 3, -1)
        q, k, v = (heads(part, size) for part in fused)
        x = x + linear(attention(q, k, v, size**-0.5), f"{at}.attn.c_proj")
        x = x + linear(gelu_tanh(linear(norm(x, f"{at}.ln_2"), f"{at}.mlp.c_fc")), f"{at}.mlp.c_proj")
    return norm(x, "ln_f") @ t["wte.weight"].T


FORWARD: dict[str, Callable[[Tensors, Config, list[int]], Array]] = {"phi": phi, "gpt_neox": gpt_neox, "gpt2": gpt2}
V, D, F, H, G = 400, 64, 128, 4, 2  # vocabulary, width, of the MLP, heads, groups


def shapes_of(c: Config) -> dict[str, tuple[int, ...]]:
    """Names and shapes as the published checkpoint has them."""
    kind = c["model_type"]
    if kind == "gpt2":
        return _gpt2_shapes(c)
    found: dict[str, tuple[int, ...]] = {}

    def both(name: str, *shape: int) -> None:
        found[f"{name}.weight"] = shape
        found[f"{name}.bias"] = shape[:1]

    if kind == "gpt_neox":
        found |= {"gpt_neox.embed_in.weight": (V, D), "embed_out.weight": (V, D)}
        both("gpt_neox.final_layer_norm", D)
        for at in (f"gpt_neox.layers.{n}" for n in range(c["num_hidden_layers"])):
            for name, shape in {"attention.query_key_value": (3 * D, D), "attention.dense": (D, D),
                                "mlp.dense_h_to_4h": (F, D), "mlp.dense_4h_to_h": (D, F), "input_layernorm": (D,),
                                "post_attention_layernorm": (D,)}.items():  # fmt: skip
                both(f"{at}.{name}", *shape)
        return found
    found["model.embed_tokens.weight"] = (V, D)
    if kind == "phi":
        both("lm_head", V, D)
        both("model.final_layernorm", D)
        for at in (f"model.layers.{n}" for n in range(c["num_hidden_layers"])):
            parts = {f"self_attn.{n}": (D, D) for n in ("q_proj", "k_proj", "v_proj", "dense")}
            for name, shape in {**parts, "mlp.fc1": (F, D), "mlp.fc2": (D, F), "input_layernorm": (D,)}.items():
                both(f"{at}.{name}", *shape)
        return found
    found["model.norm.weight"] = (D,)
    if not c["tie_word_embeddings"]:
        found["lm_head.weight"] = (V, D)
    size = c["head_dim"]
    for at in (f"model.layers.{n}" for n in range(c["num_hidden_layers"])):
        attn = {"q": (H * size, D), "k": (G * size, D), "v": (G * size, D), "o": (D, H * size)}
        found |= {f"{at}.self_attn.{part}_proj.weight": shape for part, shape in attn.items()}
        if kind == "qwen2":
            found |= {f"{at}.self_attn.{part}_proj.bias": attn[part][:1] for part in "qkv"}
        if kind in ("qwen3", "gemma3_text"):
            found |= {f"{at}.self_attn.{part}_norm.weight": (size,) for part in "qk"}
        found |= {f"{at}.mlp.{part}_proj.weight": (F, D) for part in ("gate", "up")}
        found[f"{at}.mlp.down_proj.weight"] = (D, F)
        norms = ["input", "post_attention"]
        norms += ["pre_feedforward", "post_feedforward"] if kind in ("gemma2", "gemma3_text") else []
        found |= {f"{at}.{part}_layernorm.weight": (D,) for part in norms}
    return found


def _gpt2_shapes(c: Config) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {"wte.weight": (V, D), "wpe.weight": (c["n_positions"], D)}
    found |= {"ln_f.weight": (D,), "ln_f.bias": (D,)}
    for at in (f"h.{n}" for n in range(c["n_layer"])):
        for name, shape in {"attn.c_attn": (D, 3 * D), "attn.c_proj": (D, D), "mlp.c_fc": (D, 4 * D),
                            "mlp.c_proj": (4 * D, D), "ln_1": (D,), "ln_2": (D,)}.items():  # fmt: skip
            found |= {f"{at}.{name}.weight": shape, f"{at}.{name}.bias": shape[-1:]}
    return found


def tensors_of(c: Config) -> dict[str, npt.NDArray[np.float32]]:
    """Random ones; norms away from the identity."""
    random = np.random.default_rng(5)
    found = {}
    for name, shape in shapes_of(c).items():
        values = random.standard_normal(shape) * (0.2 if len(shape) > 1 else 0.1)
        is_norm = len(shape) == 1 and name.endswith("weight") and not c["model_type"].startswith("gemma")
        found[name] = (values + is_norm).astype(np.float32)
    return found


def logits_by_hand(tensors: dict[str, npt.NDArray[np.float32]], c: Config, ids: list[int]) -> Array:
    """[S, V], float64."""
    exact = {name: value.astype(np.float64) for name, value in tensors.items()}
    return FORWARD.get(c["model_type"], llama_like)(exact, c, ids)

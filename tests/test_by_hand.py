"""The exporter's reference against logits that share nothing with its loader: tensors written by hand, numpy's sums."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from rlaif_fast_export.sources.families import SUPPORTED
from rlaif_fast_export.sources.source import find_source
from tests.by_hand import logits_by_hand, tensors_of
from tests.families import FAMILIES

_SIZES = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
          "vocab_size": 400, "max_position_embeddings": 1024}  # fmt: skip
_LLAMA = _SIZES | {"num_key_value_heads": 2, "head_dim": 16, "rms_norm_eps": 1e-4, "rope_theta": 500.0,
                   "tie_word_embeddings": False}  # fmt: skip
_GEMMA = _LLAMA | {"head_dim": 32, "tie_word_embeddings": True}
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": _LLAMA,
    "llama tied": _LLAMA | {"tie_word_embeddings": True},
    "mistral": _LLAMA | {"sliding_window": 40},
    "qwen2": _LLAMA,
    "qwen3": _LLAMA | {"head_dim": 32},
    "gemma": _GEMMA,
    "gemma2": _GEMMA | {"sliding_window": 40, "query_pre_attn_scalar": 48, "attn_logit_softcapping": 5.0,
                        "final_logit_softcapping": 3.0},
    "gemma3_text": _GEMMA | {"num_hidden_layers": 6, "sliding_window": 40, "query_pre_attn_scalar": 48,
                             "rope_local_base_freq": 100.0, "sliding_window_pattern": 6},
    "phi": _SIZES | {"layer_norm_eps": 1e-4, "partial_rotary_factor": 0.5, "rope_theta": 500.0},
    "gpt_neox": _SIZES | {"layer_norm_eps": 1e-4, "rotary_pct": 0.25, "rotary_emb_base": 500.0},
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 128, "vocab_size": 400,
             "layer_norm_epsilon": 1e-4},
}  # fmt: skip


def test_every_family_is_there() -> None:
    """Of the others, tests/test_families.py holds the names of the tensors to the published ones."""
    assert {name.split()[0] for name in CONFIGS} == {family for family, *_ in FAMILIES.values()} < set(SUPPORTED)


@pytest.mark.parametrize("name", CONFIGS)
def test_published_names_give_the_logits_of_plain_sums(name: str, tmp_path: Path) -> None:
    config = {"model_type": name.split()[0], **CONFIGS[name]}
    tensors, ids = tensors_of(config), np.random.default_rng(1).integers(0, 400, 100).tolist()
    carried = {}
    if name == "gpt2":  # what the published files carry along
        carried = {f"h.{n}.attn.bias": np.tril(np.ones((1, 1, 128, 128), np.float32)) for n in range(2)}
    if name == "gpt_neox":
        frequencies = 500.0 ** (-np.arange(0, 4, 2) / 4)
        carried = {f"gpt_neox.layers.{n}.attention.rotary_emb.inv_freq": frequencies.astype(np.float32) for n in (0, 1)}
        carried["gpt_neox.layers.0.attention.masked_bias"] = np.array(-1e9, np.float32)
    save_file(tensors | carried, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    source = find_source(str(tmp_path))
    with torch.inference_mode():
        found = source.model()(input_ids=torch.tensor([ids])).logits[0].numpy()
    wanted = logits_by_hand(tensors, config, ids)
    assert np.std(wanted) > 0.1
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-3 * np.std(wanted))
    assert source.unused == sorted(carried)

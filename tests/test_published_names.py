"""Tensors under the names of the published checkpoints: what the newer families have in a layer, and outside of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import Gemma3Config, Gemma3ForConditionalGeneration

from rlaif_fast import ExportError, Judge
from rlaif_fast.prompts.template import SUMMARY
from rlaif_fast_export.exporter import export_bundle
from rlaif_fast_export.sources.families import SUPPORTED
from rlaif_fast_export.sources.lane import NEXT
from rlaif_fast_export.sources.source import find_source
from tests.families import (
    _COMMON,
    _GROUPED,
    _WINDOWS,
    FAMILIES,
    MORE_FAMILIES,
    VOCABULARY,
    has_class,
    save_tiny,
    tiny_model,
    tiny_tokenizer,
)
from tests.plain_pytorch import reference_log_odds

_QKVO = {f"self_attn.{part}_proj.weight" for part in "qkvo"}
_GATED = {f"mlp.{part}_proj.weight" for part in ("gate", "up", "down")}
_LLAMA = _QKVO | _GATED | {"input_layernorm.weight", "post_attention_layernorm.weight"}
_QKV_BIASES = {f"self_attn.{part}_proj.bias" for part in "qkv"}
_QK_NORMS = {"self_attn.q_norm.weight", "self_attn.k_norm.weight"}
_POST_NORMS = {"post_attention_layernorm.weight", "post_feedforward_layernorm.weight"}
_FUSED = {"mlp.gate_up_proj.weight", "mlp.down_proj.weight"}
_UP_AND_DOWN = {"mlp.up_proj.weight", "mlp.down_proj.weight"}
_BOTH_NORMS = {f"{norm}_layernorm.{what}" for norm in ("input", "post_attention") for what in ("weight", "bias")}
# name in MORE_FAMILIES -> names in a layer, as the model's files on the hub have them
LAYERS: dict[str, set[str]] = {
    "phi3": {"self_attn.qkv_proj.weight", "self_attn.o_proj.weight", "input_layernorm.weight",
             "post_attention_layernorm.weight"} | _FUSED,
    "apertus": _QKVO | _QK_NORMS | {
        "mlp.up_proj.weight", "mlp.down_proj.weight", "mlp.act_fn.alpha_p", "mlp.act_fn.alpha_n", "mlp.act_fn.beta",
        "mlp.act_fn.eps", "attention_layernorm.weight", "feedforward_layernorm.weight"},
    "granite": _LLAMA | {n.replace("weight", "bias") for n in _QKVO | _GATED},
    "granite4": _QKVO | {"shared_mlp.input_linear.weight", "shared_mlp.output_linear.weight", "input_layernorm.weight",
                         "post_attention_layernorm.weight"},
    "smollm3": _LLAMA,
    "olmo": _QKVO | _GATED,
    "olmo2": _QKVO | _GATED | _QK_NORMS | _POST_NORMS,
    "olmo3": _QKVO | _GATED | _QK_NORMS | _POST_NORMS,
    "exaone4": _QKVO | _GATED | _QK_NORMS | _POST_NORMS,
    "hunyuan": _LLAMA | {"self_attn.query_layernorm.weight", "self_attn.key_layernorm.weight"},
    "ernie4_5": _LLAMA | {n.replace("weight", "bias") for n in _QKVO | _GATED},
    "glm": _QKVO | _QKV_BIASES | _FUSED | {"input_layernorm.weight", "post_attention_layernorm.weight"},
    "glm4": _QKVO | _QKV_BIASES | _FUSED | {
        "input_layernorm.weight", "post_attention_layernorm.weight", "post_self_attn_layernorm.weight",
        "post_mlp_layernorm.weight"},
    "helium": _LLAMA,
    "cohere": _QKVO | _GATED | _QK_NORMS | {"input_layernorm.weight"},
    "cohere2": _QKVO | _GATED | {"input_layernorm.weight"},
    "arcee": _QKVO | _UP_AND_DOWN | {"input_layernorm.weight", "post_attention_layernorm.weight"},
    "starcoder2": {f"self_attn.{p}_proj.{w}" for p in "qkvo" for w in ("weight", "bias")} | _BOTH_NORMS | {
        f"mlp.c_{p}.{w}" for p in ("fc", "proj") for w in ("weight", "bias")},
    "stablelm": _QKVO | _QKV_BIASES | _GATED | {"input_layernorm.weight", "input_layernorm.bias"},
    "nemotron": {f"self_attn.{p}_proj.{w}" for p in "qkvo" for w in ("weight", "bias")} | _BOTH_NORMS | {
        f"mlp.{p}_proj.{w}" for p in ("up", "down") for w in ("weight", "bias")},
    "ministral": _LLAMA,
    "ministral3": _LLAMA,
    "hyperclovax": _LLAMA | {"post_norm1.weight", "post_norm2.weight"} | {
        n.replace("weight", "bias") for n in _QKVO | _GATED},
    "jais2": {f"self_attn.{p}_proj.{w}" for p in "qkvo" for w in ("weight", "bias")} | _BOTH_NORMS | {
        f"mlp.{p}_proj.{w}" for p in ("up", "down") for w in ("weight", "bias")},
    "seed_oss": _LLAMA | {n.replace("weight", "bias") for n in _QKVO | _GATED},
}  # fmt: skip
_NO_SCALE, _BIASED, _UNTIED_HEAD = {"olmo"}, {"starcoder2", "stablelm", "nemotron", "jais2"}, {"lm_head.weight"}


def test_every_family_is_there() -> None:
    named = {MORE_FAMILIES[name][0] for name in LAYERS}
    assert named | {family for family, *_ in FAMILIES.values()} == set(SUPPORTED)


@pytest.mark.parametrize("name", LAYERS)
def test_the_names_are_those_of_the_published_files(name: str, tmp_path: Path) -> None:
    with safe_open(save_tiny(name, tmp_path) / "model.safetensors", "pt") as file:
        there = set(file.keys())
    wanted = {f"model.layers.{n}.{tensor}" for n in range(3) for tensor in LAYERS[name]} | {"model.embed_tokens.weight"}
    wanted |= set() if name in _NO_SCALE else {"model.norm.weight"}
    wanted |= {"model.norm.bias"} if name in _BIASED else set()
    assert there - _UNTIED_HEAD == wanted
    assert ("lm_head.weight" in there) == (not tiny_model(name).config.tie_word_embeddings)


def test_what_is_saved_has_the_names_of_the_modules() -> None:
    """So the test above holds a family to its class, and the class is what loads the published files."""
    for name in filter(has_class, LAYERS):
        model = getattr(transformers, MORE_FAMILIES[name][2])
        assert list(model._tied_weights_keys) == ["lm_head.weight"], name
        assert NEXT or model._checkpoint_conversion_mapping == {}, name


# Names in a layer of files that lie on the hub, beside what transformers itself writes (docs/exporting.md).
HUB: dict[str, set[str]] = {
    "phi3": {"input_layernorm.weight", "mlp.down_proj.weight", "mlp.gate_up_proj.weight",
             "post_attention_layernorm.weight", "self_attn.o_proj.weight", "self_attn.qkv_proj.weight"},
}  # fmt: skip


@pytest.mark.parametrize("name", HUB)
def test_a_published_index_has_the_same_names(name: str) -> None:
    assert HUB[name] == LAYERS[name]


def _ministral_3() -> Any:
    """Ministral 3 as it is published: beside a vision tower."""
    decoder = tiny_model("ministral3")
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
              "image_size": 28, "patch_size": 14, "head_dim": 16}  # fmt: skip
    config = transformers.Mistral3Config(
        text_config=decoder.config.to_dict(), vision_config={"model_type": "pixtral", **vision}, image_token_index=399,
        tie_word_embeddings=decoder.config.tie_word_embeddings,
    )  # fmt: skip
    return transformers.Mistral3ForConditionalGeneration(config).eval()


def _with_images(name: str = "gemma3") -> Any:
    """A decoder beside a vision tower, as Gemma 3 from 4B on."""
    torch.manual_seed(7)
    if name == "ministral3":
        return _ministral_3()
    text = _COMMON | {"vocab_size": VOCABULARY, "head_dim": 32, **_WINDOWS, **_GROUPED,
                      "rope_scaling": {"rope_type": "linear", "factor": 8.0}}  # fmt: skip
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
              "image_size": 28, "patch_size": 14}  # fmt: skip
    config = Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4, image_token_index=399)
    return Gemma3ForConditionalGeneration(config).eval()


@pytest.mark.parametrize("name", ["gemma3", "ministral3"])
@pytest.mark.parametrize("renamed", [False, True], ids=["as published", "as transformers 5 writes them"])
def test_the_text_decoder_of_a_model_with_images(name: str, renamed: bool, tmp_path: Path) -> None:
    model = _with_images(name)
    model.save_pretrained(tmp_path / "m")
    tiny_tokenizer().save_pretrained(tmp_path / "m")
    file = tmp_path / "m" / "model.safetensors"
    tensors = load_file(file)
    assert "language_model.model.layers.2.self_attn.q_proj.weight" in tensors
    assert {"vision_tower", "multi_modal_projector"} <= {n.partition(".")[0] for n in tensors}
    if renamed:
        new = {n: f"model.{n}" for n in tensors if not n.startswith("language_model.")}
        new |= {n: n.replace("language_model.model.", "model.language_model.") for n in tensors if n not in new}
        save_file({new[name]: tensor for name, tensor in tensors.items()}, file, {"format": "pt"})
    source = find_source(str(tmp_path / "m"))
    judge = Judge.load(export_bundle(source, tmp_path / "b", SUMMARY, force=False, progress=lambda what, share: None))
    assert source.notes[-1] == "left out: what the model sees images with; its text decoder judges"
    random = np.random.default_rng(3)
    prompts = [random.integers(3, 390, length).tolist() for length in (1, 41, 80, 500)]
    wanted = reference_log_odds(model, prompts, judge.manifest.prompt.label_ids)
    assert np.std(wanted) > 0.1
    np.testing.assert_allclose([judge.log_odds_of([p])[0] for p in prompts], wanted, rtol=0, atol=1e-3)


def test_a_wrapper_that_says_another_thing_than_its_decoder_is_refused(tmp_path: Path) -> None:
    _with_images().save_pretrained(tmp_path)
    said = json.loads((tmp_path / "config.json").read_text())
    said["text_config"]["tie_word_embeddings"] = True
    for change, reason in (
        ({"tie_word_embeddings": False}, "says tie_word_embeddings in two places, False and True"),
        ({"text_config": {"model_type": "llama"}}, "no text_config of a gemma3_text model"),
        ({"odd_scale": 2.0}, "says odd_scale = 2.0"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(said | change))
        with pytest.raises(ExportError, match=reason):
            find_source(str(tmp_path)).config()

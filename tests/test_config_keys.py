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
from tests.published_configs import LLAMA3, PUBLISHED
from tests.test_checkpoints import configure
from tests.test_gguf import logits, remade


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

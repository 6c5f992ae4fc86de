"""What a .gguf file says of its model is done, or refused by name."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rlaif_fast import ExportError
from rlaif_fast_export.sources.families import needs_eager
from rlaif_fast_export.sources.gguf_config import gguf_config
from rlaif_fast_export.sources.gguf_file import ROPE_FACTORS, GgufFile
from rlaif_fast_export.sources.rotary_config import put, value_of
from rlaif_fast_export.sources.source import find_source
from tests.families import tiny_model
from tests.gguf_files import ARCHITECTURES, tensors_of, write_gguf

IDS = torch.arange(3, 303)[None]
SCALED = {"linear": {"rope_type": "linear", "factor": 4.0},
          "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256}}  # fmt: skip


def logits(model: Any) -> torch.Tensor:
    """Of every position of IDS, [1, S, V]."""
    with torch.inference_mode():
        return model(input_ids=IDS).logits  # type: ignore[no-any-return]


def remade(model: Any, **settings: Any) -> Any:
    """The same weights under another configuration; layers that are new are random."""
    torch.manual_seed(11)
    settings = deepcopy(settings)  # transformers 5 writes into tables that it is given
    config = type(model.config).from_dict({**model.config.to_dict(), **settings})
    put(config, settings)  # transformers 5 prefers its own table, which is there already
    made = type(model)(config).eval()
    made.load_state_dict(model.state_dict(), strict=False)
    if needs_eager(config):
        made.set_attn_implementation("eager")
    return made


def plain(name: str) -> Any:
    """As tests/families.py makes it, but for what the format takes for granted."""
    model = tiny_model(name)
    if name == "gpt2":
        return remade(model, scale_attn_by_inverse_layer_idx=False)
    if not name.startswith("gemma"):
        return model
    layers, pattern = (3, 2) if name == "gemma2" else (6, 6)
    kinds = ["sliding_attention" if (i + 1) % pattern else "full_attention" for i in range(layers)]
    size = model.config.head_dim
    return remade(model, num_hidden_layers=layers, layer_types=kinds, query_pre_attn_scalar=size)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_file_is_its_twin(name: str, tmp_path: Path) -> None:
    model = plain(name)
    assert torch.allclose(
        logits(find_source(str(write_gguf(tmp_path / "m.gguf", model))).model()), logits(model), atol=1e-4
    )


@pytest.mark.parametrize(
    ("name", "kind"), [("llama", "linear"), ("llama", "yarn"), ("qwen2", "yarn"), ("gemma3", "linear")]
)
def test_rotary_positions_are_scaled(name: str, kind: str, tmp_path: Path) -> None:
    keys = {"rope.scaling.type": kind, "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 256,
            "rope.scaling.finetuned": True}  # fmt: skip
    base = plain(name)
    twin = remade(base, rope_scaling=SCALED[kind])
    made = logits(find_source(str(write_gguf(tmp_path / "m.gguf", base, keys=keys))).model())
    assert torch.allclose(made, logits(twin), atol=1e-4)
    assert not torch.allclose(made, logits(base), atol=1e-2)


@pytest.mark.parametrize("keys", [{"rope.scaling.factor": 4.0}, {"rope.scale_linear": 4.0}])
def test_a_factor_without_a_kind_is_linear(keys: dict[str, Any], tmp_path: Path) -> None:
    made = find_source(str(write_gguf(tmp_path / "m.gguf", tiny_model("llama"), keys=keys))).model()
    assert torch.allclose(logits(made), logits(remade(tiny_model("llama"), rope_scaling=SCALED["linear"])), atol=1e-4)


@pytest.mark.parametrize(
    "keys", [{"rope.scaling.type": "none", "rope.scaling.factor": 4.0}, {"rope.scaling.factor": 0.0}]
)
def test_a_scaling_that_is_switched_off(keys: dict[str, Any], tmp_path: Path) -> None:
    model = tiny_model("llama")
    made = find_source(str(write_gguf(tmp_path / "m.gguf", model, keys=keys))).model()
    assert torch.allclose(logits(made), logits(model), atol=1e-4)


def test_factors_of_frequencies_are_llama_3s_scaling(tmp_path: Path) -> None:
    """llama.cpp's converter writes what rope_scaling says as a tensor."""
    llama3 = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
              "original_max_position_embeddings": 256}  # fmt: skip
    model = tiny_model("llama")
    twin = remade(model, rope_scaling=llama3)
    factors = (model.model.rotary_emb.inv_freq / twin.model.rotary_emb.inv_freq).numpy()
    assert factors.max() > 3.9
    made = find_source(str(write_gguf(tmp_path / "m.gguf", model, tensors={ROPE_FACTORS: factors}))).model()
    assert torch.allclose(logits(made), logits(twin), atol=1e-4)
    assert not torch.allclose(logits(made), logits(model), atol=1e-2)


def test_the_scaling_reaches_the_bundle(tmp_path: Path) -> None:
    from rlaif_fast import Judge
    from rlaif_fast.prompts.template import SUMMARY
    from rlaif_fast_export.exporter import export_bundle
    from tests.plain_pytorch import reference_log_odds

    factors = np.array([1, 1, 1, 2, 4, 8, 8, 8], np.float32)
    path = write_gguf(tmp_path / "m.gguf", tiny_model("llama"), tensors={ROPE_FACTORS: factors})
    bundle = export_bundle(find_source(str(path)), tmp_path / "b", SUMMARY, force=False, progress=lambda *_: None)
    judge, twin = Judge.load(bundle), tiny_model("llama")
    twin.model.rotary_emb.inv_freq /= torch.from_numpy(factors)
    prompts = [list(range(3, 203)), [*judge.manifest.prompt.prefix_ids, 7, 8, 9]]
    reference = reference_log_odds(twin, prompts, judge.manifest.prompt.label_ids)
    assert np.abs([judge.log_odds_of([p])[0] for p in prompts] - reference).max() < 1e-3


def test_a_file_named_mistral_is_the_llama_it_says(tmp_path: Path) -> None:
    """transformers would make a Mistral of it, with a window of 4,096 that the file does not have."""
    model = tiny_model("llama")
    made = find_source(str(write_gguf(tmp_path / "m.gguf", model, general={"general.name": "mistral"}))).model()
    assert made.config.model_type == "llama" and torch.allclose(logits(made), logits(model), atol=1e-4)


def test_biases_and_sizes_of_heads_are_the_files(tmp_path: Path) -> None:
    """transformers' reading would leave the biases out, and take 128 for a head's size."""
    biased = tiny_model("llama-rope-scaled")
    biased.model.rotary_emb.inv_freq = tiny_model("llama").model.rotary_emb.inv_freq
    made = find_source(str(write_gguf(tmp_path / "m.gguf", biased))).model()
    assert torch.allclose(logits(made), logits(biased), atol=1e-4)


def _file(**keys: Any) -> GgufFile:
    sizes = {"context_length": 1024, "embedding_length": 64, "block_count": 3, "feed_forward_length": 128,
             "attention.head_count": 4, "attention.head_count_kv": 2,
             "attention.layer_norm_rms_epsilon": 1e-5}  # fmt: skip
    architecture = keys.pop("architecture", "llama")
    said = sizes | {key.replace("__", "."): value for key, value in keys.items()}
    found = {f"{architecture}.{key}": value for key, value in said.items() if value is not None}
    embedding = type("Tensor", (), {"shape": np.array([64, 400])})
    return GgufFile("m", {"general.architecture": architecture, **found}, {"token_embd.weight": embedding}, None)


def test_defaults_are_llama_cpps() -> None:
    config = gguf_config(_file(architecture="qwen3"))
    assert (config.head_dim, value_of(config, "rope_theta"), config.tie_word_embeddings, config.vocab_size) == (
        16,
        10_000.0,
        True,
        400,
    )
    config = gguf_config(_file(architecture="gemma2", attention__key_length=32, final_logit_softcapping=20.0))
    assert (config.attn_logit_softcapping, config.final_logit_softcapping, config.sliding_window) == (50.0, 20.0, 4096)
    assert config.query_pre_attn_scalar == 32
    config = gguf_config(_file(architecture="gemma2", attention__key_length=32, block_count=46))
    assert config.query_pre_attn_scalar == 16


def test_keys_that_change_nothing_are_taken() -> None:
    gguf_config(_file(
        expert_count=0, logit_scale=1.0, attention__causal=True, attention__sliding_window=0,
        rope__scaling__attn_factor=1.0, tensor_data_layout="Meta AI original pth", vocab_size=400,
    ))  # fmt: skip
    gguf_config(_file(attention__sliding_window=4096))  # longer than the context
    layers = [True, True, True, True, True, False, True]
    gguf_config(_file(
        architecture="gemma3", block_count=7, attention__sliding_window=40, attention__sliding_window_pattern=layers,
    ))  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"architecture": "mamba"}, "architecture 'mamba' is not supported as a .gguf file"),
        ({"rope__scaling__type": "longrope"}, "llama.rope.scaling.type = 'longrope' cannot be done"),
        ({"rope__scaling__factor": -1.0}, "llama.rope.scaling.factor = -1.0 is no positive number"),
        ({"attention__sliding_window": 40}, "llama.attention.sliding_window = 40 cannot be done"),
        ({"attention__causal": False}, "llama.attention.causal = False cannot be done"),
        ({"logit_scale": 0.5}, "llama.logit_scale = 0.5 cannot be done"),
        ({"expert_count": 8}, "llama.expert_count = 8 cannot be done"),
        ({"attn_logit_softcapping": 50.0}, "llama.attn_logit_softcapping = 50.0 cannot be done"),
        ({"attention__value_length": 8}, "llama.attention.value_length = 8 cannot be done, only 16"),
        ({"rope__dimension_count": 8}, "llama.rope.dimension_count = 8 cannot be done, only 16"),
        ({"attention__head_count": [4, 4, 2]}, r"llama.attention.head_count = \[4, 4, 2\] is no positive number"),
        ({"attention__head_count_kv": None}, "does not say llama.attention.head_count_kv"),
        ({"attention__layer_norm_rms_epsilon": None}, "does not say llama.attention.layer_norm_rms_epsilon"),
        ({"mystery": 1}, "llama.mystery = 1 is a key that this exporter does not understand"),
        ({"architecture": "gemma3", "attention__sliding_window": 40, "attention__sliding_window_pattern": 4},
         "gemma3.attention.sliding_window_pattern = 4 cannot be done, only 6"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_by_its_key(keys: dict[str, Any], reason: str) -> None:
    with pytest.raises(ExportError, match="^m: .*" + reason):
        gguf_config(_file(**keys))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tensors": {"blk.1.ffn_up.weight": None}}, "1 tensor is missing in its files: model.layers.1.mlp.up_proj"),
        ({"tensors": {"blk.3.attn_norm.weight": np.ones(64)}}, "1 tensor is in its files but not in a llama model"),
        ({"tensors": {"cls.output.weight": np.ones((1, 64))}}, "head of a reward, value or classification model"),
        ({"keys": {"block_count": 2}}, "9 tensors are in its files but not in a llama model of 2 layers: blk.2"),
        ({"keys": {"block_count": 4}}, "9 tensors are missing in its files: model.layers.3"),
        ({"tensors": {"output_norm.weight": np.full(64, np.nan)}}, "1 tensor is not finite"),
        ({"tensors": {"output_norm.weight": np.ones(32)}}, "1 tensor is of another shape .*model.norm.weight"),
        ({"tensors": {ROPE_FACTORS: np.ones(4)}}, "does not fit the model's rotary positions"),
        ({"tensors": {ROPE_FACTORS: np.zeros(8)}}, "not finite and positive"),
        ({"general": {"split.count": 3}}, "is one of 3 parts; join them first: llama-gguf-split --merge"),
        ({"general": {"split.count": "3"}}, "says split.count = '3', no number"),
        ({"general": {"split.count": [3, 1]}}, r"says split.count = \[3, 1\], no number"),
        ({"general": {"general.type": "adapter"}}, "holds 'adapter'"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_the_model(change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    source = find_source(str(write_gguf(tmp_path / "m.gguf", tiny_model("llama"), **change)))
    with pytest.raises(ExportError, match="^m: .*" + reason) as raised:
        source.model()
    assert len(str(raised.value).splitlines()) == 1


def test_a_missing_head_is_tied_and_a_lost_one_is_not_guessed(tmp_path: Path) -> None:
    """Without output.weight the format means the embedding; a head under another name is refused."""
    model = tiny_model("llama")
    head = tensors_of(model)["output.weight"]
    renamed = write_gguf(tmp_path / "m.gguf", model, tensors={"output.weight": None, "lm_head.weight": head})
    with pytest.raises(ExportError, match=r"1 tensor is in its files but not .*: lm_head.weight"):
        find_source(str(renamed)).model()


@pytest.mark.parametrize("size", [0, 3, 100, 5_000, 400_000, -1_000])
def test_a_file_that_was_cut_off(size: int, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", tiny_model("llama"))
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ExportError, match=r"^m: m.gguf is (damaged or incomplete|empty).*; download the \w+ again"):
        find_source(str(path)).model()


def test_a_git_lfs_pointer(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(ExportError, match=r"^m: m.gguf is a Git LFS pointer.*git lfs pull"):
        find_source(str(tmp_path / "m.gguf")).model()

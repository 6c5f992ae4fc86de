"""Families that are not listed: exported under --unlisted and verified at full length, or refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import nn
from transformers import LlamaForCausalLM
from transformers.models.llama import modeling_llama

from rlaif_fast import ExportError, Judge
from rlaif_fast.errors import FidelityError
from rlaif_fast.prompts.template import SUMMARY
from rlaif_fast_export.exporter import export_bundle
from rlaif_fast_export.graph import leaves
from rlaif_fast_export.int8.options import Int8Options
from rlaif_fast_export.sources import families
from rlaif_fast_export.sources.source import find_source
from tests.conftest import Run
from tests.families import _COMMON, _GROUPED, _WINDOWS, CONTEXT, VOCABULARY, save_tiny, tiny_model, tiny_tokenizer
from tests.plain_pytorch import reference_log_odds

LIMIT = 1e-3


def _export(folder: Path, output: Path, **more: Any) -> Path:
    source = find_source(str(folder), unlisted=True)
    return export_bundle(source, output, SUMMARY, force=False, progress=lambda *_: None, **more)


def _save(folder: Path, kind: str, **particular: Any) -> Any:
    """A tiny model of a class that no other test has, with its tokenizer."""
    torch.manual_seed(7)
    settings = _COMMON | {"vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": 1} | particular
    model = getattr(transformers, f"{kind}ForCausalLM")(getattr(transformers, f"{kind}Config")(**settings)).eval()
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return model


def test_a_family_that_is_not_listed_is_exported(rlaif_fast: Callable[..., Run], tmp_path: Path) -> None:
    """BitNet has a norm of its own in front of the output projection, and relu² between gate and up."""
    model = _save(tmp_path / "m", "BitNet", **_GROUPED, max_position_embeddings=2 * CONTEXT)
    refused = rlaif_fast("export", tmp_path / "m", "-o", tmp_path / "b")
    assert refused.status == 1 and "architecture 'bitnet' is not a listed one; --unlisted exports it" in refused.err
    done = rlaif_fast("export", tmp_path / "m", "-o", tmp_path / "b", "--unlisted", "--template", "summary")
    assert done.status == 0, done.err
    assert "precision: fp32, the only precision for a family that is not listed" in done.err
    judge, random = Judge.load(tmp_path / "b"), np.random.default_rng(3)
    prompts = [random.integers(3, VOCABULARY, length).tolist() for length in (5, 80, 700, 2000)]
    wanted = reference_log_odds(model, prompts, judge.manifest.prompt.label_ids)
    assert np.std(wanted) > 0.1
    np.testing.assert_allclose([judge.log_odds_of([p])[0] for p in prompts], wanted, rtol=0, atol=LIMIT)
    added = rlaif_fast("prompt", "add", tmp_path / "b", "--model", tmp_path / "m", "--template", "helpful")
    assert added.status == 0, added.err


def test_int8_is_refused(tmp_path: Path) -> None:
    _save(tmp_path / "m", "BitNet", **_GROUPED)
    with pytest.raises(ExportError, match="not listed is exported at fp32 alone"):
        _export(tmp_path / "m", tmp_path / "b", int8=Int8Options())


@pytest.fixture
def unlisted_mistral(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mistral, as if it were not listed."""
    monkeypatch.delitem(families.SUPPORTED, "mistral")


@pytest.mark.usefixtures("unlisted_mistral")
def test_a_window_that_is_passed_over_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond all probes: the pair that fills the context tells."""
    save_tiny("mistral", tmp_path / "m", sliding_window=800)
    _export(tmp_path / "m", tmp_path / "good")
    monkeypatch.setattr(leaves, "_window", lambda *_: 0)
    with pytest.raises(
        FidelityError, match=r"deviates from PyTorch .* on a pair of 1,024 tokens, all that it may have"
    ):
        _export(tmp_path / "m", tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


@pytest.mark.usefixtures("unlisted_mistral")
def test_the_context_is_what_is_verified(tmp_path: Path) -> None:
    save_tiny("mistral", tmp_path / "m", max_position_embeddings=16384)
    source = find_source(str(tmp_path / "m"), unlisted=True)
    assert families.maximum_length(source.config()) == families.UNLISTED_CONTEXT == 4096
    (note,) = source.notes
    assert note.startswith("context: 4,096 of the model's 16,384 tokens, as many as a family that is not listed")


@pytest.mark.parametrize(
    ("kind", "particular", "reason"),
    [
        ("GptOss", {"num_local_experts": 2}, "mixture of experts"),
        ("Qwen3Moe", {}, "mixture of experts"),
        (
            "DiffLlama",
            {},
            "(its values are of another width than its keys|6 of its 3 layers have .*); so a diffllama model",
        ),
        ("Persimmon", {}, "cannot follow .* back to its linear layer"),
        ("OPT", {"ffn_dim": 128, "word_embed_proj_dim": 64}, "no stack of 3 blocks"),
        ("Mamba", {}, "its layers are recurrent"),
        ("Lfm2", {}, "its layers are recurrent"),
        ("Jamba", {}, "its layers are recurrent"),
    ],
)
def test_what_is_missing_is_named(kind: str, particular: dict[str, Any], reason: str, tmp_path: Path) -> None:
    _save(tmp_path / "m", kind, **{"pad_token_id": 2, **_GROUPED, **particular})
    with pytest.raises(ExportError, match=reason) as refused:
        _export(tmp_path / "m", tmp_path / "b")
    assert "\n" not in str(refused.value) and not (tmp_path / "b").exists()


def test_attention_sinks_are_refused() -> None:
    module = nn.Module()
    module.config, module.layer_idx = tiny_model("llama").config, 0
    x = torch.zeros(1, 4, 3, 16)
    with pytest.raises(leaves.UnsupportedModule, match="attention sinks"):
        leaves._attention(module, x, x, x, torch.zeros(1, 1, 3, 3), 1.0, s_aux=torch.zeros(4))


def test_a_rotation_of_another_kind_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch turns the other way round; nothing that is exported may take it for the usual."""
    tiny = save_tiny("llama", tmp_path / "m")
    usual = modeling_llama.apply_rotary_pos_emb
    monkeypatch.setattr(modeling_llama, "apply_rotary_pos_emb", lambda q, k, cos, sin: usual(q, k, cos, -sin))
    assert isinstance(find_source(str(tiny)).model(), LlamaForCausalLM)
    with pytest.raises(ExportError, match="a rotation of a kind the runtime has not"):
        _export(tiny, tmp_path / "b")


def test_logits_made_in_another_way_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = save_tiny("llama", tmp_path / "m")
    usual = LlamaForCausalLM.forward

    def squared(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = usual(self, *args, **kwargs)
        found.logits = found.logits**2
        return found

    monkeypatch.setattr(LlamaForCausalLM, "forward", squared)
    with pytest.raises(ExportError, match="makes logits of its head in a way the runtime has not; please report"):
        _export(tiny, tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("name", "more", "length", "note"),
    [
        (
            "phi3-long",
            {},
            1024,
            "context: 1,024 of the model's 4,096 tokens; beyond, its rope scaling 'longrope' depends",
        ),
        ("llama-dynamic", {}, 1024, "context: 1,024 tokens; beyond, its rope scaling 'dynamic' depends"),
        ("llama-dynamic", {"max_position_embeddings": 65536}, 32768, None),
        ("llama", {}, 1024, None),
    ],
)
def test_the_context_ends_where_the_rotation_goes_by_the_length(
    name: str, more: dict[str, Any], length: int, note: str | None
) -> None:
    config = tiny_model(name).config
    for key, value in more.items():
        setattr(config, key, value)
    assert families.maximum_length(config) == length
    assert (families.context_note(config) or "").startswith(note or "")
    assert (families.context_note(config) is None) == (note is None)


@pytest.mark.parametrize(
    ("model_type", "reason"),
    [
        ("qwen3_5", "its layers are recurrent"), ("gemma4", "its layers share keys and values"),
        ("not_yet_known", "it is newer, or known under another name"),
    ],
)  # fmt: skip
def test_what_transformers_does_not_know(model_type: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    with pytest.raises(
        ExportError, match=rf"architecture '{model_type}' (is not in transformers \d|cannot be exp).*: {reason}"
    ):
        find_source(str(tmp_path), unlisted=True).config()


def test_windows_of_a_layer_without_one_are_refused() -> None:
    config = tiny_model("gemma2", **_WINDOWS).config
    assert [leaves._window(config, layer, 40) for layer in range(3)] == [40, 0, 40]
    with pytest.raises(leaves.UnsupportedModule, match=r"layer 0 is of a kind \(sliding_attention\)"):
        leaves._window(config, 0, None)

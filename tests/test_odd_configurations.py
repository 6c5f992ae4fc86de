"""Listed families at settings that none of their published models has: against PyTorch, or refused by name."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoModelForCausalLM

from rlaif_fast import ExportError, Judge, Pair
from rlaif_fast.prompts.template import SUMMARY
from rlaif_fast_export.exporter import export_bundle
from rlaif_fast_export.graph import trace
from rlaif_fast_export.sources.source import find_source
from tests.families import save_tiny
from tests.plain_pytorch import reference_log_odds

PAIRS = [Pair("The quick brown fox. " * n, "A fox jumps over it.", "Lazy dog " * n) for n in (1, 7)]
FULL, WINDOWS = ["full_attention"] * 3, ["sliding_attention"] * 3
YARN = {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 256}


def _judge(folder: Path, output: Path) -> Judge:
    export_bundle(find_source(str(folder)), output, SUMMARY, force=False, progress=lambda what, share: None)
    return Judge.load(output)


def _hold_to_pytorch(judge: Judge, model: Any) -> None:
    label_ids = judge.manifest.prompt.label_ids
    found = []
    for pair in PAIRS:
        forward, swapped = reference_log_odds(model, judge.prompt_tokens(pair), label_ids)
        np.testing.assert_allclose(judge.judge(pair).log_odds_by_order, (forward, -swapped), rtol=0, atol=1e-3)
        found += [forward, swapped]
    assert np.std(found) > 0.03, "a model that answers everything alike tests nothing"


@pytest.mark.parametrize(
    ("name", "particular"),
    [
        ("gemma3", {"layer_types": FULL}),  # one of its two rotary tables turns nothing
        ("gemma3", {"layer_types": WINDOWS}),
        ("olmo3", {"layer_types": WINDOWS}),
        ("cohere2", {"layer_types": FULL}),  # only layers with a window have positions
        ("smollm3", {"no_rope_layers": [0, 0, 0]}),
        ("granite4", {"position_embedding_type": None}),
        ("glm4", {"rope_scaling": YARN}),
        ("helium", {"rope_scaling": YARN}),
        ("granite", {"head_dim": 24}),
        ("olmo2", {"head_dim": 24}),
        ("phi3", {"head_dim": 24, "partial_rotary_factor": 1.0}),
        ("starcoder2", {"head_dim": 24}),
    ],
)
def test_a_setting_of_its_own_is_pytorchs(name: str, particular: dict[str, Any], tmp_path: Path) -> None:
    folder = save_tiny(name, tmp_path / "model", **particular)
    judge = _judge(folder, tmp_path / "bundle")
    _hold_to_pytorch(judge, AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").float().eval())


def _rewrite(folder: Path, **keys: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | keys), encoding="utf-8")


def test_ministral_under_its_first_name(tmp_path: Path) -> None:
    """A Mistral with ``layer_types`` is one for transformers."""
    folder = save_tiny("ministral", tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    _rewrite(folder, model_type="mistral", architectures=["MistralForCausalLM"])
    _hold_to_pytorch(_judge(folder, tmp_path / "bundle"), model)


def test_longrope_under_its_first_name(tmp_path: Path) -> None:
    folder = save_tiny("phi3-long", tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    written = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    scaling = written.get("rope_scaling") or written["rope_parameters"]
    factors = {key: scaling[key] for key in ("short_factor", "long_factor")}
    _rewrite(folder, rope_scaling={"type": "su", **factors}, rope_parameters=None)
    _hold_to_pytorch(_judge(folder, tmp_path / "bundle"), model)


def test_how_somebody_ran_it_is_nothing_to_the_export(tmp_path: Path) -> None:
    folder = save_tiny("llama", tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    _rewrite(folder, _attn_implementation="flash_attention_2")
    _hold_to_pytorch(_judge(folder, tmp_path / "bundle"), model)


def test_clipped_queries_are_refused_by_name(tmp_path: Path) -> None:
    folder = save_tiny("olmo", tmp_path / "model", clip_qkv=8.0)
    with pytest.raises(ExportError, match=r"clip_qkv = 8\.0: queries, keys and values cannot be clipped"):
        _judge(folder, tmp_path / "bundle")


def test_heads_that_the_runtime_has_not_are_refused_by_their_size(tmp_path: Path) -> None:
    folder = save_tiny("llama", tmp_path / "model", hidden_size=48, head_dim=12)
    with pytest.raises(ExportError, match="its heads have 12 features; the runtime's attention takes multiples of 8"):
        _judge(folder, tmp_path / "bundle")


def test_what_the_tracer_prints_stays_off_the_output(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Also what it prints from C++: standard output is a path for scripts to read."""
    with contextlib.suppress(RuntimeError), trace._quietly(tmp_path / "said"):
        print("from Python")
        os.write(1, b"from C++\n")
        raise RuntimeError
    print("after it")
    assert capfd.readouterr().out == "after it\n"
    assert (tmp_path / "said").read_text() == "from C++\n"

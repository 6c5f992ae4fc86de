"""A checkpoint in half precision makes a bundle that stores it so, and answers as its numbers in float32 do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rlaif_fast import Judge, Pair
from rlaif_fast.bundle.folder import Bundle, read_manifest
from rlaif_fast.bundle.manifest import WEIGHTS
from rlaif_fast.prompts.template import SUMMARY
from rlaif_fast.runtime import memory
from rlaif_fast.runtime import onnx_product as wire
from rlaif_fast.runtime.engines import variants
from rlaif_fast_export.exporter import export_bundle
from rlaif_fast_export.sources.source import find_source
from rlaif_fast_export.writing.answers import in_one_session, in_segments
from tests.families import save_tiny, tiny_model, tiny_tokenizer
from tests.plain_pytorch import reference_log_odds

_PAIRS = [
    Pair("The quick brown fox. " * 9, "A fox jumps.", "Seven wizards brew jam"),
    Pair("A text", "short", "a longer one " * 20),
]
_CASES = [("phi", torch.bfloat16), ("gemma3", torch.bfloat16), ("gpt2", torch.float16), ("gpt-neox", torch.float16)]


def _exported(folder: Path) -> Path:
    output = folder.with_name(f"{folder.name}-bundle")
    return export_bundle(find_source(str(folder)), output, SUMMARY, force=False, progress=lambda *_: None)


@pytest.mark.parametrize(("name", "dtype"), _CASES, ids=[name for name, _ in _CASES])
def test_it_answers_as_its_numbers_in_float32(
    name: str, dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = tiny_model(name)
    for parameter in exact.parameters():
        parameter.data = parameter.data.to(dtype).float()
    exact.save_pretrained(tmp_path / "wide")
    tiny_tokenizer().save_pretrained(tmp_path / "wide")
    wide, half = _exported(tmp_path / "wide"), _exported(save_tiny(name, tmp_path / "half", dtype=dtype))

    sizes = [read_manifest(bundle).files[WEIGHTS].bytes for bundle in (half, wide)]
    tables = sum(module.weight.numel() for module in exact.modules() if isinstance(module, torch.nn.Embedding))
    saved = 2 * (read_manifest(half).cost.per_token + tables)
    assert sizes[1] - sizes[0] == pytest.approx(saved, rel=0.05)  # the rest, like the prefix's values, is in float32
    judge = Judge.load(half)
    for pair in _PAIRS:
        wanted = reference_log_odds(exact, judge.prompt_tokens(pair), judge.manifest.prompt.label_ids) * [1, -1]
        assert np.abs(np.array(judge.judge(pair).log_odds_by_order) - wanted).max() < 1e-3
    bundles = [Bundle(bundle) for bundle in (half, wide)]
    for engine in variants():
        if engine.refusal(bundles[0].manifest) is None and not engine.rounds:
            answers = [Judge(bundle, engine=engine.name).judge_many(_PAIRS) for bundle in bundles]
            ours, theirs = ([verdict.log_odds_by_order for verdict in verdicts] for verdicts in answers)
            assert ours == theirs, engine.name

    monkeypatch.setattr("rlaif_fast_export.writing.segments._WEIGHTS", 30_000)
    prompt, arrays = bundles[0].manifest.prompt, bundles[0].arrays
    found = in_segments(half, read_manifest(half))(prompt, arrays, _PAIRS, lambda _: None)
    whole = in_one_session(half)(prompt, arrays, _PAIRS, lambda _: None)
    assert np.abs(found - whole).max() < 1e-5  # cut behind each weight, which keeps onnxruntime from joining a bias

    assert wire.products(bundles[0].graph) == wire.products(bundles[1].graph)
    assert bundles[0].manifest.cost == bundles[1].manifest.cost
    loaded = [memory.loaded(bundle.manifest, size) for bundle, size in zip(bundles, sizes, strict=True)]
    assert loaded[1] == sizes[1] and loaded[0] == pytest.approx(sizes[1] - 2 * tables, rel=0.02)  # tables stay half

"""Every family the exporter takes, as a tiny random model, against PyTorch in fp32."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rlaif_fast import ExportError, Judge, Pair
from rlaif_fast_export.passes.fused_attention import CHUNKS
from rlaif_fast_export.sources.families import SUPPORTED, maximum_length
from rlaif_fast_export.sources.source import find_source
from tests.families import ALL_FAMILIES, CONTEXT, VOCABULARY, has_class, tiny_model
from tests.plain_pytorch import reference_log_odds

LIMIT = 1e-3  # |difference in log-odds|


def test_every_supported_family_is_tested() -> None:
    assert {family for family, *_ in ALL_FAMILIES.values()} == set(SUPPORTED)


@pytest.mark.parametrize("name", ALL_FAMILIES)
def test_log_odds_are_pytorchs(name: str, tiny_bundle: Callable[[str], Path]) -> None:
    """Prompts of 1 to 500 tokens: behind the baked prefix, leaving it halfway, and without it."""
    judge = Judge.load(tiny_bundle(name))
    manifest, random = judge.manifest, np.random.default_rng(3)
    prefix = list(manifest.prompt.prefix_ids)
    assert len(prefix) > 10
    prompts = []
    for length in (1, 2, 5, 6, 41, 80, 200, 500):
        tokens = random.integers(3, VOCABULARY, length).tolist()
        prompts += [tokens, [*prefix[: len(prefix) // 2], *tokens], [*prefix, *tokens]]
    reference = reference_log_odds(tiny_model(name), prompts, manifest.prompt.label_ids)
    assert np.std(reference) > 0.1, "a model that answers everything alike tests nothing"
    alone = np.array([judge.log_odds_of([prompt])[0] for prompt in prompts])
    assert np.abs(alone - reference).max() < LIMIT
    # Many in one packed tree: a prompt must not see its neighbours.
    for some in (slice(0, 19), slice(19, 21), slice(22, 24)):
        assert np.abs(judge.log_odds_of(prompts[some]) - reference[some]).max() < LIMIT


@pytest.mark.parametrize("name", ALL_FAMILIES)
def test_verdicts_are_pytorchs(name: str, tiny_bundle: Callable[[str], Path]) -> None:
    """Whole pairs through the template, both orders, alone and sharing a tree."""
    judge = Judge.load(tiny_bundle(name))
    model, manifest = tiny_model(name), judge.manifest
    texts = ["A fox jumps.", "Seven wizards brew hot jam, quickly!", "1 or 2?\n\nLazy dog", "output 12"]
    pairs = [Pair("The quick brown fox. " * n, a, b) for n in (1, 6) for a in texts for b in texts if a != b]
    grouped = list(judge.judge_many(pairs))
    for pair, together in zip(pairs, grouped, strict=True):
        forward, swapped = reference_log_odds(model, judge.prompt_tokens(pair), manifest.prompt.label_ids)
        for verdict in (together, judge.judge(pair)):
            assert verdict.pair is pair
            np.testing.assert_allclose(verdict.log_odds_by_order, (forward, -swapped), rtol=0, atol=LIMIT)


def test_ministral_3_ends_where_its_queries_are_scaled(tiny_folder: Callable[[str], Path]) -> None:
    source = find_source(str(tiny_folder("ministral3")))
    assert maximum_length(source.config()) == CONTEXT
    assert source.notes == ["context: 1,024 of the model's 4,096 tokens; beyond, its queries are scaled"]


def test_a_family_of_the_other_lane_is_named(tmp_path: Path) -> None:
    if has_class("ministral3"):
        pytest.skip("transformers has it")
    text = {"model_type": "ministral3"}
    for written in (text, {"model_type": "mistral3", "text_config": text}):
        (tmp_path / "config.json").write_text(json.dumps(written))
        with pytest.raises(
            ExportError, match=r"'ministral3' is not in transformers 4.*install rlaif-fast\[export-next]"
        ):
            find_source(str(tmp_path)).config()


def test_every_layer_is_fused(tiny_bundle: Callable[[str], Path]) -> None:
    for name in filter(has_class, ALL_FAMILIES):
        manifest = Judge.load(tiny_bundle(name)).manifest
        assert manifest.passes["fused_attention"] == 2
        assert manifest.passes["attention_of_judged"] == 1
        assert manifest.operators["com.microsoft.GroupQueryAttention"] == 2 * CHUNKS
        assert not {"Sigmoid", "Pow", "ReduceMean", "Erf", "Where"} & set(manifest.operators) - (
            {"Where"} if name == "apertus" or "window" in str(ALL_FAMILIES[name][3]) else set()
        )

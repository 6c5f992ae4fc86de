"""What a pair costs through a prompt: counted by hand here, and shown by three commands."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from transformers import AutoModelForCausalLM

from rlaif_fast import Judge
from rlaif_fast.bundle.folder import read_manifest
from rlaif_fast.bundle.manifest import TOKENIZER, Cost
from rlaif_fast.cli import cli
from rlaif_fast.judging.pair_cost import bundle_costs, pair_costs
from rlaif_fast.prompts.built_in import BUILT_IN, template_of
from rlaif_fast.prompts.score_template import DIGITS, SCORE_TEMPLATES
from rlaif_fast.prompts.template import SUMMARY
from rlaif_fast.prompts.tokenizer import PromptTokenizer, common_length
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.runtime.packing import pack
from rlaif_fast_export.exporter import export_bundle
from rlaif_fast_export.reference.texts import shipped_pairs
from rlaif_fast_export.sources.products import pass_cost
from rlaif_fast_export.sources.source import find_source
from tests.conftest import Run

HARMLESS, SCORE = template_of(BUILT_IN["harmless-detailed"]), SCORE_TEMPLATES["score-helpful"]
Folders = Callable[[str], Path]


@pytest.fixture(scope="module")
def bundle(tiny_folder: Folders, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a prompt before the plain one, and one for scores."""
    return export_bundle(
        find_source(str(tiny_folder("gemma2"))), tmp_path_factory.mktemp("costs") / "bundle", HARMLESS,
        more=[SUMMARY, SCORE], force=False, progress=lambda what, share: None,
    )  # fmt: skip


def new_tokens(first: Sequence[int], second: Sequence[int], prefix: int) -> int:
    """Of two sequences that begin with a prefix: what they have in common behind it counts once."""
    return len(first) + len(second) - common_length(first, second) - prefix


def test_tokens_and_multiply_adds_by_hand(bundle: Path) -> None:
    manifest, tokenizer = read_manifest(bundle), PromptTokenizer.from_file(bundle / TOKENIZER)
    pairs = manifest.prompt.probes
    assert [len(one.probes) for one in manifest.prompts] == [5, 1, 1], "the same pairs for all; the context holds five"
    found = bundle_costs(manifest, tokenizer)
    assert [*found] == ["harmless-detailed", "summary", "score-helpful"]
    work = {}
    for prompt in manifest.prompts[:2]:
        size, template = len(prompt.prefix_ids), manifest.through(prompt.name).pair_template
        both = [
            [tokenizer.encode(template.render(p.instruction, *shown)) for shown in
             ((p.response_0, p.response_1), (p.response_1, p.response_0))]
            for p in pairs
        ]  # fmt: skip
        tokens = [new_tokens(first, second, size) for first, second in both]
        adds = [n * (manifest.cost.per_token + (size + n) * manifest.cost.per_token_pair) for n in tokens]
        work[prompt.name] = sum(adds) / 5
        assert (found[prompt.name].baked, found[prompt.name].tokens) == (size, sum(tokens) / 5)
        judge = Judge.load(bundle, template=prompt.name)
        packed = [judge.prompt_tokens(Pair(p.instruction, p.response_0, p.response_1)) for p in pairs]
        assert tokens == [pack(orders, prompt.prefix_ids).tokens for orders in packed], "as it is packed when judging"
    assert found["summary"].relative == 1.0
    assert found["harmless-detailed"].relative == pytest.approx(work["harmless-detailed"] / work["summary"], rel=1e-12)
    assert found["harmless-detailed"].plain == "summary" and found["harmless-detailed"].pairs == 5


def test_scores_share_a_pass_only_at_fp32(bundle: Path) -> None:
    """The responses of a pair, each with what is read behind its "1" where ten is two tokens."""
    prompt = read_manifest(bundle).through("score-helpful").prompt
    tokenizer, pairs = PromptTokenizer.from_file(bundle / TOKENIZER), shipped_pairs("probes")[:3]
    one, size = prompt.label_ids[1], len(prompt.prefix_ids)
    assert prompt.template.labels == DIGITS
    asked = [
        [tokenizer.encode(SCORE.render(p.instruction, text)) for text in (p.response_0, p.response_1)] for p in pairs
    ]
    apart = [sum(len(ids) + 1 - size for ids in of_pair) for of_pair in asked]
    together = [len(pack([*of_pair, *([*ids, one] for ids in of_pair)], prompt.prefix_ids).input_ids[0])
                for of_pair in asked]  # fmt: skip
    linear = Cost(1, 0)
    for shared, wanted in ((False, apart), (True, together)):
        found = pair_costs([prompt], prompt, tokenizer, pairs, linear, shared=shared)["score-helpful"]
        assert (found.tokens, found.relative) == (sum(wanted) / 3, 1.0)
    assert sum(together) < sum(apart)


@pytest.mark.parametrize("name", ["llama", "phi", "gemma3", "gpt-neox", "gpt2"])
def test_the_cost_is_known_without_weights(name: str, tiny_bundle: Folders, tiny_folder: Folders) -> None:
    assert pass_cost(find_source(str(tiny_folder(name)))) == read_manifest(tiny_bundle(name)).cost


def test_the_cost_of_an_int8_bundle_is_the_same(tiny_int8: Folders, tiny_folder: Folders) -> None:
    assert pass_cost(find_source(str(tiny_folder("llama")))) == read_manifest(tiny_int8("llama")).cost


def test_a_bundle_without_the_plain_prompt_or_without_probes(bundle: Path) -> None:
    manifest, tokenizer = read_manifest(bundle), PromptTokenizer.from_file(bundle / TOKENIZER)
    others = replace(manifest, prompts=(manifest.prompts[0], manifest.prompts[2]))
    assert {cost.plain for cost in bundle_costs(others, tokenizer).values()} == {"harmless-detailed"}
    bare = replace(manifest, prompts=tuple(replace(one, probes=()) for one in manifest.prompts))
    assert bundle_costs(bare, tokenizer) == {}


def test_inspect_and_list(bundle: Path, rlaif_fast: Callable[..., Run]) -> None:
    listed = rlaif_fast("prompt", "list", bundle)
    assert listed.status == 0, listed.err
    head, *rows, first, last = listed.out.splitlines()
    assert re.split("  +", head.strip()) == [
        "prompt", "for", "baked", "a pair", "time", "mean error", "MB",
    ]  # fmt: skip
    assert [row.replace(" *", "").split()[:5] for row in rows] == [
        ["harmless-detailed", "pairs", "500", "535", "1.68"],
        ["summary", "pairs", "64", "503", "1.00"],
        ["score-helpful", "scores", "158", "393", "0.61"],
    ]
    assert first == "* what is taken without --template"
    assert last == (
        "tokens baked, and of a pair in both orders (scores: of both responses), mean of 5 probe pairs; its time in"
        " that through summary, computed from multiply-adds, not timed; mean error to PyTorch fp32"
    )
    lines = {
        "harmless-detailed": "535 tokens, both orders, mean of 5 probe pairs; 1.68 times as long as through summary"
        " (computed from multiply-adds, not timed)",
        "summary": "503 tokens, both orders, mean of 5 probe pairs",
        "score-helpful": "393 tokens, both responses, mean of 5 probe pairs; 0.61 times as long as through summary"
        " (computed from multiply-adds, not timed)",
    }
    for name, line in lines.items():
        shown = rlaif_fast("inspect", bundle, "--template", name, COLUMNS="200")
        assert f"a pair     {line}" in map(str.rstrip, shown.out.splitlines())
    figures = json.loads(rlaif_fast("inspect", bundle, "--json").out)["pair_costs"]
    assert figures["summary"] == {"baked": 64, "tokens": 502.8, "relative": 1.0, "plain": "summary", "pairs": 5}
    assert [one["pair_cost"] for one in json.loads(rlaif_fast("prompt", "list", bundle, "--json").out)] == [
        figures[name] for name in lines
    ]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("summary", "755 tokens, both orders, mean of 8 probe pairs"),
        (
            "harmless-detailed",
            "787 tokens, both orders, mean of 8 probe pairs; 1.40 times as long as through summary (computed from"
            " multiply-adds, not timed)",
        ),
        (
            "score-helpful",
            "580 tokens, both responses, mean of 8 probe pairs; 0.69 times as long as through summary (computed from"
            " multiply-adds, not timed)",
        ),
    ],
)
def test_check(name: str, line: str, tiny_folder: Folders, rlaif_fast: Callable[..., Run]) -> None:
    done = rlaif_fast("template", "check", name, "--model", tiny_folder("llama"))
    assert (done.status, done.out.splitlines()[2:]) == (0, [f"a pair: {line}"])


def test_where_the_cost_is_not_known_tokens_are_compared(tiny_folder: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ValueError("needs trust_remote_code")

    monkeypatch.setattr(AutoModelForCausalLM, "from_config", refuse)
    model = tiny_folder("llama")
    assert pass_cost(find_source(str(model))) is None
    done = CliRunner().invoke(cli, ["template", "check", "harmless-detailed", "--model", str(model)])
    assert done.output.splitlines()[2:] == [
        "a pair: 787 tokens, both orders, mean of 8 probe pairs; 1.04 times as long as through summary (computed from"
        " tokens, not timed)"
    ]

"""The judge from Python: streaming, grouping, text that is only text."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rlaif_fast import Judge, Pair, PairError
from rlaif_fast.bundle.folder import read_manifest, write_manifest
from rlaif_fast.bundle.home import bundle_folder
from tests.families import CONTEXT, tiny_model, tiny_tokenizer
from tests.plain_pytorch import reference_log_odds


def _pairs(n: int) -> list[Pair]:
    responses = ["A fox.", "Seven wizards brew jam.", "Lazy dog, quickly!", "coherent"]
    return [
        Pair(f"Text number {i % 5}. " * (1 + i % 3), responses[i % 4], responses[(i + 1 + i // 4) % 4], id=i)
        for i in range(n)
    ]


def test_verdicts_come_in_the_order_of_the_pairs(llama_judge: Judge) -> None:
    pairs = _pairs(90)
    assert [v.pair.id for v in llama_judge.judge_many(pairs)] == list(range(90))


def test_verdicts_do_not_depend_on_neighbours(llama_judge: Judge) -> None:
    """Alone, grouped, in reverse, shuffled: the same within 1e-4 in log-odds, and no flip."""
    pairs = _pairs(60)
    alone = {v.pair.id: v for v in llama_judge.judge_many(pairs, window=1)}
    shuffled = [pairs[i] for i in np.random.default_rng(1).permutation(60)]
    for order in (pairs, pairs[::-1], shuffled):
        for verdict in llama_judge.judge_many(order):
            same = alone[verdict.pair.id]
            np.testing.assert_allclose(verdict.log_odds_by_order, same.log_odds_by_order, rtol=0, atol=1e-4)
            assert verdict.label == same.label


def test_the_same_pairs_give_the_same_bytes(llama_judge: Judge, llama: Path) -> None:
    first = [v.to_json() for v in llama_judge.judge_many(_pairs(40))]
    assert first == [v.to_json() for v in Judge.load(llama).judge_many(_pairs(40))]


def test_an_endless_source_is_read_a_window_ahead(llama_judge: Judge) -> None:
    read = 0

    def endless() -> Iterator[Pair]:
        nonlocal read
        for read in itertools.count(1):
            yield Pair(f"Text {read}", "a fox", "a dog")

    verdicts = llama_judge.judge_many(endless())
    for _ in range(3):
        next(verdicts)
    assert read <= 32


def test_forward_judges_one_order(llama_judge: Judge) -> None:
    pair = _pairs(1)[0]
    both, forward = llama_judge.judge(pair), llama_judge.judge(pair, orders="forward")
    assert forward.consistent is None
    assert len(forward.p1_by_order) == 1
    assert forward.p1_by_order[0] == pytest.approx(both.p1_by_order[0], abs=1e-6)
    assert forward.p1 == forward.p1_by_order[0]


def test_swapping_the_responses_swaps_the_verdict(llama_judge: Judge) -> None:
    pair = Pair("Text", "a fox jumps", "seven wizards")
    swapped = Pair("Text", pair.response_1, pair.response_0)
    d, e = llama_judge.judge(pair).log_odds_by_order, llama_judge.judge(swapped).log_odds_by_order
    np.testing.assert_allclose(d, (-e[1], -e[0]), rtol=0, atol=1e-5)


def test_identical_responses_cancel(llama_judge: Judge) -> None:
    verdict = llama_judge.judge(Pair("Text", "a fox", "a fox"))
    assert verdict.p1 == pytest.approx(0.5, abs=1e-9)


def test_special_tokens_in_a_response_are_characters(llama_judge: Judge) -> None:
    """The seed's way would read them as the tokens: documented in docs/agreement.md, and shown here."""
    pair = Pair("Text", "done<|im_end|></s>", "a fox")
    tokens = llama_judge.prompt_tokens(pair)[0]
    assert tokens[0] == 0  # the tokenizer's own <s>
    assert not {0, 1, 2} & set(tokens[1:])
    forward, _ = llama_judge.judge(pair).log_odds_by_order
    reference = reference_log_odds(tiny_model("llama"), [tokens], llama_judge.manifest.prompt.label_ids)[0]
    assert forward == pytest.approx(reference, abs=1e-3)
    prompt = llama_judge.manifest.pair_template.render(pair.instruction, pair.response_0, pair.response_1)
    seeds = tiny_tokenizer()(prompt)["input_ids"]
    assert {1, 2} <= set(seeds)
    seeds_answer = reference_log_odds(tiny_model("llama"), [seeds], llama_judge.manifest.prompt.label_ids)[0]
    assert abs(seeds_answer - forward) > 1e-2


def test_a_text_that_merges_with_the_head_is_still_exact(llama_judge: Judge) -> None:
    """Whatever an instruction begins with, the prompt is the whole tokenisation's, prefix or not."""
    model = tiny_model("llama")
    for start in ("", " ", "\n\n", "-", "- ", "1", "é", "日本", "\t\t", "Text - "):
        pair = Pair(start + "fox", "a", "b")
        prompts = llama_judge.prompt_tokens(pair)
        forward, swapped = reference_log_odds(model, prompts, llama_judge.manifest.prompt.label_ids)
        np.testing.assert_allclose(llama_judge.judge(pair).log_odds_by_order, (forward, -swapped), rtol=0, atol=1e-3)


def test_a_prompt_over_the_context_names_the_pair(llama_judge: Judge) -> None:
    pair = Pair("fox " * CONTEXT, "a", "b", id="long", where="pairs.jsonl, line 7")
    with pytest.raises(
        PairError, match=r"pairs.jsonl, line 7, id 'long': the prompt has [\d,]+ tokens, .* takes 1,024"
    ):
        llama_judge.judge(pair)


def test_a_prompt_of_the_whole_context_is_judged(llama_judge: Judge) -> None:
    """Both orders at full length make a tree of nearly two contexts."""
    words = 1
    while True:
        longer = Pair("x", "a b c " * (words + 1), "d e f " * words)
        try:
            llama_judge.prompt_tokens(longer)
        except PairError:
            break
        pair, words = longer, words + 1
    prompts = llama_judge.prompt_tokens(pair)
    assert max(map(len, prompts)) > CONTEXT - 20
    forward, swapped = reference_log_odds(tiny_model("llama"), prompts, llama_judge.manifest.prompt.label_ids)
    np.testing.assert_allclose(llama_judge.judge(pair).log_odds_by_order, (forward, -swapped), rtol=0, atol=1e-3)


def test_load_by_id_finds_what_was_exported(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLAIF_FAST_HOME", str(tmp_path))
    folder = bundle_folder("someone/their-model")
    shutil.copytree(llama, folder)
    manifest = read_manifest(folder)
    write_manifest(folder, replace(manifest, model=replace(manifest.model, id="someone/their-model")))
    assert Judge.load("someone/their-model").manifest.model.id == "someone/their-model"

"""Int8: pairs on one instruction share its pass, and get to the last bit what they get alone."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlaif_fast import Judge, Pair, Ranker
from rlaif_fast.bundle.folder import Bundle
from rlaif_fast.judging.rater import Rater
from rlaif_fast.judging.session import Session
from rlaif_fast.prompts.score_template import SCORE_TEMPLATES
from rlaif_fast.rows.samples import Sample
from rlaif_fast.runtime import pieces
from rlaif_fast.runtime.cache_outputs import cache_outputs
from rlaif_fast.runtime.engines import EngineOptions, variants
from rlaif_fast.runtime.packing import pack
from rlaif_fast_export.adding import add_prompts
from rlaif_fast_export.sources.source import find_source
from tests.test_engines import judge_by, log_odds

_WORDS = ("seven", "wizards", "brew", "hot", "jam", "The", "lazy", "dog", "jumps", "over", "a", "fox")
FAMILIES = ["llama", "gemma2"]  # the second with sliding windows, softcaps and a norm behind attention


def text(of: random.Random, words: int) -> str:
    return " ".join(of.choices(_WORDS, k=words))


def pairs(n: int = 12) -> list[Pair]:
    """On two long instructions and a short one, in turn; a response may merge with what is before it."""
    of = random.Random(5)
    instructions = [text(of, 150), text(of, 190), text(of, 4)]
    return [
        Pair(instructions[i % 3], of.choice(["", "\n", " "]) + text(of, 9), text(of, 5 + i), id=i) for i in range(n)
    ]


def counted(judge: Session[Any], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Tokens of each pass that an instruction gets."""
    asked, real = [], judge._engine.keys_and_values
    monkeypatch.setattr(
        judge._engine, "keys_and_values", lambda tree, prompt: asked.append(tree.tokens) or real(tree, prompt)
    )
    return asked


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("engine", [v.name for v in variants()])
def test_a_verdict_is_the_same_alone_and_in_any_company(
    engine: str, family: str, tiny_int8: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    judge, of = judge_by(engine, tiny_int8(family)), pairs()
    alone = np.array([judge_by(engine, tiny_int8(family)).judge(pair).log_odds_by_order for pair in of[:3]])
    asked = counted(judge, monkeypatch)
    together = log_odds(judge, of, window=len(of))
    if judge._engine.keeps:
        assert 2 <= len(asked) < 8 and min(asked) >= pieces.SHARED, "not once a pair"
    assert np.array_equal(together[:3], alone)
    assert np.array_equal(log_odds(judge, of, window=1), together)
    order = np.random.default_rng(2).permutation(len(of))
    assert np.array_equal(log_odds(judge, [of[i] for i in order], window=5), together[order])
    resumed = [verdict.log_odds_by_order for verdict in judge.judge_many(of, window=len(of), done=7)]
    assert np.array_equal(resumed, together[7:])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pass_of_its_own_changes_rounding_only(
    family: str, tiny_int8: Callable[[str], Path], tiny_limit: Callable[[str], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    judge, of = Judge(Bundle(tiny_int8(family))), pairs()
    asked = counted(judge, monkeypatch)
    apart, passes = log_odds(judge, of), len(asked)
    monkeypatch.setattr(pieces, "SHARED", 10_000)
    whole = log_odds(judge, of)
    assert len(asked) == passes > 0
    assert np.abs(apart - whole).mean() <= tiny_limit(family)
    assert np.array_equal(apart[2::3], whole[2::3]), "a short instruction gets no pass"


@pytest.mark.parametrize("family", FAMILIES)
def test_kept_keys_are_those_of_a_longer_prefix(family: str, tiny_int8: Callable[[str], Path]) -> None:
    judge = Judge(Bundle(tiny_int8(family)))
    arrays, prefix = judge._bundle.arrays, judge.manifest.prompt.prefix_ids
    ids = judge.prompt_tokens(pairs()[0])[0]
    kept = judge._engine.keys_and_values(pack([ids], prefix), arrays)
    assert kept.keys() == {name for name in arrays if name.startswith("prefix.")}
    for name, values in kept.items():
        assert values.shape[2] == len(ids) - len(prefix) and values.dtype == np.float32
        if name.endswith("key"):  # rotated, each by another angle
            assert len(np.unique(values[0, 0], axis=0)) == len(ids) - len(prefix)
    assert len(set(cache_outputs(judge._bundle.graph).values())) == len(kept)
    few = judge._engine.keys_and_values(pack([ids[: len(prefix) + 2]], prefix), arrays)
    assert {values.shape[2] for values in few.values()} == {2}, "not those that fill up a pass"


def test_exchanged_responses_still_mirror(tiny_int8: Callable[[str], Path]) -> None:
    judge, of = Judge(Bundle(tiny_int8("llama"))), pairs()
    for pair in of[:2]:
        first, second = judge.judge(pair).log_odds_by_order
        other = judge.judge(replace(pair, response_0=pair.response_1, response_1=pair.response_0))
        assert other.log_odds_by_order == (-second, -first)


def test_a_ranking_s_verdicts_are_the_judge_s(
    tiny_int8: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = Judge(Bundle(tiny_int8("llama")))
    asked, of = counted(judge, monkeypatch), random.Random(7)
    ranking = Ranker(judge).rank(text(of, 150), [text(of, 5 + n) for n in range(5)])
    assert len(asked) == 1
    for verdict in ranking.verdicts.values():
        assert (
            verdict.log_odds_by_order
            == judge_by("onnxruntime", tiny_int8("llama")).judge(verdict.pair).log_odds_by_order
        )


def test_a_score_is_the_same_alone_and_in_company(
    tiny_int8: Callable[[str], Path], tiny_folder: Callable[[str], Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    folder = Path(shutil.copytree(tiny_int8("llama"), tmp_path / "int8"))
    template = SCORE_TEMPLATES["score-summary"]
    source = find_source(str(tiny_folder("llama")))
    add_prompts(folder, source, [template], chat=False, progress=lambda what, share: None, max_delta=10.0)
    rater = Rater(Bundle(folder, template.name))
    asked = counted(rater, monkeypatch)
    samples = [Sample(pair.instruction, pair.response_0) for pair in pairs()]
    together = list(rater.rate_many(samples, window=len(samples)))
    assert 2 <= len(asked) < 8
    for sample, rating in zip(samples, together, strict=True):
        assert Rater(Bundle(folder, template.name), beside=rater).rate(sample) == rating
    many = [Sample(f"{n % 20} {pair.instruction}", pair.response_0) for n, pair in enumerate(pairs(40))]
    at_once = Rater(Bundle(folder, template.name), EngineOptions(threads=2))
    assert list(at_once.rate_many(many, window=len(many))) == [rater.rate(sample) for sample in many]

"""Prompts in pieces: the passes they are cut into, and verdicts that do not tell."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif_fast import Judge, JudgeError, Pair
from rlaif_fast.bundle.folder import Bundle
from rlaif_fast.judging.rater import Rater
from rlaif_fast.prompts.score_template import SCORE_TEMPLATES
from rlaif_fast.prompts.template import SUMMARY
from rlaif_fast.rows.samples import Sample
from rlaif_fast.runtime import cgroup, pieces
from rlaif_fast.runtime.packing import TreeBuilder
from rlaif_fast.runtime.pieces import Branch, branches, cut
from rlaif_fast_export.adding import add_prompts
from rlaif_fast_export.exporter import export_bundle
from rlaif_fast_export.sources.source import find_source
from tests.families import FAMILIES, save_tiny, tiny_model
from tests.plain_pytorch import reference_log_odds
from tests.test_company import text
from tests.test_engines import judge_by, log_odds
from tests.test_symmetry import exchanged, require_mirrored

PREFIX = (8, 9, 8)
WHOLE = 1 << 20  # tokens: no pass is cut
_TOKENS = st.lists(st.integers(0, 1), max_size=40)


def passes(sequences: list[tuple[int, ...]], ending: int, longest: int) -> list[Branch]:
    """Behind many tokens they are a little shorter."""
    return list(branches(sequences, (PREFIX,), ending, lambda known: longest - known // 50))


@settings(deadline=None)
@given(
    trunk=_TOKENS, tails=st.lists(_TOKENS, min_size=1, max_size=5), ending=st.integers(0, 4),
    longest=st.integers(6, 60), shared=st.integers(1, 9), leaves=st.booleans(),
)  # fmt: skip
def test_passes_are_bounded_and_make_up_the_sequences(
    trunk: list[int], tails: list[list[int]], ending: int, longest: int, shared: int, leaves: bool
) -> None:
    """Also where all leave the prefix before its end, as a tokenizer that merges across it makes them."""
    sequences = sorted((*PREFIX[: 2 if leaves else 3], 5, *trunk, *tail, 7) for tail in tails)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "SHARED", shared)
        found = passes(sequences, ending, longest)
    judged, whole = [], TreeBuilder(PREFIX)
    for tokens in sequences:
        whole.add(tokens)
    for branch in found:
        assert branch.tree.tokens <= longest and all(0 < len(piece) <= longest for piece in branch.behind[1:])
        columns = [token for piece in branch.behind for token in piece]
        tree = branch.tree.build()
        columns += tree.input_ids[0].tolist()
        for row in tree.judged:
            seen = np.flatnonzero(tree.attention_bias[0, 0, row] == 0)
            judged.append(tuple(columns[column] for column in seen))
        if len(branch.behind) > 1:
            ends = min(map(len, judged[-len(tree.judged) :])) - ending
            assert sum(map(len, branch.behind)) <= ends, "an ending is in the pass that judges it"
    assert judged == sequences
    assert ([branch.behind for branch in found] == [(PREFIX,)]) == (whole.tokens <= longest)


@given(st.integers(1, 9000), st.integers(0, 8000))
def test_what_is_cut_is_all_there(count: int, known: int) -> None:
    found = cut(range(count), known, lambda known: pieces.LONGEST)
    assert [token for piece in found for token in piece] == list(range(count))
    assert all(len(piece) <= pieces.LONGEST * 5 / 6 for piece in found)
    assert len({*map(len, found[:-1])}) <= 1, "a longer text has the same pieces, and more"


def long_pairs() -> list[Pair]:
    """Of hundreds of tokens: long instructions, long responses that begin alike, equal ones, and a short pair."""
    of = random.Random(11)
    told, again, said = text(of, 90), text(of, 70), text(of, 45)
    return [
        Pair(told, "a fox", "a dog"),
        Pair(again, said, f"{said} {text(of, 20)}"),
        Pair(told, text(of, 60), text(of, 50)),
        Pair("Say.", said, text(of, 90)),
        Pair("Say.", said, said),
        Pair(again, "jam", f"{said} jam"),
        Pair("Say.", "jam", "fox"),
    ]


def cut_short(judge: Judge, monkeypatch: pytest.MonkeyPatch, longest: int = 60) -> list[int]:
    """From here on passes are short; gets the tokens of each."""
    sizes: list[int] = []
    monkeypatch.setattr(pieces, "LONGEST", longest)
    monkeypatch.setattr(pieces, "SHARED", 16)
    for name in ("run", "keys_and_values"):
        real = getattr(judge._engine, name)
        monkeypatch.setattr(
            judge._engine, name, lambda tree, given, real=real: sizes.append(tree.tokens) or real(tree, given)
        )
    return sizes


@pytest.mark.parametrize("family", FAMILIES)
def test_float32_verdicts_are_those_of_one_pass_and_of_pytorch(
    family: str, tiny_bundle: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows of 40 tokens reach across pieces of 40, and into the prefix."""
    judge, of = Judge(Bundle(tiny_bundle(family))), long_pairs()
    monkeypatch.setattr(pieces, "LONGEST", WHOLE)
    whole = log_odds(judge, of)
    sizes = cut_short(judge, monkeypatch)
    for window in (1, len(of)):
        found = log_odds(judge, of, window=window)
        assert max(sizes) <= 60 and len(sizes) > 40
        np.testing.assert_allclose(found, whole, rtol=0, atol=1e-4)
    prompts = [ids for pair in of for ids in judge.prompt_tokens(pair)]
    wanted = reference_log_odds(tiny_model(family), prompts, judge.manifest.prompt.label_ids)
    np.testing.assert_allclose(np.abs(found).ravel(), np.abs(wanted), rtol=0, atol=1e-4)  # of a swapped order: -


@pytest.mark.parametrize("family", ["llama", "gemma2"])
@pytest.mark.parametrize("longest", [60, 250])
def test_int8_verdicts_are_the_same_alone_in_company_resumed_and_mirrored(
    longest: int, family: str, tiny_int8: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    judge, of = Judge(Bundle(tiny_int8(family))), long_pairs()
    sizes = cut_short(judge, monkeypatch, longest)
    alone = np.array([judge.judge(pair).log_odds_by_order for pair in of])
    apart = len(sizes)
    for window in (2, len(of)):
        sizes.clear()
        assert np.array_equal(log_odds(judge, of, window=window), alone)
    assert len(sizes) < apart and max(sizes) <= longest, "what is the same is computed once"
    order = np.random.default_rng(2).permutation(len(of))
    assert np.array_equal(log_odds(judge, [of[i] for i in order], window=3), alone[order])
    resumed = [verdict.log_odds_by_order for verdict in judge.judge_many(of, window=len(of), done=3)]
    assert np.array_equal(resumed, alone[3:])
    for pair in of:
        require_mirrored(judge.judge(pair), judge.judge(exchanged(pair)))


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_int8_in_pieces_differs_by_rounding(
    family: str, tiny_int8: Callable[[str], Path], tiny_limit: Callable[[str], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    judge, of = Judge(Bundle(tiny_int8(family))), long_pairs()
    whole = log_odds(judge, of)
    cut_short(judge, monkeypatch)
    assert np.abs(log_odds(judge, of) - whole).mean() <= tiny_limit(family)


def test_float32_mirrors_in_pieces(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Judge(Bundle(llama))
    cut_short(judge, monkeypatch)
    for pair in long_pairs():
        require_mirrored(judge.judge(pair), judge.judge(exchanged(pair)))


@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_a_long_context(family: str, tmp_path: Path) -> None:
    """With pieces as they are: nearly 4,096 tokens in the instruction, and in the responses."""
    more = {"sliding_window": 1500} if family == "mistral" else {}
    save_tiny(family, tmp_path / "model", max_position_embeddings=4096, num_hidden_layers=2, **more)
    source = find_source(str(tmp_path / "model"))
    export_bundle(source, tmp_path / "bundle", SUMMARY, force=False, progress=lambda what, share: None)
    judge, of = Judge(Bundle(tmp_path / "bundle")), random.Random(3)
    model = tiny_model(family, max_position_embeddings=4096, num_hidden_layers=2, **more)
    for instruction, first, second in ((2800, 9, 12), (5, 1300, 1500)):
        pair = Pair(text(of, instruction), text(of, first), text(of, second))
        prompts = judge.prompt_tokens(pair)
        assert 2 * pieces.LONGEST < min(map(len, prompts)) < 4096
        wanted = reference_log_odds(model, prompts, judge.manifest.prompt.label_ids)
        found = judge.judge(pair).log_odds_by_order
        np.testing.assert_allclose(found, wanted * [1, -1], rtol=0, atol=1e-4)


def test_scores_in_pieces(
    llama: Path, tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, template = Path(shutil.copytree(llama, tmp_path / "bundle")), SCORE_TEMPLATES["score-summary"]
    add_prompts(folder, find_source(str(tiny_folder("llama"))), [template], chat=False, progress=lambda *_: None)
    rater = Rater(Bundle(folder, template.name))
    samples = [Sample(pair.instruction, pair.response_1) for pair in long_pairs()]
    whole = [rating.score for rating in rater.rate_many(samples)]
    sizes = cut_short(rater, monkeypatch)  # type: ignore[arg-type]
    assert [rating.score for rating in rater.rate_many(samples)] == pytest.approx(whole, abs=1e-4)
    assert max(sizes) <= 60


@pytest.mark.parametrize("engine", ["openvino"])
def test_an_engine_that_keeps_nothing_takes_one_pass(engine: str, llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = judge_by(engine, llama)
    sizes = cut_short(judge, monkeypatch)
    judge.judge(long_pairs()[0])
    assert len(sizes) == 1 and sizes[0] > 60


def test_what_a_prompt_in_pieces_needs_is_said_beforehand(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge, pair = Judge(Bundle(llama)), replace(long_pairs()[0], where="mine, line 3")
    sizes = cut_short(judge, monkeypatch, 96)
    monkeypatch.setattr(cgroup, "memory_left", lambda: 64_000_000)
    told = r"^mine, line 3: a prompt of \d+ tokens in passes of at most \d\d needs about \d+ MB, 64 MB are left"
    with pytest.raises(JudgeError, match=told):
        judge.judge(pair)
    assert not sizes, "nothing was computed"

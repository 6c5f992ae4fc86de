"""A third label, for ties: soft labels against PyTorch's softmax over three, and what becomes of them."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from rlaif_fast import Judge, Pair
from rlaif_fast.bundle.folder import Bundle, read_manifest
from rlaif_fast.bundle.manifest import Manifest
from rlaif_fast.bundle.prompt import LABEL_OFFSET
from rlaif_fast.errors import FidelityError, TemplateError
from rlaif_fast.judging.label_odds import first_odds, tie_shares, verdict_of
from rlaif_fast.judging.verdict import sigmoid
from rlaif_fast.prompts.score_template import SCORE_TEMPLATES
from rlaif_fast.prompts.template import SUMMARY, Template
from rlaif_fast.runtime.engines import variant, variants
from rlaif_fast.runtime.selftest import FAITHFUL
from rlaif_fast_export.adding import add_prompts
from rlaif_fast_export.exporter import export_bundle
from rlaif_fast_export.int8.options import Int8Options
from rlaif_fast_export.other_prompts import ask_through, hold
from rlaif_fast_export.prompts.fitted import fit
from rlaif_fast_export.reference.blockwise import Blockwise
from rlaif_fast_export.reference.seed_way import SeedWay
from rlaif_fast_export.reference.verify import require_ties
from rlaif_fast_export.sources.source import find_source
from rlaif_fast_export.writing.answers import in_one_session, in_segments
from tests.conftest import TINY_SHARE
from tests.families import tiny_model
from tests.plain_pytorch import reference_shares

Folders = Callable[[str], Path]
HEAD = "Which is better, A or B? Say C if neither is.\n"
TIED = Template("tied", HEAD + "{instruction}\nA: {first}\nB: {second}\nAnswer: ", ("A", "B", "C"))
PAIRS = [
    Pair("The quick brown fox jumps over the lazy dog.", "A fox jumps.", "A dog sleeps.", id=0),
    Pair("Seven wizards brew hot jam. " * 5, "Wizards make jam.", "The quick brown fox.\n", id=1),
    Pair("Seven wizards brew hot jam. " * 5, "Wizards.", "Jam is brewed by seven.", id=2),
    Pair("1\n2\n", "2", "1", id=3),
]


def _quiet(what: str, share: float) -> None:
    pass


def export(model: Path, output: Path, *templates: Template, **more: Any) -> Path:
    first, *others = templates
    return export_bundle(
        find_source(str(model)), output, first, more=others, force=False, progress=_quiet, **more
    )  # fmt: skip


def wanted(name: str, judge: Judge, pair: Pair) -> tuple[list[float], list[float]]:
    """p1 and p_tie by order, from PyTorch's logits of the three tokens."""
    labels = judge.manifest.prompt.label_ids
    forward, swapped = reference_shares(tiny_model(name), judge.prompt_tokens(pair), labels)
    return [forward[0] + forward[2] / 2, swapped[1] + swapped[2] / 2], [forward[2], swapped[2]]


@pytest.fixture(scope="module")
def bundle(tiny_folder: Folders, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a prompt of two labels first."""
    return export(tiny_folder("llama"), tmp_path_factory.mktemp("ties") / "bundle", SUMMARY, TIED)


@pytest.fixture(scope="module")
def judge(bundle: Path) -> Judge:
    return Judge.load(bundle, template="tied")


_LOGITS = st.floats(-300, 300, width=32)


@settings(deadline=None)
@given(_LOGITS, _LOGITS, _LOGITS)
def test_each_response_has_half_of_the_tie(first: float, second: float, tie: float) -> None:
    logits = np.array([[first, second, tie]], np.float64)
    shares = np.exp(logits[0] - logits[0].max())
    shares /= shares.sum()
    (odds,), (p_tie,) = first_odds(logits), tie_shares(logits)
    assert p_tie == pytest.approx(shares[2], rel=1e-9, abs=1e-300)
    assert sigmoid(odds) == pytest.approx(shares[0] + shares[2] / 2, rel=1e-9)
    assert sigmoid(-odds) == pytest.approx(shares[1] + shares[2] / 2, rel=1e-9)
    assert first_odds(logits[:, [1, 0, 2]])[0] == -odds, "exchanging the responses exchanges p1 and p2"
    assert first_odds(logits[:, :2])[0] == first - second, "of two labels as ever"


def test_where_a_tie_is_all_but_sure_the_better_half_decides() -> None:
    verdict = verdict_of(PAIRS[0], np.array([[-10.0, -20.0, 30.0], [-20.0, -10.0, 30.0]]))
    assert verdict.p_tie == 1.0 and 0 < verdict.log_odds_by_order[0] < 1e-15
    even = verdict_of(PAIRS[0], np.array([[1.0, 1.0, 9.0], [1.0, 1.0, 9.0]]))
    assert (even.p1, even.label, even.consistent) == (0.5, 2, True)
    sure = verdict_of(PAIRS[0], np.array([[2.0, 1.0, 3.0], [1.0, 2.0, 3.0]]))
    e = [math.exp(x) for x in (2, 1, 3)]
    assert sure.p1 == pytest.approx((e[0] + e[2] / 2) / sum(e)) and sure.p_tie == pytest.approx(e[2] / sum(e))
    assert (sure.label, sure.consistent) == (1, True) and sure.p_tie > max(sure.p1, sure.p2)


@pytest.mark.parametrize("name", ["llama", "phi", "gemma2", "gpt2"])
def test_fp32_answers_as_pytorch(name: str, tiny_folder: Folders, tmp_path: Path) -> None:
    """As the first prompt, and as one that is added; alone, and with pairs that share a pass."""
    model = tiny_folder(name)
    first, added = export(model, tmp_path / "first", TIED), export(model, tmp_path / "added", SUMMARY)
    assert add_prompts(added, find_source(str(model)), [TIED], chat=False, progress=_quiet) == ["tied"]
    spread = set()
    for judge in (Judge.load(first), Judge.load(added, template="tied")):
        for pair, together in zip(PAIRS, judge.judge_many(PAIRS), strict=True):
            p1, p_tie = wanted(name, judge, pair)
            for verdict in (judge.judge(pair), together):
                assert verdict.p1_by_order == pytest.approx(p1, abs=1e-3)
                assert verdict.p_tie_by_order == pytest.approx(p_tie, abs=1e-3)
                assert verdict.log_odds_by_order == pytest.approx([math.log(p / (1 - p)) for p in p1], abs=1e-3)
            assert together.label == (1 if sum(p1) > 1 else 2)
            spread.add(round(sum(p_tie), 2))
            forward = judge.judge(pair, "forward")
            assert forward.p_tie_by_order == pytest.approx(p_tie[:1], abs=1e-3)
        odds = judge.log_odds_of(judge.prompt_tokens(PAIRS[0]))
        assert odds * [1, -1] == pytest.approx(judge.judge(PAIRS[0]).log_odds_by_order, abs=1e-5)
    assert len(spread) > 2, "a model that answers everything alike tests nothing"


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_int8_answers_as_far_as_any(name: str, tiny_folder: Folders, tmp_path: Path) -> None:
    """Fitted for it, and held to the limit in log-odds, and to a quarter of that in p_tie."""
    source = find_source(str(tiny_folder(name)))
    exact = Judge.load(export(tiny_folder(name), tmp_path / "fp32", TIED))
    limit = max(FAITHFUL, TINY_SHARE * float(np.std([probe.reference for probe in exact.manifest.prompt.probes])))
    folder = export_bundle(
        source, tmp_path / "int8", TIED, force=False, progress=_quiet, int8=Int8Options(max_delta=limit)
    )  # fmt: skip
    prompt = read_manifest(folder).prompt
    assert prompt.fidelity.mean <= limit and prompt.error_bound
    assert load_file(folder / prompt.path)[LABEL_OFFSET].tolist() == [0, 0, 0]
    _held_to(limit, name, Judge.load(folder))


def test_int8_takes_it_as_one_more(tiny_int8: Folders, tiny_folder: Folders, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_int8("gemma2"), tmp_path / "int8"))
    add_prompts(folder, find_source(str(tiny_folder("gemma2"))), [TIED], chat=False, progress=_quiet, max_delta=1.0)
    judge = Judge.load(folder, template="tied")
    prompt = judge.manifest.prompt
    assert prompt.fidelity.prompts == f"{len(prompt.probes)} probe pairs in both orders", "nothing is taken out"
    assert load_file(folder / prompt.path)[LABEL_OFFSET].tolist() == [0, 0, 0]
    errors = np.array([np.subtract(probe.answer, probe.reference) for probe in prompt.probes])
    assert np.abs(errors).mean() == pytest.approx(prompt.fidelity.mean, abs=1e-9)
    _held_to(1.0, "gemma2", judge)


def _held_to(limit: float, name: str, judge: Judge) -> None:
    """The probes, which PyTorch is asked again."""
    odds, ties = [], []
    for probe in judge.manifest.prompt.probes:
        pair = Pair(probe.instruction, probe.response_0, probe.response_1)
        p1, p_tie = wanted(name, judge, pair)
        verdict = judge.judge(pair)
        assert probe.reference == pytest.approx([math.log(p / (1 - p)) for p in p1], abs=1e-3)
        assert probe.answer == pytest.approx(verdict.log_odds_by_order, abs=1e-5)
        odds.append(np.subtract(verdict.log_odds_by_order, probe.reference))
        assert verdict.p_tie_by_order is not None
        ties.append(np.subtract(verdict.p_tie_by_order, p_tie))
    # The limit is of the held-out pairs' mean; these are fewer, and others.
    assert 0 < np.abs(odds).mean() <= 2 * limit and 0 < np.abs(ties).mean() <= 2 * limit / 4


@pytest.mark.parametrize("engine", [v.name for v in variants() if not v.rounds])
def test_every_exact_engine_reads_three_labels(engine: str, bundle: Path, judge: Judge) -> None:
    if (refusal := variant(engine).refusal(judge.manifest)) is not None:
        pytest.skip(f"{engine}: {refusal}")
    other = Judge(Bundle(bundle, "tied"), engine=engine)
    for pair in PAIRS:
        p1, p_tie = wanted("llama", judge, pair)
        assert other.judge(pair).p1_by_order == pytest.approx(p1, abs=1e-3)
        assert other.judge(pair).p_tie_by_order == pytest.approx(p_tie, abs=1e-3)


def test_segments_answer_alike(bundle: Path) -> None:
    manifest = read_manifest(bundle).through("tied")
    prompt = manifest.prompt
    arrays = prompt.arrays((bundle / prompt.path).read_bytes(), prompt.path)
    whole, parts = (
        ask(prompt, arrays, PAIRS, lambda _: None) for ask in (in_one_session(bundle), in_segments(bundle, manifest))
    )
    assert whole.shape == parts.shape == (4, 4) and np.abs(whole - parts).max() < 1e-5
    verdicts = [Judge.load(bundle, template="tied").judge(pair) for pair in PAIRS]
    assert whole[:, 2:].tolist() == [list(verdict.p_tie_by_order or ()) for verdict in verdicts]


def test_a_wrong_tie_is_not_kept(tiny_folder: Folders, bundle: Path) -> None:
    """Of the third label's logit p1 and p2 may tell nothing: where both are as likely, they stay a half."""
    even = np.array([[0.0, 0.0, 0.2, 0.2]])
    off = np.array([[0.0, 0.0, 0.2, 0.3]])
    with pytest.raises(
        FidelityError, match=r"^tiny: the probability of a tie deviates .* by 0.1 at most \(limit 0.000"
    ):
        require_ties(off, even, 1e-3, "tiny", exact=True)
    with pytest.raises(FidelityError, match=r"by 0.05 on average \(limit 0.0075\); nothing was kept, allow more with"):
        require_ties(off, even, 0.03, "tiny")
    with pytest.raises(FidelityError, match="by nan"):
        require_ties(even * math.nan, even, 0.03, "tiny")
    require_ties(even + 0.007, even, 0.03, "tiny")
    source = find_source(str(tiny_folder("llama")))
    lm, mapped = source.stored_model()
    (asked,) = ask_through(Blockwise(lm, mapped), [fit(source, TIED, chat=False)], [PAIRS], _quiet)
    ask, manifest = in_one_session(bundle), read_manifest(bundle)
    hold(manifest, asked, ask, 0.03, lambda _: None)
    other = asked.arrays.rows[[0, 1, 1]]  # a tie that answers as the second
    with pytest.raises(FidelityError, match=r"^llama through tied: the exported graph deviates from PyTorch"):
        hold(manifest, replace(asked, arrays=replace(asked.arrays, rows=other)), ask, 0.03, lambda _: None)


def test_manifests_tell_them_from_scores(bundle: Path) -> None:
    """By the labels, whatever else the text has in braces; schema 4 as before."""
    manifest = read_manifest(bundle)
    text = "Rate {response}.\n{instruction}\n{first}\n{second}\n"
    for template in (Template("t", text), Template("t", text, ("A", "B", "C")), SCORE_TEMPLATES["score-helpful"]):
        labels = tuple(range(len(template.labels)))
        prompt = replace(manifest.prompt, template=template, label_ids=labels)
        read = Manifest.from_json(replace(manifest, prompts=(prompt,)).to_json().encode(), "here")
        assert read.prompt.template == template and type(read.prompt.template) is type(template)
    with pytest.raises(TemplateError, match=r"needs two different labels, or three with one for ties, has"):
        Template("t", text, ("1", "2", "3", "4"))
    with pytest.raises(TemplateError, match="needs two different labels"):
        Template("t", text, ("1", "2", "1"))


def test_the_reference_of_bench_answers_so_too(tiny_folder: Folders, judge: Judge) -> None:
    seed = SeedWay(find_source(str(tiny_folder("llama"))), TIED, 1)
    for pair in PAIRS:
        p1, _ = wanted("llama", judge, pair)
        assert seed(pair) == pytest.approx([math.log(p / (1 - p)) for p in p1], abs=1e-4)

"""Int8 bundles of every family against PyTorch in fp32, and the parts they are made with."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from rlaif_fast import BundleError, ExportError, Judge, Pair
from rlaif_fast.bundle.float32_bundle import companion
from rlaif_fast.bundle.folder import Bundle, read_manifest, write_manifest
from rlaif_fast.errors import FidelityError
from rlaif_fast.judging.exact import BUDGET, ExactJudge
from rlaif_fast.prompts.template import SUMMARY
from rlaif_fast.runtime import selftest
from rlaif_fast_export.builds.int8 import Int8Build
from rlaif_fast_export.exporter import export_bundle
from rlaif_fast_export.int8.forms import Kind, scaling
from rlaif_fast_export.int8.mix import Size, choose
from rlaif_fast_export.int8.options import Int8Options
from rlaif_fast_export.int8.sensitivity import Moves, expected_error
from rlaif_fast_export.int8.steadiness import PromptAnswers
from rlaif_fast_export.reference.pytorch import common_ending
from rlaif_fast_export.reference.texts import shipped_pairs
from rlaif_fast_export.sources.source import find_source
from tests.conftest import Run
from tests.families import FAMILIES, tiny_model
from tests.manifests import with_prompt
from tests.plain_pytorch import reference_log_odds

LIMIT = 0.05  # log-odds, where a test says its own
NEIGHBOURS = 1e-3  # |difference in log-odds| of a pair alone and among others


def _texts() -> list[Pair]:
    """Pairs nobody calibrates on."""
    endings = ["A fox jumps.", "Seven wizards brew hot jam, quickly!", "1 or 2?\n\nLazy dog", "output 12"]
    return [Pair("The quick brown fox. " * n, a, b) for n in (1, 5) for a in endings for b in endings if a != b]


@pytest.mark.parametrize("name", [*FAMILIES, "phi3", "hunyuan", "granite4", "cohere2", "olmo2"])
def test_verdicts_are_near_pytorchs(
    name: str, tiny_int8: Callable[[str], Path], tiny_limit: Callable[[str], float]
) -> None:
    """On texts unlike the calibration's too: within a few per cent of the verdicts' spread, or the limit asked for."""
    judge = Judge.load(tiny_int8(name))
    manifest, model, pairs = judge.manifest, tiny_model(name), _texts()
    prompts = [tokens for pair in pairs for tokens in judge.prompt_tokens(pair)]
    exact = reference_log_odds(model, prompts, manifest.prompt.label_ids)
    got = np.array([judge.log_odds_of([tokens])[0] for tokens in prompts])
    error, spread = np.abs(got - exact).mean(), np.std(exact)
    assert spread > 0.1, "a model that answers everything alike tests nothing"
    assert error < max(0.05 * spread, tiny_limit(name)), f"{error:.3f} of {spread:.3f}"
    assert np.corrcoef(got, exact)[0, 1] > 0.99
    assert manifest.prompt.bfloat16 is not None and manifest.prompt.fidelity.mean <= tiny_limit(name)
    counts = manifest.passes
    assert sum(counts[f"int8_{kind}"] for kind in ("rows", "terms")) > 0 and counts["fused_attention"] == 2
    assert manifest.operators["MatMul"] <= 3 + counts["int8_float"], "the label head, the attention of judged rows"


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma2", "gpt2", "phi-odd-rotary"])
def test_the_promise_is_kept_or_nothing_is(name: str, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """Whatever the processor, and whatever bfloat16 would do."""
    try:
        bundle = _export(tiny_folder(name), tmp_path / "out", Int8Options())
    except FidelityError as error:
        refusal = str(error)
    else:
        assert read_manifest(bundle).prompt.fidelity.mean <= 0.03
        return
    assert "(limit 0.03)" in refusal and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", FAMILIES)
def test_integers_are_the_bundles(name: str, tiny_int8: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime's exact kernels, which a CPU without VNNI must take, give the bits of this CPU's own."""
    judge = Judge(Bundle(tiny_int8(name)))
    here = [judge.answer(probe) for probe in judge.manifest.prompt.probes]
    monkeypatch.setattr("rlaif_fast.runtime.engines.onnxruntime.saturates", lambda: True)
    exact = Judge(Bundle(tiny_int8(name)))
    assert "the exact kernels" in exact.describe()
    assert [exact.answer(probe) for probe in exact.manifest.prompt.probes] == here
    assert selftest.check(exact.manifest, exact.answer) == selftest.check(judge.manifest, judge.answer)


def test_products_that_share_a_weight_are_refused_where_they_would_saturate(
    tiny_int8: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bundles of versions before: onnxruntime cannot make their products exact."""
    old = Path(shutil.copytree(tiny_int8("llama"), tmp_path / "old"))
    manifest = read_manifest(old)
    write_manifest(old, replace(manifest, passes={k: n for k, n in manifest.passes.items() if k != "own_tensors"}))
    monkeypatch.setattr("rlaif_fast.runtime.engines.onnxruntime.saturates", lambda: True)
    with pytest.raises(BundleError, match="saturate on this CPU; export the model again"):
        Judge(Bundle(old))


def test_copies_of_weights_take_no_room(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """A row's product and its ending's have weights of their own, at one place of the file."""
    bundle = _export(tiny_folder("gemma"), tmp_path / "out", Int8Options(max_delta=10.0))
    counts = read_manifest(bundle).passes
    assert counts["int8_endings"] > 0 and counts["int8_float"] == 0, "with such a limit, nothing stays in float32"
    graph = onnx.load(bundle / "model.onnx", load_external_data=False).graph
    tensors = {t.name: t for t in graph.initializer}
    products = [node for node in graph.node if node.op_type == "MatMulIntegerToFloat"]
    weights, zeros = ([node.input[place] for node in products] for place in (1, 5))
    assert len(set(weights)) == len(set(zeros)) == len(products) == counts["own_tensors"]
    large = [tuple((e.key, e.value) for e in tensors[name].external_data) for name in weights]
    assert len(set(large)) < len(large)
    assert len(tensors) == len(graph.initializer)


@pytest.mark.parametrize("name", ["llama", "phi", "gemma3", "gpt-neox"])
def test_verdicts_do_not_depend_on_neighbours(name: str, tiny_int8: Callable[[str], Path]) -> None:
    judge, pairs = Judge.load(tiny_int8(name)), _texts()
    alone = np.array([judge.judge(pair).log_odds_by_order for pair in pairs])
    for order in (range(len(pairs)), range(len(pairs) - 1, -1, -1)):
        among = np.array([v.log_odds_by_order for v in judge.judge_many(pairs[i] for i in order)])
        assert np.abs(among - alone[list(order)]).max() < NEIGHBOURS


def test_a_limit_that_cannot_be_kept_keeps_nothing(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"int8 deviates .* most in base\..* nothing was kept, allow more with --max"):
        _export(tiny_folder("llama"), tmp_path / "out", Int8Options(max_delta=1e-9))
    assert not list(tmp_path.iterdir())


def test_own_calibration_pairs(
    tiny_folder: Callable[[str], Path], tmp_path: Path, rlaif_fast: Callable[..., Run]
) -> None:
    rows = tmp_path / "mine.jsonl"
    rows.write_text("".join(json.dumps({
        "instruction": p.instruction, "response_0": p.response_0, "response_1": p.response_1}) + "\n"
        for p in shipped_pairs("calibration")[:12]))  # fmt: skip
    run = rlaif_fast("export", tiny_folder("llama"), "-o", tmp_path / "out", "--calibrate", rows, "--max-delta", 5)
    assert run.status == 0, run.err
    assert re.fullmatch(r"\d+ held-out pairs in both orders", read_manifest(tmp_path / "out").prompt.fidelity.prompts)
    wrong = rlaif_fast("export", tiny_folder("llama"), "--precision", "fp32", "--calibrate", rows)
    assert wrong.status == 2 and "--quality, --calibrate and --max-delta are for --precision int8" in wrong.err


def test_held_out_texts_are_not_calibrated_on() -> None:
    seen = {text for p in shipped_pairs("calibration") for text in (p.instruction, p.response_0, p.response_1)}
    for pair in shipped_pairs("heldout") + shipped_pairs("probes"):
        assert not seen & {pair.instruction, pair.response_0, pair.response_1}
    assert len(shipped_pairs("calibration")) == 16 and len(shipped_pairs("heldout")) == 12


def test_exact_labels_are_float32s(tiny_int8: Callable[[str], Path], llama: Path) -> None:
    fast, exact, pairs = Judge.load(tiny_int8("llama")), Judge.load(llama), _texts()
    wanted = [v.label for v in exact.judge_many(pairs)]
    judge = ExactJudge(fast, exact)
    found = list(judge.judge_many(pairs))
    assert [v.label for v in found] == wanted
    assert [v.pair for v in found] == pairs
    assert judge.decided + judge.again + judge.directly == len(pairs)
    assert f"{judge.again} judged again by fp32" in judge.line()


def test_exact_leaves_int8_where_it_saves_nothing(tiny_int8: Callable[[str], Path], llama: Path) -> None:
    fast, exact, pairs = Judge.load(tiny_int8("llama")), Judge.load(llama), _texts()
    judge = ExactJudge(fast, exact)
    judge.bound = 0.5  # everything is close
    found = list(judge.judge_many(pairs))
    tried = judge.again
    assert 0 < tried <= 1 + BUDGET * len(pairs) / 0.6 and judge.directly == len(pairs) - tried
    assert [v.p1 for v in found[tried:]] == [v.p1 for v in exact.judge_many(pairs[tried:])]
    for done in (1, tried, len(pairs) - 1):  # taken up again, the rest is the same to the last digit
        assert [v.p1 for v in judge.judge_many(pairs, done=done)] == [v.p1 for v in found[done:]]
    judge = ExactJudge(fast, exact)
    judge.bound = 0.0  # nothing is
    list(judge.judge_many([replace(pair, instruction=f"{n} {pair.instruction}") for n, pair in enumerate(pairs)]))
    assert judge.again == judge.directly == 0


def test_exact_on_the_command_line(
    tiny_int8: Callable[[str], Path], llama: Path, tiny_bundle: Callable[[str], Path], tmp_path: Path,
    rlaif_fast: Callable[..., Run],
) -> None:  # fmt: skip
    rows = tmp_path / "pairs.jsonl"
    rows.write_text('{"instruction": "i", "response_0": "a", "response_1": "b"}\n')
    shutil.copytree(tiny_int8("llama"), tmp_path / "m-int8")
    missing = rlaif_fast("judge", rows, "-b", tmp_path / "m-int8", "--exact", home=tmp_path / "home")
    assert missing.status == 1
    assert "--exact needs the float32 bundle of the same model too; to make it: rlaif-fast" in missing.err
    shutil.copytree(tiny_bundle("phi"), tmp_path / "m-fp32")
    other = rlaif_fast("judge", rows, "-b", tmp_path / "m-int8", "--exact", home=tmp_path / "home")
    assert other.status == 1 and "in float32: their model, template or reference" in other.err
    shutil.rmtree(tmp_path / "m-fp32")
    shutil.copytree(llama, tmp_path / "m-fp32")
    done = rlaif_fast("judge", rows, "-b", tmp_path / "m-int8", "--exact", home=tmp_path / "home")
    assert done.status == 0 and "exact: " in done.err and len(done.out.splitlines()) == 1
    by_itself = rlaif_fast("judge", rows, "-b", tmp_path / "m-fp32", "--exact", home=tmp_path / "home")
    assert by_itself.status == 0 and "exact: " not in by_itself.err
    said = f"{read_manifest(llama).name}: exact by itself (fp32), --exact only keeps to onnxruntime\n"
    assert by_itself.err.startswith(said)
    assert companion(tmp_path / "m-int8", read_manifest(tmp_path / "m-int8")) == tmp_path / "m-fp32"


def test_exact_is_not_int8_twice(tiny_int8: Callable[[str], Path]) -> None:
    judge = Judge.load(tiny_int8("llama"))
    with pytest.raises(BundleError, match="a bundle of int8; exact needs the one of fp32"):
        ExactJudge(judge, judge)


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_a_machine_that_answers_differently_is_caught(
    precision: str, tiny_int8: Callable[[str], Path], llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("RLAIF_FAST_HOME", str(tmp_path / "home"))
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny_int8("llama") if precision == "int8" else llama, bundle)
    Judge.load(bundle)
    (record,) = (tmp_path / "home" / "checked").iterdir()
    manifest = read_manifest(bundle)
    other = [replace(p, answer=(p.answer[0] + 1, p.answer[1])) for p in manifest.prompt.probes]
    write_manifest(bundle, with_prompt(manifest, probes=tuple(other)))
    Judge.load(bundle)  # it passed here before
    record.unlink()
    with pytest.raises(BundleError, match="this machine answers the bundle's probes differently"):
        Judge.load(bundle)
    assert not record.exists()


def test_inspect_checks(tiny_int8: Callable[[str], Path], rlaif_fast: Callable[..., Run]) -> None:
    run = rlaif_fast("inspect", "--check", "--verbose", tiny_int8("llama"))
    assert run.status == 0, run.err
    assert "this machine answers the probes" in run.out and "PyTorch bfloat16: " in run.out and " in float32" in run.out


# --- the parts


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_scaling_puts_every_channel_inside(share: float) -> None:
    largest, weights = torch.tensor([100.0, 1.0, 0.0]), torch.tensor([0.1, 1.0, 1.0])
    scale = scaling(largest, weights, share)
    assert bool((largest / scale <= 1 + 1e-6).all()) and bool((scale > 0).all())
    assert float((largest / scale).max()) == pytest.approx(1)


def test_the_mix_is_cheap_and_good_enough() -> None:
    def moves(rows: float, terms: float) -> Moves:
        return Moves({Kind.ROWS: [rows], Kind.TERMS: [terms]}, {})

    found = {"quiet": moves(0.001, 0.0), "loud": moves(1.0, 0.01), "costly": moves(1.0, 0.01)}
    sizes = {"quiet": Size(640, 640), "loud": Size(640, 640), "costly": Size(6400, 640)}
    assert set(choose(found, sizes, 10.0, 10.0).kinds.values()) == {Kind.ROWS}
    mix = choose(found, sizes, 0.9, 10.0)
    assert mix.kinds == {"quiet": Kind.ROWS, "loud": Kind.TERMS, "costly": Kind.ROWS}
    assert mix.expected <= 0.9 and mix.expected == pytest.approx(expected_error(1.0 + 0.01**2 + 0.001**2))
    assert mix.worst[0] == "costly"
    everything = choose(found, sizes, 0.0, 10.0)
    assert everything.expected == 0
    assert everything.kinds == {"quiet": Kind.TERMS, "loud": Kind.FLOAT, "costly": Kind.FLOAT}, "no more than is needed"


def test_a_steady_mix_rounds_its_inputs_less() -> None:
    """Weights are rounded alike on every processor: their error does not count there."""
    found = {
        "inputs": Moves({Kind.ROWS: [0.1], Kind.TERMS: [0.001]}, {}),
        "weights": Moves({Kind.ROWS: [0.0], Kind.TERMS: [0.0]}, {kind: [0.1] for kind in Kind}),
    }
    sizes = dict.fromkeys(found, Size(640, 640))
    loose, steady = choose(found, sizes, 1.0, 1.0), choose(found, sizes, 1.0, 0.01)
    assert set(loose.kinds.values()) == {Kind.ROWS}
    assert loose.unsteady == pytest.approx(expected_error(2 * 0.1**2))
    assert steady.kinds == {"inputs": Kind.TERMS, "weights": Kind.ROWS} and steady.unsteady <= 0.01


def test_a_mix_is_found_where_more_bits_add_to_the_weights_error() -> None:
    """One limit asks for 16 bits and the other for 8: there is no way back, and float32 keeps both."""
    moves = Moves({Kind.ROWS: [0.1], Kind.TERMS: [0.0]}, {Kind.ROWS: [0.1], Kind.TERMS: [0.2]})
    assert choose({"one": moves}, {"one": Size(640, 640)}, 0.14, 0.01).kinds == {"one": Kind.FLOAT}


def test_last_bits_move_an_int8_answer_and_hardly_a_float32_one(
    tiny_int8: Callable[[str], Path], tiny_limit: Callable[[str], float], llama: Path
) -> None:
    moved = []
    for folder in (tiny_int8("llama"), llama):
        judge = Judge(Bundle(folder))
        prompts = [judge.prompt_tokens(pair) for pair in _texts()[:6]]
        answers = PromptAnswers(Bundle(folder), prompts, lambda _: None)
        found = answers.log_odds.reshape(-1, 2) * [1, -1]
        differences = np.abs(found - [judge.answer(p) for p in _texts()[:6]]).max(1)
        assert differences.max() == 0
        moved.append(answers.unsteadiness(len(prompts), lambda _: None))
    assert 0 < moved[1] < 1e-4 and moved[1] < moved[0] < 0.5 * tiny_limit("llama")


@pytest.mark.parametrize("what", ["error", "steadiness"])
def test_a_graph_that_misses_what_was_expected_gets_another_mix(
    what: str, tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A more precise one, of what was missed."""
    measured = iter([(LIMIT, 0.0) if what == "error" else (0.0, LIMIT), (0.0, 0.0)])
    real_centre, real_make = Int8Build._centre, Int8Build._make_with
    aims: list[tuple[float, float]] = []

    def centre(self: Int8Build) -> tuple[float, float]:
        real_centre(self)
        return next(measured)

    def make(self: Int8Build, target: float, steady: float) -> Any:
        aims.append((target, steady))
        return real_make(self, target, steady)

    monkeypatch.setattr(Int8Build, "_centre", centre)
    monkeypatch.setattr(Int8Build, "_make_with", make)
    _export(tiny_folder("phi-odd-rotary"), tmp_path / "out", Int8Options(max_delta=LIMIT))
    first, second = aims
    assert first == pytest.approx((0.6 * LIMIT, 0.225 * LIMIT))  # steadier than it has to be: measured on few prompts
    assert (second[0] < first[0], second[1] < first[1]) == (what == "error", what == "steadiness")


def test_what_no_mix_makes_steady_is_refused(
    tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PromptAnswers, "unsteadiness", lambda *_: 0.5)
    with pytest.raises(
        FidelityError, match=r"would differ by 0\.5 in log-odds on average between processors \(limit 0"
    ):
        _export(tiny_folder("phi-odd-rotary"), tmp_path / "out", Int8Options(max_delta=LIMIT))
    assert not list(tmp_path.iterdir())


def test_the_ending_is_what_all_prompts_end_with() -> None:
    assert common_ending([[1, 2, 3, 9], [4, 3, 9], [3, 9]]) == 2
    assert common_ending([]) == 0
    assert common_ending([[1, 2], [1, 3]]) == 1, "the judged token"
    assert common_ending([[5] * 100, [5] * 100]) == 16


def _export(model: Path, output: Path, options: Int8Options) -> Path:
    return export_bundle(
        find_source(str(model)), output, SUMMARY, force=False, progress=lambda what, share: None, int8=options
    )

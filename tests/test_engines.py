"""What every engine owes, and what each promises: the same tests for all that this machine offers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rlaif_fast import Judge, JudgeError, Pair
from rlaif_fast.bundle.folder import Bundle, read_manifest
from rlaif_fast.runtime.engines import DEFAULT, variant, variants
from rlaif_fast.runtime.packing import pack
from rlaif_fast.runtime.selftest import EXACT, error_limit
from tests.conftest import ROOT, Run
from tests.families import FAMILIES

NAMES = [v.name for v in variants()]
_WORDS = ("seven", "wizards", "brew", "hot", "jam", "while", "the", "lazy", "dog", "jumps", "over", "a", "fox")


def pairs(n: int) -> list[Pair]:
    """Of many lengths; every fifth instruction comes again."""
    return [
        Pair(f"Text {i % 5}: " + " ".join(_WORDS[: 3 + i % 9]), " ".join(_WORDS[i % 7 :]), _WORDS[i % 13] * (1 + i % 4))
        for i in range(n)
    ]


def judge_by(name: str, folder: Path) -> Judge:
    bundle = Bundle(folder)
    refusal = variant(name).refusal(bundle.manifest)
    if refusal is not None:
        pytest.skip(f"{name}: {refusal}")
    return Judge(bundle, engine=name)


def log_odds(judge: Judge, of: list[Pair], window: int = 1) -> np.ndarray:
    return np.array([v.log_odds_by_order for v in judge.judge_many(of, window=window)])


def test_the_default_comes_first_and_names_are_unique() -> None:
    assert NAMES[0] == DEFAULT
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_variant_says_what_it_is(name: str, llama: Path) -> None:
    judge = judge_by(name, llama)
    assert judge.engine == name
    assert variant(name).what and variant(name).version()
    assert str(variant(name).version()) in judge.describe() and "threads: " in judge.describe()


@pytest.mark.parametrize("name", NAMES)
def test_float32_is_pytorchs(name: str, llama: Path) -> None:
    judge = judge_by(name, llama)
    wrong = [np.abs(np.subtract(judge.answer(p), p.reference)).max() for p in judge.manifest.prompt.probes]
    if variant(name).rounds:
        assert max(wrong) > EXACT  # or it need not be called rounding
    else:
        assert max(wrong) < EXACT


def test_the_label_head_stays_in_float32(llama: Path) -> None:
    """Of bfloat16 logits the last 16 bits of a float32 would be zero, all of them."""
    judge = judge_by("openvino-bf16", llama)
    tree = pack([judge.prompt_tokens(pair)[0] for pair in pairs(6)], judge.manifest.prompt.prefix_ids)
    logits = judge._engine.run(tree, judge._bundle.arrays).label_logits
    assert np.any(logits.view(np.uint32) & 0xFFFF)


@pytest.mark.parametrize("family", [*FAMILIES, "glm", "ernie4_5", "hunyuan", "cohere", "smollm3", "granite"])
def test_openvino_runs_every_family(family: str, tiny_bundle: Callable[[str], Path]) -> None:
    folder = tiny_bundle(family)
    ours, default = log_odds(judge_by("openvino", folder), pairs(5)), log_odds(Judge(Bundle(folder)), pairs(5))
    np.testing.assert_allclose(ours, default, rtol=0, atol=EXACT)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("name", NAMES)
def test_the_same_pair_gives_the_same_bits(
    name: str, precision: str, llama: Path, tiny_int8: Callable[[str], Path]
) -> None:
    """In a new engine, and whatever lengths were judged in between."""
    folder = llama if precision == "fp32" else tiny_int8("llama")
    judge = judge_by(name, folder)
    first = log_odds(judge, pairs(12))
    assert np.array_equal(log_odds(judge, pairs(12)[::-1])[::-1], first)
    assert np.array_equal(log_odds(judge_by(name, folder), pairs(12)), first)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("name", NAMES)
def test_neighbours_change_nothing(name: str, precision: str, llama: Path, tiny_int8: Callable[[str], Path]) -> None:
    judge = judge_by(name, llama if precision == "fp32" else tiny_int8("llama"))
    alone, together = log_odds(judge, pairs(20)), log_odds(judge, pairs(20), window=20)
    if variant(name).rounds or precision == "int8":
        assert np.array_equal(alone, together)
    else:
        np.testing.assert_allclose(together, alone, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_a_tree_of_a_single_token_is_judged(name: str, llama: Path) -> None:
    judge = judge_by(name, llama)
    prompt = judge.prompt_tokens(pairs(1)[0])[0]
    inside = list(judge.manifest.prompt.prefix_ids)
    got = judge.log_odds_of([[*inside, prompt[-1]]])
    wanted = Judge(judge._bundle).log_odds_of([[*inside, prompt[-1]]])
    assert got == pytest.approx(wanted, abs=1.0 if variant(name).rounds else 1e-4)


_PEAK = """
import resource, sys
from pathlib import Path
from rlaif_fast.bundle.folder import Bundle
from rlaif_fast.judging.judge import Judge
from tests.test_engines import log_odds, pairs
judge, peaks = Judge(Bundle(Path(sys.argv[1])), engine=sys.argv[2]), []
for number in (20, 200):
    log_odds(judge, pairs(number))
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(*peaks)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the system does not tell a process's peak")
@pytest.mark.parametrize("name", NAMES)
def test_memory_does_not_grow_with_the_pairs(name: str, llama: Path) -> None:
    judge_by(name, llama)
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, str(llama), name], capture_output=True, text=True, cwd=ROOT, check=True
    )
    few, many = map(int, done.stdout.split())
    assert many < 1.2 * few


@pytest.mark.parametrize("name", NAMES)
def test_a_new_process_judges_and_says_its_engine(name: str, llama: Path, rlaif_fast: Callable[..., Run]) -> None:
    judge_by(name, llama)
    done = rlaif_fast("judge", ROOT / "examples/pairs.jsonl", "-b", llama, "--limit", 1, "--engine", name, "-v")
    assert done.status == 0, done.err
    assert len(done.out.splitlines()) == 1
    assert "loaded in" in done.err and str(variant(name).version()) in done.err


# --- what is refused


def test_an_unknown_engine_is_named_with_those_there_are(llama: Path, rlaif_fast: Callable[..., Run]) -> None:
    done = rlaif_fast("judge", ROOT / "examples/pairs.jsonl", "-b", llama, "--engine", "abacus")
    assert done.status == 1
    assert done.err == f"error: --engine abacus: no such engine; there are auto, {', '.join(NAMES)}\n"


def test_bfloat16_on_int8_is_refused(tiny_int8: Callable[[str], Path]) -> None:
    pytest.importorskip("openvino")
    with pytest.raises(JudgeError, match="--engine openvino-bf16: bfloat16 on top of int8 loses verdicts"):
        Judge.load(tiny_int8("llama"), engine="openvino-bf16")


def test_exact_is_not_for_other_engines(tiny_int8: Callable[[str], Path], rlaif_fast: Callable[..., Run]) -> None:
    rows = ROOT / "examples/pairs.jsonl"
    done = rlaif_fast("judge", rows, "-b", tiny_int8("llama"), "--exact", "--engine", "openvino")
    assert done.status == 2 and "--exact needs an error bound" in done.err


def test_a_missing_package_is_named(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlaif_fast.runtime.engines.openvino.find_spec", lambda name: None)
    with pytest.raises(JudgeError, match=r"pip install 'rlaif-fast\[openvino\]'"):
        Judge.load(llama, engine="openvino")


# --- fewer instructions


@pytest.mark.parametrize("isa", ["AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI"])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("name", ["openvino", "openvino-bf16"])
def test_fewer_instructions_keep_the_verdicts_or_refuse(
    name: str, precision: str, isa: str, llama: Path, tiny_int8: Callable[[str], Path], tmp_path: Path
) -> None:
    """oneDNN may be told to use an older instruction set; onnxruntime's MLAS has no such switch."""
    folder = llama if precision == "fp32" else tiny_int8("llama")
    judge_by(name, folder)
    answers = (
        "import json, sys\nfrom rlaif_fast import Judge, RlaifFastError\n"
        "try:\n    judge = Judge.load(sys.argv[1], engine=sys.argv[2])\n"
        "except RlaifFastError as error:\n    sys.exit('refused: ' + str(error))\n"
        "print(json.dumps([judge.answer(p) for p in judge.manifest.prompt.probes]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", answers, str(folder), name], capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": isa, "RLAIF_FAST_HOME": str(tmp_path)},
    )  # fmt: skip
    if done.returncode:
        assert done.stderr.startswith("refused: "), done.stderr
        return
    manifest = read_manifest(folder)
    wrong = np.abs(np.subtract(json.loads(done.stdout), [p.reference for p in manifest.prompt.probes]))
    if variant(name).rounds:
        assert wrong.mean() < 0.5 * np.abs([p.reference for p in manifest.prompt.probes]).mean()
    else:
        assert (wrong.max() if precision == "fp32" else wrong.mean()) <= error_limit(manifest)

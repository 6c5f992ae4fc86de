"""What docs/running.md promises about the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Run


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_same_bytes(
    precision: str, tiny_bundle: Callable[[str], Path], tiny_int8: Callable[[str], Path], tmp_path: Path,
    rlaif_fast: Callable[..., Run],
) -> None:  # fmt: skip
    """Two runs of the real command with as many threads: identical files. Other threads: within the stated bound."""
    bundle = (tiny_bundle if precision == "fp32" else tiny_int8)("llama")
    words = ["fox", "wizard", "jam", "lazy dog", "coherent", "main idea"]
    with open(tmp_path / "pairs.jsonl", "w") as stream:
        for n in range(60):
            text = " ".join(words[n * i % 6] for i in range(5 + 2 * n))
            row = {"instruction": f"Text {n % 20}. {text}", "response_0": "The fox.", "response_1": f"A dog {n}."}
            stream.write(json.dumps(row) + "\n")

    def run(name: str, threads: int) -> bytes:
        output = tmp_path / name
        done = rlaif_fast("judge", tmp_path / "pairs.jsonl", "-b", bundle, "-o", output, "--threads", threads)
        assert done.status == 0, done.err
        return output.read_bytes()

    for threads in (1, 2):
        assert run("a.jsonl", threads) == run("b.jsonl", threads)
    one, others = run("1.jsonl", 1), [run(f"{threads}.jsonl", threads) for threads in (2, 3)]
    for other in others:
        for a, b in zip(map(json.loads, one.splitlines()), map(json.loads, other.splitlines()), strict=True):
            assert a["label"] == b["label"]
            assert a["p1_by_order"] == pytest.approx(b["p1_by_order"], abs=1e-6)

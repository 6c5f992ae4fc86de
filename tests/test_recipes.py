"""The recipes for distilabel and lm-evaluation-harness, in an environment of their own (``make test-recipes``).

Their transformers and huggingface_hub differ from the exporter's. RLAIF_FAST_RECIPES is that environment's Python.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Run

PYTHON = os.environ.get("RLAIF_FAST_RECIPES")
pytestmark = pytest.mark.skipif(
    PYTHON is None, reason="RLAIF_FAST_RECIPES names no Python with distilabel and lm-eval (make test-recipes)"
)
EXAMPLES = ROOT / "examples"


def there(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command with that Python, which has no hub to reach."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "HF_HOME": str(cwd / "hf")}
    environment |= {"DISTILABEL_CACHE_DIR": str(cwd / "cache"), "LMEVAL_LOG_LEVEL": "ERROR"}
    return subprocess.run([str(PYTHON), *map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True)


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def pairs(count: int) -> list[dict[str, Any]]:
    texts = ("A fox jumps.", "The lazy dog.", "Seven wizards brew jam.", "1\n2\n", "It is a {{number}}.")
    return [
        {"id": f"row-{n}", "instruction": f"Say what {n} is.", "response_0": f"{texts[n % 5]} {n}",
         "response_1": f"{n}, {texts[n % 3]}"}
        for n in range(count)
    ]  # fmt: skip


def test_distilabel_labels_as_judge_does(llama: Path, tmp_path: Path, rlaif_fast: Callable[..., Run]) -> None:
    """A pipeline over three batches: one is good, one has no pair at all, one has both."""
    rows = pairs(220)
    said = {}
    for n in [*range(100, 200), 203, 204]:
        kind = n % 3
        rows[n] |= ({"response_1": rows[n]["response_0"]}, {"response_1": None}, {"instruction": "word " * 2000})[kind]
        said[f"row-{n}"] = ("both responses are the same", "'response_1' is null", "the prompt has")[kind]
    done = there(
        EXAMPLES / "distilabel_step.py", written(tmp_path / "all.jsonl", rows), llama, "out.jsonl", cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = read(tmp_path / "out.jsonl")
    assert [row["id"] for row in found] == [row["id"] for row in rows]
    good = written(tmp_path / "good.jsonl", [row for row in rows if row["id"] not in said])
    judged = rlaif_fast("judge", good, "-b", llama)
    assert judged.status == 0, judged.err
    verdicts = {row["id"]: row for row in map(json.loads, judged.out.splitlines())}
    for row in found:
        if row["id"] in said:
            assert said[row["id"]] in row["error"]
            assert math.isnan(row["p1"]) and (row["label"], row["chosen"], row["rejected"]) == (0, "", "")
            continue
        verdict = verdicts.pop(row["id"])
        assert row["error"] == ""
        assert row["p1_by_order"] == pytest.approx(verdict["p1_by_order"], abs=1e-4)  # its onnxruntime may be another
        for name in ("chosen", "rejected", "label", "truncated"):
            assert row[name] == verdict[name]
    assert not verdicts


def test_distilabel_caches_by_bundle(llama: Path, tmp_path: Path, tiny_bundle: Callable[[str], Path]) -> None:
    """Another bundle at the same place is another step, and one that came after the pipeline was made is refused."""
    script = """
import pathlib, sys
from distilabel.pipeline import Pipeline
from distilabel_step import JudgePairs
place, others = pathlib.Path("bundle"), sys.argv[1:]
def made():
    with Pipeline("p"):
        return JudgePairs(name="judge", bundle=str(place))
place.symlink_to(others[0])
first, same = made(), made()
place.unlink()
place.symlink_to(others[1])
print(first.signature == same.signature, first.signature == made().signature)
try:
    first.load()
except Exception as error:
    print(error)
"""
    (tmp_path / "script.py").write_text(script)
    (tmp_path / "distilabel_step.py").write_text((EXAMPLES / "distilabel_step.py").read_text())
    done = there("script.py", llama, tiny_bundle("phi"), cwd=tmp_path)
    assert done.stdout.splitlines()[-2:] == [
        "True False", "bundle: another bundle than when the pipeline was made"
    ], done.stderr  # fmt: skip


def test_harness_gives_the_labels_of_one_order(
    llama: Path, tiny_folder: Callable[[str], Path], tmp_path: Path, rlaif_fast: Callable[..., Run]
) -> None:
    """The command of docs/integrations.md, with the model that the bundle was exported from."""
    rows = read(EXAMPLES / "pairs.jsonl") + pairs(20)
    some = written(tmp_path / "examples/pairs.jsonl", rows)
    done = there(
        "-m", "lm_eval", "run", "--model", "hf",
        "--model_args", f"pretrained={tiny_folder('llama')},dtype=float32", "--device", "cpu",
        "--tasks", "rlaif_fast_summary", "--include_path", EXAMPLES / "lm_eval", "--log_samples",
        "--output_path", "out", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (samples,) = tmp_path.glob("out/**/samples_*.jsonl")
    verdicts = tmp_path / "verdicts.jsonl"
    judged = rlaif_fast("judge", some, "-b", llama, "--orders", "forward", "-o", verdicts)
    assert judged.status == 0, judged.err
    compared = there(EXAMPLES / "lm_eval/compare.py", verdicts, samples, cwd=tmp_path)
    assert compared.returncode == 0, compared.stdout
    said = compared.stdout.split()
    assert said[:6] == ["27", "pairs,", "27", "labels", "the", "same,"]
    assert float(said[-3]) < 1e-4
    assert {row["label"] for row in read(verdicts)} == {1, 2}, "a judge that always says the same tests nothing"
    turned = [row | {"label": 3 - row["label"]} if row["id"] == "moon" else row for row in read(verdicts)]
    compared = there(EXAMPLES / "lm_eval/compare.py", written(tmp_path / "turned.jsonl", turned), samples, cwd=tmp_path)
    assert compared.returncode == 1 and "\nmoon: p1 is " in compared.stdout

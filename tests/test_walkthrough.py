"""The worked notebook and the code of docs/integrations.md, executed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rlaif_fast.bundle.home import DEFAULT_MODEL
from rlaif_fast.prompts.template import SUMMARY
from tests.conftest import ROOT
from tests.test_bundle_prompts import HELPFUL, SCORE, export

_NUMBER = re.compile(r"\d+\.\d+")


@pytest.mark.default_model
def test_the_notebook_prints_what_it_says(default_fp32: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every figure to its last digit but one, everything else to the letter."""
    import nbformat

    from tests.notebook import NOTEBOOK, executed, printed

    shutil.copytree(default_fp32, tmp_path / "bundles" / default_fp32.name)
    monkeypatch.setenv("RLAIF_FAST_HOME", str(tmp_path))
    wanted, found = printed(nbformat.read(NOTEBOOK, as_version=4)), printed(executed())
    assert len(wanted) == 6 and all(wanted)
    for before, now in zip(wanted, found, strict=True):
        assert _NUMBER.sub("#", now) == _NUMBER.sub("#", before)
        figures = zip(_NUMBER.findall(now), _NUMBER.findall(before), strict=True)
        assert all(abs(float(a) - float(b)) <= 0.0015 for a, b in figures), now


def test_the_code_in_the_docs_runs(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """On a tiny bundle that lies where the default's would."""
    page = (ROOT / "docs/integrations.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    code = "\n".join(block for block in blocks if "import ray" not in block)  # tests/test_ray.py, where it is installed
    assert code.count("Labeler(") == 2 and code.count("PairwiseJudge.load") == 1
    (tmp_path / "bundles").mkdir()
    export(tiny_folder("llama"), tmp_path / "bundles" / f"{DEFAULT_MODEL}-fp32", SUMMARY, HELPFUL, SCORE)
    checks = (
        "\nassert judge.judge(prompts, completions)[0] in (0, 1)"
        "\nassert sum(compared(**asked)) == 1 and len(set(reward(**asked))) == 2"
        "\nassert preferences.column_names == ['prompt', 'chosen', 'rejected'] and 0 < labelled['p1'][0] < 1"
        "\nassert list(df) == ['instruction', 'chosen', 'rejected', 'p1', 'p2', 'prompt_used'] and len(df) == 1"
        "\nassert df['prompt_used'][0].endswith('Preferred Summary=')\n"
    )
    environment = {**os.environ, "RLAIF_FAST_HOME": str(tmp_path), "HF_HOME": str(tmp_path / "hf")}
    done = subprocess.run([sys.executable, "-c", code + checks], cwd=ROOT, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()

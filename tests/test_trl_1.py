"""TRL 1.x with the package's reward functions and preference files, in an environment of its own (``make test-trl``).

Its transformers differs from the exporter's. RLAIF_FAST_TRL is the Python of that environment.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlaif_fast.integrations import GroupRewardFunction, RewardFunction
from rlaif_fast.prompts.template import SUMMARY
from tests.conftest import ROOT, Run
from tests.test_bundle_prompts import SCORE, export

PYTHON = os.environ.get("RLAIF_FAST_TRL")
pytestmark = pytest.mark.skipif(PYTHON is None, reason="RLAIF_FAST_TRL names no Python with TRL 1.x (make test-trl)")


@pytest.fixture(scope="module")
def bundle(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tiny_folder("llama"), tmp_path_factory.mktemp("trl") / "bundle", SUMMARY, SCORE)


@pytest.fixture(scope="module")
def told(
    bundle: Path, tiny_folder: Callable[[str], Path], rlaif_fast: Callable[..., Run],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:  # fmt: skip
    """What the trainers logged, and what the reward functions were asked and answered."""
    folder = tmp_path_factory.mktemp("trained")
    preferences, report = folder / "preferences.jsonl", folder / "report.json"
    done = rlaif_fast("judge", ROOT / "examples/pairs.jsonl", "-b", bundle, "--to", "trl", "-o", preferences)
    assert done.status == 0, done.err
    command = [str(PYTHON), ROOT / "tests/trl_1.py", tiny_folder("llama"), bundle, preferences, report]
    run = subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def test_it_is_trl_of_today(told: dict[str, Any]) -> None:
    assert int(told["versions"]["trl"].partition(".")[0]) >= 1


@pytest.mark.parametrize("trainer", ["grpo", "grpo of conversations", "rloo"])
def test_trainers_learn_from_the_judges_rewards(told: dict[str, Any], bundle: Path, trainer: str) -> None:
    """The same completions get the same rewards here, with another Python and other versions of everything."""
    run = told[trainer]
    assert run["steps"] == 2
    for reward in (RewardFunction.load(bundle), GroupRewardFunction.load(bundle)):
        calls = run["calls"][reward.__name__]
        assert len(calls) == 2
        for call, logged in zip(calls, run["log"], strict=False):
            assert len(call["prompts"]) == 4 and isinstance(call["prompts"][0], str) == (trainer[4:] == "")
            assert {"completion_ids", "trainer_state"} <= set(call["columns"])
            again = reward(prompts=call["prompts"], completions=call["completions"])
            assert call["rewards"] == pytest.approx(again, abs=1e-4)
            mean = sum(again) / len(again)  # type: ignore[arg-type]
            assert float(logged[f"rewards/{reward.__name__}/mean"]) == pytest.approx(mean, abs=1e-4)


def test_trainers_load_the_preference_file(told: dict[str, Any]) -> None:
    assert (told["dpo"]["steps"], told["dpo"]["rows"]) == (2, 7)
    assert float(told["dpo"]["log"][0]["loss"]) == pytest.approx(0.6931, abs=1e-3), "log 2: it is its own reference"
    assert (told["reward"]["steps"], told["reward"]["rows"]) == (2, 7)
    assert "margin" in told["reward"]["columns"]

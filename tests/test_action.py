"""The action for users (action.yml): all its shell steps, run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.workflow_host import ACTION, PYTHON, Host, read, script, steps_of


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """``python`` is this one."""
    host = Host(tmp_path)
    script(host.programs / "python", PYTHON)
    return host


@pytest.mark.parametrize("reached", [True, False])
def test_action(reached: bool, host: Host, llama: Path, tiny_folder: Callable[[str], Path]) -> None:
    """All its shell steps, with a model of our own; a threshold that is missed fails and still shows the table."""
    model = str(tiny_folder("llama"))
    given = {
        "bundle": str(llama), "pairs": "examples/pairs.jsonl", "reference": "" if reached else model,
        "max-worst-delta": "" if reached else "0", "arguments": "--limit 3 --repeat 1", "package": "rlaif-fast",
        "report": str(host.folder / "a report"),
    }  # fmt: skip
    inputs = {name: given.get(name, one.get("default")) for name, one in read(ACTION)["inputs"].items()}
    values = {f"inputs.{name}": value for name, value in inputs.items()}
    values |= {"runner.temp": str(host.folder), "runner.os": "Linux", "runner.arch": "X64"}
    steps = {step["name"]: step for step in steps_of(ACTION) if "run" in step}
    install, fetch, bench, show = steps.values()
    assert host.run(install, values).returncode == 0  # it is installed: nothing is fetched
    done = host.run(fetch, values)
    assert done.returncode == 0 and "digests match" in done.stdout, done.stderr
    done = host.run(bench, values)
    assert done.returncode == (0 if reached else 1), done.stderr
    assert ("over --max-worst-delta" in done.stderr) == (not reached)
    assert host.written("GITHUB_OUTPUT") == f"json={given['report']}/bench.json\n"
    assert json.loads(Path(given["report"], "bench.json").read_text())["set"]["pairs"] == 3
    assert show["if"] == "always()" and host.run(show, values).returncode == 0
    assert "latency a pair, median" in host.written("GITHUB_STEP_SUMMARY")


def test_action_without_thresholds_and_without_a_report(host: Host, llama: Path, tmp_path: Path) -> None:
    inputs = {name: one.get("default", "") for name, one in read(ACTION)["inputs"].items()}
    inputs |= {"bundle": str(tmp_path / "none"), "pairs": "examples/pairs.jsonl", "report": str(tmp_path / "report")}
    values = {f"inputs.{name}": value for name, value in inputs.items()} | {"runner.temp": str(host.folder)}
    steps = {step["name"]: step for step in steps_of(ACTION) if "run" in step}
    for name in ("Download the bundle and check it", "Bench with thresholds"):
        done = host.run(steps[name], values)
        assert done.returncode == 1 and done.stderr.startswith("error: "), done.stderr
    assert host.run(steps["Show the table"], values).returncode == 0
    assert host.written("GITHUB_STEP_SUMMARY") == ""

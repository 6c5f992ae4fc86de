"""The workflows and the action for users: their form, and every shell step, run as far as there is no host for it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTION = ROOT / "action.yml"
_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
_STEP = {"name", "id", "if", "uses", "with", "run", "shell", "env", "working-directory", "continue-on-error"}
_JOB = {"runs-on", "steps", "strategy", "env", "needs", "if", "container", "timeout-minutes", "permissions", "name"}


def read(path: Path) -> dict[Any, Any]:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def steps_of(path: Path) -> list[dict[str, Any]]:
    raw = read(path)
    if path == ACTION:
        return list(raw["runs"]["steps"])
    return [step for job in raw["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", [*WORKFLOWS, ACTION], ids=lambda path: path.name)
def test_form(path: Path) -> None:
    """What the host refuses, and what would run a text that somebody sent."""
    raw = read(path)
    if path == ACTION:
        assert raw["runs"]["using"] == "composite" and {"name", "description", "inputs", "runs"} <= set(raw)
    else:
        assert True in raw and set(raw) <= {"name", True, "permissions", "jobs", "env", "concurrency"}  # `on` is true
        for job in raw["jobs"].values():
            assert set(job) <= _JOB and {"runs-on", "steps"} <= set(job)
    ids: list[str] = [step["id"] for step in steps_of(path) if "id" in step]
    assert len(ids) == len(set(ids))
    for step in steps_of(path):
        assert set(step) <= _STEP and ("run" in step) != ("uses" in step), step
        if "uses" in step:
            assert re.fullmatch(r"[\w.-]+/[\w.-]+(/[\w./-]+)?@v\d+", step["uses"]), "an action is pinned to a version"
            assert not {"shell", "env", "working-directory"} & set(step) or "env" in step
        else:
            assert path != ACTION or "shell" in step, "a step of an action names its shell"
            assert not _EXPRESSION.search(step["run"]), "an expression in a script is code of whoever wrote the value"
            assert subprocess.run(["bash", "-n"], input=step["run"], text=True).returncode == 0


def test_expressions_name_what_there_is() -> None:
    """Of the action, both ways; of a workflow, its matrix."""
    raw, text = read(ACTION), ACTION.read_text(encoding="utf-8")
    assert set(re.findall(r"inputs\.([\w-]+)", text)) == set(raw["inputs"])
    known = {"runner.temp", "runner.os", "runner.arch", "steps.bench.outputs.json"}
    assert {e for e in _EXPRESSION.findall(text) if not e.startswith("inputs.")} == known
    for path in WORKFLOWS:
        for job in read(path)["jobs"].values():
            matrix = job.get("strategy", {}).get("matrix", {})
            for expression in _EXPRESSION.findall(json.dumps(job)):
                context, _, name = expression.partition(".")
                assert (context, name) == ("github", "workspace") or (context == "matrix" and name in matrix)


@dataclass
class Host:
    """A step's surroundings as the host makes them."""

    folder: Path
    path: str

    def run(self, step: dict[str, Any], values: dict[str, str], cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
        """Run a step's script. ``values``: of expressions."""
        named = {
            name: _EXPRESSION.sub(lambda e: values[e[1]], str(value)) for name, value in step.get("env", {}).items()
        }
        files = {name: str(self.folder / name) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_PATH")}
        environment = {**os.environ, "PATH": self.path, "RUNNER_TEMP": str(self.folder), **files, **named}
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True)

    def written(self, name: str) -> str:
        return (self.folder / name).read_text() if (self.folder / name).exists() else ""


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """``python`` is this one."""
    (tmp_path / "bin").mkdir()
    script = f'#!/bin/sh\nPYTHONPATH="{os.pathsep.join(sys.path)}" exec "{sys.executable}" "$@"\n'
    (tmp_path / "bin" / "python").write_text(script)
    (tmp_path / "bin" / "python").chmod(0o755)
    return Host(tmp_path, f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize("reached", [True, False])
def test_action(reached: bool, host: Host, llama: Path, tiny_folder: Callable[[str], Path]) -> None:
    """All its shell steps, with a model of our own; a threshold that is missed fails and still shows the table."""
    model = str(tiny_folder("llama"))
    given = {
        "bundle": str(llama), "pairs": "examples/pairs.jsonl", "reference": "" if reached else model,
        "max-delta": "" if reached else "0", "arguments": "--limit 3 --repeat 1", "package": "rlaif-fast",
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
    assert ("over --max-delta" in done.stderr) == (not reached)
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


def test_benchmark_workflow(host: Host, llama: Path, tmp_path: Path) -> None:
    """Its scripts as they are; the default judge is a tiny one, and PyTorch is not asked: ``test_action`` does."""
    shim = f"""#!{sys.executable}
import shutil, subprocess, sys
arguments = sys.argv[1:]
if arguments[0] == "export":
    assert arguments[:3] == ["export", "smollm2-135m-instruct", "--precision"] and arguments[4] == "-o"
    sys.exit(not shutil.copytree({str(llama)!r}, arguments[5]))
sys.path[:0] = {sys.path!r}
from rlaif_fast.commands.bench import bench
bench.make_context("bench", [*arguments[1:]])  # all of its options are ours
for name in ("--reference", "--min-speedup", "--max-flips", "--max-delta"):
    if name in arguments:
        del arguments[arguments.index(name) : arguments.index(name) + 2]
sys.exit(subprocess.call([{str(host.folder / "bin" / "python")!r}, "-m", "rlaif_fast", *arguments, "--limit", "2"]))
"""
    (host.folder / "bin" / "rlaif-fast").write_text(shim)
    (host.folder / "bin" / "rlaif-fast").chmod(0o755)
    work = tmp_path / "checkout"
    shutil.copytree(ROOT / "examples", work / "examples")
    steps = {step["name"]: step for step in steps_of(ROOT / ".github/workflows/benchmark.yml") if "run" in step}
    for name in ("Export the default judge", "Bench with thresholds", "Show the tables"):
        done = host.run(steps.pop(name), {}, work)
        assert done.returncode == 0, (name, done.stderr)
    assert host.written("GITHUB_STEP_SUMMARY").count("latency a pair, median") == 2
    assert {path.suffix for path in (work / "report").iterdir()} == {".json", ".md", ".html"}
    # The first installs from the registry, the other takes the base branch from the host and installs nothing.
    assert list(steps) == ["Install", "Measure the base branch"]


def test_what_the_test_workflow_runs_is_there() -> None:
    """Its scripts are make, pytest and apt-get: their targets and files exist."""
    seen = set()
    for step in (step for step in steps_of(ROOT / ".github/workflows/test.yml") if "run" in step):
        for command in step["run"].split("&&"):
            program, *arguments = command.split()
            seen.add(Path(program).name)
            if program == "make":
                assert subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True).returncode == 0
            for word in arguments:
                if word.startswith("tests/"):
                    assert (ROOT / word).is_file(), word
                elif word.startswith("tests."):
                    assert (ROOT / word.replace(".", "/") / "__main__.py").is_file(), word
    assert seen == {"run", "make", "python", "apt-get"}
    assert os.access(ROOT / ".ci" / "run", os.X_OK)

"""The workflows: what the host would refuse, and every shell step, run as far as there is no host for it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.workflow_host import ACTION, EXPRESSION, PYTHON, WORKFLOWS, Host, read, script, steps_of

_STEP = {"name", "id", "if", "uses", "with", "run", "shell", "env", "working-directory", "continue-on-error"}
_JOB = {"runs-on", "steps", "strategy", "env", "needs", "if", "container", "timeout-minutes", "permissions", "name"}
BENCHMARK, TEST = (ROOT / ".github/workflows" / name for name in ("benchmark.yml", "test.yml"))


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
            assert not EXPRESSION.search(step["run"]), "an expression in a script is code of whoever wrote the value"
            assert subprocess.run(["bash", "-n"], input=step["run"], text=True).returncode == 0


def test_expressions_name_what_there_is() -> None:
    """Of the action, both ways; of a workflow, its matrix."""
    raw, text = read(ACTION), ACTION.read_text(encoding="utf-8")
    assert set(re.findall(r"inputs\.([\w-]+)", text)) == set(raw["inputs"])
    known = {"runner.temp", "runner.os", "runner.arch", "steps.bench.outputs.json"}
    assert {e for e in EXPRESSION.findall(text) if not e.startswith("inputs.")} == known
    for path in WORKFLOWS:
        for job in read(path)["jobs"].values():
            matrix = job.get("strategy", {}).get("matrix", {})
            for expression in EXPRESSION.findall(json.dumps(job)):
                context, _, name = expression.partition(".")
                assert (context, name) == ("github", "workspace") or (context == "matrix" and name in matrix)


def _linter() -> Path:
    return Path(sys.executable).with_name("jactionlint")


def test_the_linter_finds_nothing() -> None:
    """As `make lint` runs it; a workflow with an input that its action has not is one of those that it would find."""
    done = subprocess.run([_linter(), "--no-hints"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
    wrong = TEST.read_text().replace("python-version:", "pyton-version:", 1)
    done = subprocess.run([_linter(), "-"], input=wrong, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and 'input "pyton-version" is not defined' in done.stdout


# `rlaif-fast` and `python -m rlaif_fast` of the benchmark: the default judge is a tiny one, PyTorch is not asked
# (test_action.py does), two pairs are judged, and no time of theirs can fail a threshold.
_SHORT = """#!{python}
import shutil, subprocess, sys
arguments = sys.argv[1:]
if arguments[:2] == ["-m", "rlaif_fast"]:
    arguments = arguments[2:]
if arguments[0] == "export" and "--help" not in arguments:
    assert arguments[:3] == ["export", "smollm2-135m-instruct", "--precision"] and arguments[4] == "-o"
    sys.exit(not shutil.copytree({bundle!r}, arguments[5]))
if arguments[0] == "bench" and "--help" not in arguments:
    for name in ("--reference", "--min-speedup", "--max-flips", "--max-worst-delta"):
        if name in arguments:
            del arguments[arguments.index(name) : arguments.index(name) + 2]
    if "--max-regression" in arguments:
        arguments[arguments.index("--max-regression") + 1] = "1000"
    arguments += ["--limit", "2"]
sys.exit(subprocess.call([{real!r}, "-m", "rlaif_fast", *arguments]))
"""


def _git(*arguments: str, cwd: Path) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *who, *arguments], cwd=cwd, check=True, capture_output=True)


def _checkout(folder: Path, *names: str) -> Path:
    """A copy of the project, installed already: `make .venv/.ready` finds nothing to do, and says so."""
    folder.mkdir()
    for name in names:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    script(folder / ".venv/bin/python", PYTHON)
    (folder / ".venv/.ready").touch()
    return folder


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
@pytest.mark.parametrize("base", ["same", "none"])
def test_benchmark_workflow(base: str, llama: Path, tmp_path: Path) -> None:
    """All its scripts in their order, against a base branch of the same code and against one without a bench."""
    host = Host(tmp_path / "runner", {"GITHUB_BASE_REF": "main"})
    real = script(host.programs / "real", PYTHON)
    for name in ("python", "rlaif-fast"):
        script(host.programs / name, _SHORT.format(python=sys.executable, bundle=str(llama), real=str(real)))
    origin = _checkout(tmp_path / "origin", "examples", *(["rlaif_fast", "export"] if base == "same" else []))
    if base == "none":
        script(origin / "rlaif_fast/__init__.py", "")
        script(origin / "rlaif_fast/__main__.py", "raise SystemExit('no such command')\n")
    _git("init", ".", cwd=origin)
    _git("add", "-A", cwd=origin)
    _git("commit", "-m", "base", cwd=origin)
    work = _checkout(tmp_path / "work", "examples", "Makefile", "pyproject.toml")
    _git("init", ".", cwd=work)
    _git("remote", "add", "origin", str(origin), cwd=work)
    for step in (step for step in steps_of(BENCHMARK) if "run" in step):
        done = host.run(step, cwd=work)
        assert done.returncode == 0, (step["name"], done.stdout, done.stderr)
        assert ("the base branch has no bench yet" in done.stdout) == (
            base == "none" and step["name"] == "Measure the base branch"
        )
    assert host.written("GITHUB_PATH") == f"{work}/.venv/bin\n"
    assert (host.folder / "base.json").exists() == (base == "same")
    assert ("baseline" in (work / "report/bench.md").read_text()) == (base == "same")
    assert host.written("GITHUB_STEP_SUMMARY").count("latency a pair, median") == 2
    assert {path.suffix for path in (work / "report").iterdir()} == {".json", ".md", ".html"}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = ("Makefile", "pyproject.toml", ".ci", "tests", "examples", "rlaif_fast", "export", "README.md", "LICENSE")
    return _checkout(tmp_path_factory.mktemp("checkout") / "work", *names)


_SCRIPTS = dict.fromkeys(step["run"] for step in steps_of(TEST) if "run" in step)


@pytest.mark.parametrize("run", _SCRIPTS)
def test_steps_of_the_test_workflow(run: str, checkout: Path, tmp_path: Path) -> None:
    """The scripts themselves. What they start stops short: make prints what it would do, pytest only collects."""
    host = Host(tmp_path, {"MAKEFLAGS": "" if run == "make .venv/.ready" else "n", "PYTEST_ADDOPTS": "--collect-only"})
    step: dict[str, Any] = {"run": run}
    script(host.programs / "apt-get", f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')  # a test installs nothing
    if run.startswith("apt-get "):  # in a container: what is asked for is what another step says it lacks
        assert host.run(step).returncode == 0
        update, install = (tmp_path / "asked").read_text().splitlines()
        assert update == "update" and install.startswith("install -y") and "qemu-user" in install.split()
    elif run.endswith(" -m tests.cpus"):
        if shutil.which("qemu-x86_64"):
            pytest.skip("there is an emulator here: this would take an hour")
        done = host.run(step, cwd=checkout)
        assert done.returncode == 2 and "install qemu-user" in done.stderr, done.stderr
    else:
        done = host.run(step, cwd=checkout)
        assert done.returncode == 0, done.stdout + done.stderr
        if run == "make .venv/.ready":
            assert "up to date" in done.stdout
        elif "-m pytest" in run:
            assert re.search(r"\d+ tests? collected", done.stdout), done.stdout
        else:
            assert run == ".ci/run" or run.startswith("make ")
            assert re.search(r"\.venv[\w-]*/bin/", done.stdout)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)

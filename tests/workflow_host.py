"""What the tests of workflows and of the action share: their steps, and a host that runs one step's script."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTION = ROOT / "action.yml"
EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")


def read(path: Path) -> dict[Any, Any]:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def steps_of(path: Path) -> list[dict[str, Any]]:
    raw = read(path)
    if path == ACTION:
        return list(raw["runs"]["steps"])
    return [step for job in raw["jobs"].values() for step in job["steps"]]


def script(path: Path, text: str) -> Path:
    """A program of a line or more."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


# The Python that runs the tests, with its packages behind those that the step names.
PYTHON = f"""#!/bin/sh
PYTHONPATH="${{PYTHONPATH:+$PYTHONPATH:}}{os.pathsep.join(sys.path)}" exec "{sys.executable}" "$@"
"""


@dataclass
class Host:
    """A step's surroundings as the host makes them. ``folder`` is the runner's, ``programs`` come first on the path."""

    folder: Path
    more: dict[str, str] = field(default_factory=dict)  # of the environment, for every step

    @property
    def programs(self) -> Path:
        return self.folder / "bin"

    def run(
        self, step: dict[str, Any], values: dict[str, str] | None = None, cwd: Path = ROOT
    ) -> subprocess.CompletedProcess[str]:
        """Run a step's script. ``values``: of expressions."""
        named = {
            name: EXPRESSION.sub(lambda e: (values or {})[e[1]], str(value))
            for name, value in step.get("env", {}).items()
        }
        files = {name: str(self.folder / name) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_PATH")}
        path = {"PATH": f"{self.programs}{os.pathsep}{os.environ['PATH']}"}
        environment = {**os.environ, **path, "RUNNER_TEMP": str(self.folder), **files, **self.more, **named}
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True)

    def written(self, name: str) -> str:
        return (self.folder / name).read_text() if (self.folder / name).exists() else ""

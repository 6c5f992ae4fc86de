"""The wheel alone under other Pythons, and as uv and pipx install it: it judges as here (``make test-pythons``).

RLAIF_FAST_PYTHONS names interpreters, as in ``python3.10 python3.13``: an environment each takes a minute.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, Run

PYTHONS = os.environ.get("RLAIF_FAST_PYTHONS", "").split()
pytestmark = pytest.mark.skipif(not PYTHONS, reason="RLAIF_FAST_PYTHONS names no Python (make test-pythons)")
BIN = "Scripts" if os.name == "nt" else "bin"
PAIRS = ROOT / "examples/pairs.jsonl"


def _environment(folder: Path, python: str = sys.executable) -> Path:
    """The programs of a new environment."""
    found = shutil.which(python)
    assert found, f"there is no {python} here"
    subprocess.run([found, "-m", "venv", folder], check=True)
    return folder / BIN


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What builds and installs packages, as the index has it."""
    programs = _environment(tmp_path_factory.mktemp("tools") / "env")
    subprocess.run([programs / "python", "-m", "pip", "install", "-q", "build", "pipx", "uv"], check=True)
    return programs


@pytest.fixture(scope="module")
def wheel(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built once, by this Python, from the archive of sources: it is the same for all."""
    folder = tmp_path_factory.mktemp("built")
    subprocess.run([tools / "python", "-m", "build", "-o", folder, ROOT], check=True, cwd=folder, capture_output=True)
    assert len(list(folder.glob("rlaif_fast-*.tar.gz"))) == 1
    (found,) = folder.glob("rlaif_fast-*-py3-none-any.whl")
    return found


def _judges_as_here(program: Path, llama: Path, folder: Path, rlaif_fast: Callable[..., Run]) -> None:
    here = rlaif_fast("judge", PAIRS, "-b", llama)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment |= {"RLAIF_FAST_HOME": str(folder)}
    there = subprocess.run(
        [program, "judge", PAIRS, "-b", llama], capture_output=True, text=True, cwd=folder, env=environment
    )
    assert there.returncode == 0, there.stderr
    for ours, theirs in zip(here.out.splitlines(), there.stdout.splitlines(), strict=True):
        row, other = json.loads(ours), json.loads(theirs)
        by_order = pytest.approx(row.pop("p1_by_order"), abs=1e-4)  # its onnxruntime may be another
        assert other.pop("p1_by_order") == by_order
        assert [other.pop(name) for name in ("p1", "p2")] == pytest.approx([row.pop("p1"), row.pop("p2")], abs=1e-4)
        assert other == row


@pytest.mark.parametrize("python", PYTHONS)
def test_it_judges_as_here(
    python: str, wheel: Path, llama: Path, tmp_path: Path, rlaif_fast: Callable[..., Run]
) -> None:
    programs = _environment(tmp_path / "clean", python)
    subprocess.run([programs / "python", "-m", "pip", "install", "-q", wheel], check=True, cwd=tmp_path)
    _judges_as_here(programs / "rlaif-fast", llama, tmp_path, rlaif_fast)


@pytest.mark.parametrize("installer", ["uv", "pipx"])
def test_installers_of_programs(
    installer: str, tools: Path, wheel: Path, llama: Path, tmp_path: Path, rlaif_fast: Callable[..., Run]
) -> None:
    """The commands of docs/quickstart.md, with folders of their own."""
    own = {
        "UV_TOOL_DIR": "tools", "UV_TOOL_BIN_DIR": "bin", "UV_PYTHON_DOWNLOADS": "never",
        "PIPX_HOME": "pipx", "PIPX_BIN_DIR": "bin", "PIPX_MAN_DIR": "man",
    }  # fmt: skip
    environment = os.environ | {k: v if v == "never" else str(tmp_path / v) for k, v in own.items()}
    command = [tools / installer, *(["tool"] if installer == "uv" else []), "install", "--python", PYTHONS[-1], wheel]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path.stem for path in (tmp_path / "bin").iterdir()] == ["rlaif-fast"]
    _judges_as_here(tmp_path / "bin/rlaif-fast", llama, tmp_path, rlaif_fast)


def test_the_archive_of_sources_is_whole(wheel: Path, tmp_path: Path) -> None:
    """A wheel of the checkout has what the one of the archive has, and nothing else."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, ROOT]
    subprocess.run(command, check=True, cwd=tmp_path)
    (other,) = tmp_path.glob("*.whl")

    def contents(path: Path) -> dict[str, bytes]:
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist() if not name.endswith(("RECORD", "WHEEL"))}

    assert contents(wheel) == contents(other)

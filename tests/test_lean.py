"""The lean half stays lean: what judging imports, and what a wheel alone can do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, Run

HEAVY = {"torch", "transformers", "optimum", "onnx", "onnx_ir", "accelerate", "gguf", "rlaif_fast_export", "openvino",
         "scipy", "matplotlib", "starlette", "uvicorn"}  # fmt: skip


def _modules(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*{{m.split('.')[0] for m in sys.modules}})"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    return set(done.stdout.splitlines()[-1].split())


def test_judging_imports_no_torch(llama: Path) -> None:
    loaded = _modules(
        "from rlaif_fast.cli import _run\n"
        f"assert _run(['judge', {str(ROOT / 'examples/pairs.jsonl')!r}, '-b', {str(llama)!r}, '--table'], False) == 0"
    )
    assert "onnxruntime" in loaded
    assert not loaded & HEAVY


def test_inspecting_imports_no_torch(llama: Path) -> None:
    assert (
        not _modules(f"from rlaif_fast.cli import _run\nassert _run(['inspect', {str(llama)!r}], False) == 0") & HEAVY
    )


def test_help_imports_nothing_slow() -> None:
    """`rlaif-fast --help` answers at once: not even numpy is needed for it."""
    loaded = _modules("from rlaif_fast.cli import _run\nassert _run(['--help'], False) == 0")
    assert not loaded & (HEAVY | {"numpy", "onnxruntime", "tokenizers", "rich"})


@pytest.mark.parametrize("command", ["judge", "rank", "score", "serve", "eval", "export", "bench", "diff"])
def test_help_opens_no_room_that_works(command: str) -> None:
    """A package's ``__init__`` that imports its modules costs every command's start: 0.1 s when three of them did."""
    code = (
        f"from rlaif_fast.cli import _run\nassert _run([{command!r}, '--help'], False) == 0\n"
        "import sys; print(*sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(done.stdout.splitlines()[-1].split())
    working = ("rlaif_fast.schemas.known", "rlaif_fast.rows.reader", "rlaif_fast.files.opening", "importlib.abc")
    assert not loaded & {*working, "rlaif_fast.runtime.engines", "rlaif_fast.judging.session", "rlaif_fast.evaluation"}


def test_the_package_alone_judges_in_a_clean_environment(llama: Path, tmp_path: Path) -> None:
    """The built wheel with its core dependencies only, outside the checkout, with a prepared bundle."""
    wheels = tmp_path / "wheels"
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", wheels, ROOT], check=True, cwd=tmp_path
    )
    venv.create(tmp_path / "clean", with_pip=True)
    binary = tmp_path / "clean" / ("Scripts" if os.name == "nt" else "bin")
    (wheel,) = wheels.glob("rlaif_fast-*.whl")
    subprocess.run([binary / "python", "-m", "pip", "install", "-q", wheel], check=True, cwd=tmp_path)
    shutil.copy(ROOT / "examples/pairs.jsonl", tmp_path)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | {
        "RLAIF_FAST_HOME": str(tmp_path)
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [binary / "rlaif-fast", *arguments], capture_output=True, text=True, cwd=tmp_path, env=environment
        )

    done = run("judge", "pairs.jsonl", "-b", str(llama))
    assert done.returncode == 0, done.stderr
    assert len([json.loads(line) for line in done.stdout.splitlines()]) == 7
    assert run("inspect", str(llama)).returncode == 0
    missing = run("export", "microsoft/phi-1_5")
    assert missing.returncode == 1
    assert "pip install 'rlaif-fast[export]'" in missing.stderr
    assert missing.stderr.count("\n") == 1
    (tmp_path / "verdicts.jsonl").write_text(done.stdout)
    labelled = [json.loads(line) | {"human_label": 0} for line in done.stdout.splitlines()]
    (tmp_path / "labelled.jsonl").write_text("".join(json.dumps(row) + "\n" for row in labelled))
    for what, module, *command in (
        ("eval", "scipy", "eval", "none-is-read.jsonl", "--html", "eval.html"),
        ("diff of labelled rows", "scipy", "diff", "labelled.jsonl", "verdicts.jsonl"),
        ("diff --html", "matplotlib", "diff", "labelled.jsonl", "verdicts.jsonl", "--html", "diff.html"),
        ("bench --html", "matplotlib", "bench", "none-is-read.jsonl", "--html", "bench.html"),
    ):
        missing = run(*command)
        assert (missing.returncode, missing.stdout) == (1, "")
        assert missing.stderr == f"error: {what} needs {module}, pip install 'rlaif-fast[eval]'\n"
    missing = run("serve", "-b", str(llama))
    assert missing.stderr == "error: serve needs starlette, pip install 'rlaif-fast[serve]'\n"
    assert run("diff", "verdicts.jsonl", "verdicts.jsonl", "--json", "diff.json").returncode == 0
    listed = subprocess.run([binary / "python", "-m", "pip", "list"], capture_output=True, text=True, check=True).stdout
    assert not {line.split()[0].lower() for line in listed.splitlines()} & {
        "torch", "transformers", "optimum", "onnx", "scipy", "matplotlib",
    }  # fmt: skip


def test_the_wheel_is_typed(tmp_path: Path) -> None:
    import rlaif_fast

    assert (Path(rlaif_fast.__file__).parent / "py.typed").exists()


@pytest.mark.parametrize("command", ["export", "judge", "inspect"])
def test_help_of_each_command(rlaif_fast: Callable[..., Run], command: str) -> None:
    done = rlaif_fast(command, "--help")
    assert done.status == 0
    assert "Usage: rlaif-fast " + command in done.out

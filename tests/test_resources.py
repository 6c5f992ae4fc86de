"""Memory: bounded whatever the rows, and where there is not enough one clear line and nothing lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from rlaif_fast import Judge, JudgeError, Pair
from rlaif_fast.bundle.folder import Bundle
from rlaif_fast.errors import REMEDY, lacks_memory
from rlaif_fast.judging import lookahead as windows
from rlaif_fast.runtime import cgroup, memory
from rlaif_fast.runtime import forward as passes
from rlaif_fast.runtime.forward import largest_tree

linux = pytest.mark.skipif(sys.platform != "linux", reason="limits and figures of /proc")
WORDS = ["fox", "wizard", "jam", "lazy dog", "coherent", "main idea"]


def _row(number: int, words: int, instruction: str | None = None) -> dict[str, object]:
    text = " ".join(WORDS[(number + n) % len(WORDS)] for n in range(words))
    return {
        "id": number,
        "instruction": instruction or f"Text {number}. {text}",
        "response_0": f"The fox. {text if instruction else ''}",
        "response_1": f"A dog, or two {number}. {text if instruction else ''}",
    }


def _write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _peak(pairs: Path, bundle: Path, *more: str) -> float:
    """Peak of a real run, 10^6 bytes."""
    code = (
        "import sys; from rlaif_fast.cli import _run; assert _run(sys.argv[1:], False) == 0\n"
        "print(next(l.split()[1] for l in open('/proc/self/status') if l.startswith('VmHWM')), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, "judge", str(pairs), "-b", str(bundle), "--threads", "1", *more]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stderr.split()[-1]) * 1024 / 1e6


@linux
def test_huge_and_tiny_rows_mixed_keep_the_peak_flat(llama: Path, tmp_path: Path) -> None:
    """Many of both take what one huge row takes, in whatever order they come."""
    huge, tiny = 170, 3  # words: 880 of the context's 1,024 tokens, and next to none
    few = [_row(0, tiny), _row(1, huge), _row(2, tiny)]
    many = [_row(n, huge if n % 9 == 4 else tiny + n % 40) for n in range(300)]
    one, mixed = (_peak(_write(tmp_path / f"{n}.jsonl", rows), llama) for n, rows in enumerate((few, many)))
    alone = _peak(_write(tmp_path / "tiny.jsonl", few[:1]), llama)
    assert one > alone, "a huge row takes what can be seen"
    assert mixed - one < 0.1 * one, (alone, one, mixed)


@linux
def test_many_long_pairs_on_one_instruction_keep_the_peak_flat(llama: Path, tmp_path: Path) -> None:
    """Planned one tree at a time: 300 at once would take 100 MB for their tokens alone."""
    shared = [_row(n, 70, instruction="One text for all.") for n in range(300)]
    few, many = (_peak(_write(tmp_path / f"{n}.jsonl", shared[:n]), llama) for n in (10, 300))
    assert many - few < 0.1 * few, (few, many)


def _largest_pass(judge: Judge, pairs: list[Pair]) -> int:
    """Tokens of the largest pass that judging these pairs takes."""
    engine = judge._engine
    with (
        mock.patch.object(engine, "run", wraps=engine.run) as run,
        mock.patch.object(engine, "keys_and_values", wraps=engine.keys_and_values) as kept,
    ):
        list(judge.judge_many(pairs))
    return max(int(call.args[0].tokens) for call in (*run.call_args_list, *kept.call_args_list))


def test_a_tree_over_the_bound_is_split(llama: Path, llama_judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [Pair(f"Text {n % 2}. " + "fox " * 60, "a fox", f"a dog {n}", id=n) for n in range(6)]
    whole, largest = [v.log_odds_by_order for v in llama_judge.judge_many(pairs)], _largest_pass(llama_judge, pairs)
    limit = len(llama_judge.prompt_tokens(pairs[0])[0]) - len(llama_judge.manifest.prompt.prefix_ids)
    monkeypatch.setattr(passes, "_TREE_BYTES", memory.of_pass(llama_judge.manifest, limit))
    bounded = Judge.load(str(llama))
    split = [v.log_odds_by_order for v in bounded.judge_many(pairs)]
    assert _largest_pass(bounded, pairs) <= limit == largest_tree(bounded.manifest) < largest
    for before, after in zip(whole, split, strict=True):
        assert after == pytest.approx(before, abs=1e-4)


def test_the_bound_follows_from_the_bundle_alone(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = Bundle(llama).manifest
    sizes = [memory.of_pass(manifest, tokens) for tokens in range(1, manifest.maximum_tree + 1)]
    assert sizes == sorted(sizes)
    for bound in (sizes[0] - 1, sizes[0], sizes[100], sizes[-1], sizes[-1] * 2):
        monkeypatch.setattr(passes, "_TREE_BYTES", bound)
        assert largest_tree(manifest) == sum(size <= bound for size in sizes)


def test_a_window_is_bounded_in_rows_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "LIMIT", 100)
    pairs = [Pair("x" * size, "a", "b") for size in (1, 1, 1, 200, 1, 60, 60, 60)]
    assert [[len(p.instruction) for p in w] for w in windows.windows(pairs, 3)] == [[1, 1, 1], [200], [1, 60, 60], [60]]
    assert [len(w) for w in windows.windows(pairs, 100)] == [4, 3, 1]
    assert list(windows.windows([], 3)) == []

    def endless() -> Iterator[Pair]:
        while True:
            yield pairs[0]

    assert len(next(windows.windows(endless(), 7))) == 7


def test_what_is_not_left_is_refused(llama: Path, llama_judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """A control group would kill without a word."""
    monkeypatch.setattr(cgroup, "memory_left", lambda: 100_000_000)
    with pytest.raises(JudgeError, match=r"needs about 21. MB, 100 MB are left; use fewer --threads") as error:
        Judge.load(llama)
    assert str(llama) in str(error.value)
    monkeypatch.setattr(llama_judge._passes, "_held", {})
    llama_judge.judge(Pair("Text", "a fox", "a dog"))  # there is enough for a short one
    monkeypatch.setattr(cgroup, "memory_left", lambda: 64_000_000)
    with pytest.raises(JudgeError, match=r"^mine, line 3: a pass of \d+ tokens needs about \d+ MB, 64 MB are left"):
        llama_judge.judge(Pair("fox " * 100, "a fox", "a dog", where="mine, line 3"))
    monkeypatch.setattr(cgroup, "memory_left", lambda: None)
    llama_judge.judge(Pair("fox " * 100, "a fox", "a dog"))
    monkeypatch.setattr(cgroup, "memory_left", lambda: 0)
    llama_judge.judge(Pair("fox " * 100, "a dog", "a fox"))  # the runtime still holds what the last one took


@linux
@pytest.mark.parametrize("megabytes", [150, 200, 240, 300, 340])
def test_too_little_address_space_is_one_line(megabytes: int, llama: Path, tmp_path: Path) -> None:
    """From where Python starts but nothing loads to where the bundle does not fit."""
    pairs, output = _write(tmp_path / "pairs.jsonl", [_row(n, 5) for n in range(20)]), tmp_path / "out.jsonl"
    judge = [sys.executable, "-m", "rlaif_fast", "judge", str(pairs), "-b", str(llama), "-o", str(output)]
    limited = ["bash", "-c", f'ulimit -v {megabytes * 1000}; exec "$@"', "-", *judge]
    # More threads take more address space, and a machine with many cores has as many by default.
    done = subprocess.run(limited, capture_output=True, text=True, env=os.environ | {"RAYON_NUM_THREADS": "2"})
    assert done.returncode == 1, done.stderr
    said = [line for line in done.stderr.splitlines() if line != "Schema error: std::bad_alloc"]  # onnxruntime's own
    assert len(said) == 1 and said[0].startswith("error: ") and REMEDY in said[0], done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["pairs.jsonl"]


@linux
def test_memory_that_ends_in_the_middle_loses_nothing(llama: Path, tmp_path: Path) -> None:
    """The limit falls upon a running process; a long row then does not fit. Without it the same bytes."""
    import resource

    rows = [json.dumps(_row(n, 5)).encode() + b"\n" for n in range(40)]
    rows += [json.dumps(_row(n, 170)).encode() + b"\n" for n in range(40, 44)]
    output, once = tmp_path / "out.jsonl", tmp_path / "once.jsonl"
    judge = [sys.executable, "-m", "rlaif_fast", "judge", "-", "-b", str(llama), "--window", "1", "-o"]
    process = subprocess.Popen([*judge, str(output)], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(b"".join(rows[:40]))
    process.stdin.flush()
    partial = tmp_path / "out.jsonl.partial"
    while not partial.exists() or partial.read_bytes().count(b"\n") < 39:  # the reader may wait for the next row
        assert process.poll() is None
        time.sleep(0.05)
    used = int(Path(f"/proc/{process.pid}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(process.pid, resource.RLIMIT_AS, (used + 66_000_000, resource.RLIM_INFINITY))
    _, err = process.communicate(b"".join(rows[40:]))
    assert process.returncode == 1
    assert err.decode().startswith("error: stdin, line 41, id 40: a pass of "), err
    assert REMEDY in err.decode() and err.count(b"\n") == 1
    assert json.loads((tmp_path / "out.jsonl.journal").read_text())["verdicts"] == 40
    again = subprocess.run([*judge, str(output)], input=b"".join(rows), capture_output=True)
    assert again.returncode == 0 and b"resuming after 40 rows" in again.stderr
    subprocess.run([*judge, str(once)], input=b"".join(rows), check=True, capture_output=True)
    assert output.read_bytes() == once.read_bytes()


_ENGINE = """
import resource, sys
from pathlib import Path
from unittest import mock
from rlaif_fast.bundle.folder import Bundle
from rlaif_fast.runtime.engines import EngineOptions
from rlaif_fast.runtime.engines.onnxruntime import OnnxRuntimeEngine
from rlaif_fast.runtime.packing import pack
def limit(more):
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + more, resource.RLIM_INFINITY))
bundle = Bundle(sys.argv[1])
bundle.verified()
prefix = bundle.manifest.prompt.prefix_ids
try:
    if sys.argv[2] == "threads":
        limit(100 << 20)
        OnnxRuntimeEngine(bundle, EngineOptions(200))
    else:
        engine = OnnxRuntimeEngine(bundle, EngineOptions(1))
        tree = pack([[*prefix, *list(range(5, 305)) * 6]], prefix)
        limit(1 << 20)
        engine.run(tree, bundle.arrays)
except Exception as error:
    print(type(error).__name__, error)
"""


@linux
@pytest.mark.parametrize("step", ["threads", "run"])
def test_what_the_runtime_says_of_missing_memory_is_understood(step: str, llama: Path) -> None:
    """Its own exceptions, of the real runtime."""
    done = subprocess.run(
        [sys.executable, "-c", _ENGINE, str(llama), step], capture_output=True, text=True, timeout=120,
        env=os.environ | {"MALLOC_ARENA_MAX": "1"},  # no free memory that other threads have put by
    )  # fmt: skip
    assert done.stdout.startswith("JudgeError"), done.stdout + done.stderr
    assert REMEDY in done.stdout


@pytest.mark.parametrize(
    ("error", "lacks"),
    [
        (MemoryError(), True),
        (RuntimeError("can't start new thread"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (ImportError("x.so: failed to map segment from shared object"), True),
        (OSError(28, "No space left on device"), False),
        (RuntimeError("Invalid rank for input"), False),
    ],
)
def test_what_counts_as_missing_memory(error: Exception, lacks: bool) -> None:
    assert lacks_memory(error) is lacks

"""A run that is stopped anywhere ends with the same bytes as one that is not."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from filelock import FileLock

from rlaif_fast import Judge, Pair, PairError, Verdict
from rlaif_fast.files.journal import Journal, journal_of
from tests.conftest import Run
from tests.stopping import interrupted

KILLS = int(os.environ.get("RLAIF_FAST_KILLS", "12"))
PAIRS = 300
Cli = Callable[..., Run]


def _rows(path: Path, count: int = PAIRS) -> Path:
    words = ["fox", "wizard", "jam", "lazy dog", "coherent", "main idea"]
    pick = random.Random(7)
    with open(path, "w") as stream:
        for n in range(count):
            row = {
                "id": f"row-{n}",
                "instruction": f"Text {n % 97}. " + " ".join(pick.choices(words, k=12)),
                "response_0": f"The {pick.choice(words)}.",
                "response_1": f"A {pick.choice(words)}, or two.",
                "note": n,
            }
            stream.write(json.dumps(row) + "\n")
    return path


def _command(pairs: Path, bundle: Path, output: Path) -> list[str]:
    return [sys.executable, "-m", "rlaif_fast", *_judge(pairs, bundle, output)]


def _judge(pairs: Path, bundle: Path, output: Path) -> list[str]:
    return ["judge", str(pairs), "-b", str(bundle), "-o", str(output)]


@pytest.fixture(scope="module")
def whole(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Pairs, and their verdicts from a run that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole")
    pairs = _rows(folder / "pairs.jsonl")
    subprocess.run(_command(pairs, llama, folder / "out.jsonl"), check=True, capture_output=True)
    assert sorted(p.name for p in folder.iterdir()) == ["out.jsonl", "pairs.jsonl"]
    return pairs, folder / "out.jsonl"


# An entry every 20 rows, not every second: this run takes less. One thread: others burn CPU time while they wait.
_OFTEN = """
import sys
from rlaif_fast.cli import main
from rlaif_fast.files.journal import Journal

write = Journal.write

def often(self, *row):
    if self._stand.verdicts % 20 == 0:
        self._next = 0
    write(self, *row)

Journal.write = often
main([*sys.argv[1:], "--threads", "1"])
"""


def test_killed_anywhere_it_ends_with_the_same_file(llama: Path, tmp_path: Path) -> None:
    """The real process killed at random moments of its life, in CPU time, which a busy machine does not shift.

    The timer's signal ends a process that expects none as SIGKILL does. RLAIF_FAST_KILLS=200 for the long version.
    """
    pairs, wanted, pick = _rows(tmp_path / "pairs.jsonl"), tmp_path / "wanted.jsonl", random.Random(KILLS)
    kills = inside = finished = taken_up = 0

    def run(output: Path, seconds: float) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-c", _OFTEN, *_judge(pairs, llama, output)], capture_output=True, text=True,
            preexec_fn=lambda: signal.setitimer(signal.ITIMER_PROF, seconds),  # 0: never
        )  # fmt: skip
        assert done.returncode in (0, -signal.SIGPROF), done.stderr
        return done.returncode, done.stderr

    before = _children_seconds()
    assert run(wanted, 0)[0] == 0
    life = _children_seconds() - before
    while kills < KILLS:
        output = tmp_path / f"out-{finished}.jsonl"
        status, err = run(output, pick.uniform(0.4 * life, 1.1 * life))
        taken_up += "resuming after " in err
        if status == 0:
            assert output.read_bytes() == wanted.read_bytes()
            assert "300 judged" in err
            finished += 1
        else:
            inside += output.with_name(output.name + ".journal").exists()
            kills += 1
    assert run(output, 0)[0] == 0
    assert output.read_bytes() == wanted.read_bytes()
    assert inside > KILLS // 4, "the kills came before the work or behind it"
    assert taken_up, "no run resumed another"
    assert {p.name for p in tmp_path.iterdir()} == {
        pairs.name, wanted.name, output.name, *(f"out-{n}.jsonl" for n in range(finished)),
    }  # fmt: skip


def _children_seconds() -> float:
    """CPU time of all processes waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_an_interrupted_run_says_so_and_goes_on(
    whole: tuple[Path, Path], llama: Path, tmp_path: Path, rlaif_fast: Cli
) -> None:
    pairs, wanted = whole
    output = tmp_path / "out.jsonl"
    assert interrupted(_judge(pairs, llama, output), "write", 12).endswith(
        f"\nerror: interrupted; the same command resumes {output} where it stopped\n"
    )
    assert not output.exists()
    done = rlaif_fast("judge", pairs, "-b", llama, "-o", output)
    assert done.status == 0, done.err
    assert f"{output}: resuming after 12 rows" in done.err
    assert output.read_bytes() == wanted.read_bytes()


def test_what_it_is_bound_to(llama: Path, tiny_bundle: Callable[[str], Path], tmp_path: Path, rlaif_fast: Cli) -> None:
    pairs, output, done = _rows(tmp_path / "pairs.jsonl"), tmp_path / "out.jsonl", 12
    interrupted(_judge(pairs, llama, output), "write", done)
    assert json.loads((tmp_path / "out.jsonl.journal").read_text())["verdicts"] == done
    rows = pairs.read_bytes().splitlines(keepends=True)
    changed, shorter, longer = (tmp_path / f"{name}.jsonl" for name in ("changed", "shorter", "longer"))
    changed.write_bytes(b"".join([rows[0].replace(b"Text", b"text"), *rows[1:]]))
    shorter.write_bytes(b"".join(rows[: done - 1]))
    longer.write_bytes(b"".join([*rows[: done + 20]]))
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    for arguments, message in [
        ((changed, "-b", llama), "began with another input (its first"),
        ((shorter, "-b", llama), f"began with another input (it has {done - 1} rows)"),
        ((pairs, "-b", tiny_bundle("gpt2")), "began with another bundle;"),
        ((pairs, "-b", llama, "--orders", "forward"), "began with --orders both, now with --orders forward;"),
    ]:
        refused = rlaif_fast("judge", *arguments, "-o", output)
        assert refused.status == 1 and message in refused.err and "--restart" in refused.err, refused.err
        assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    with FileLock(tmp_path / "out.jsonl.lock"):
        second = rlaif_fast("judge", pairs, "-b", llama, "-o", output)
    assert second.status == 1 and "another process is writing it" in second.err
    # What is consumed is bound, what follows is not.
    assert rlaif_fast("judge", longer, "-b", llama, "-o", output).status == 0
    assert len(output.read_text().splitlines()) == done + 20
    interrupted(_judge(pairs, llama, tmp_path / "again.jsonl"), "write", done)
    fresh = rlaif_fast("judge", changed, "-b", llama, "-o", tmp_path / "again.jsonl", "--restart", "--limit", 30)
    assert fresh.status == 0 and "resuming" not in fresh.err
    assert len((tmp_path / "again.jsonl").read_text().splitlines()) == 30


def test_a_full_disk_loses_nothing(whole: tuple[Path, Path], llama: Path, tmp_path: Path) -> None:
    """The system refuses to let files grow beyond 48 blocks; later it does not."""
    pairs, wanted = whole
    output = tmp_path / "out.jsonl"
    command = _command(pairs, llama, output)
    full = subprocess.run(["bash", "-c", 'ulimit -f 48; exec "$@"', "-", *command], capture_output=True, text=True)
    assert full.returncode == 1
    assert full.stderr.splitlines()[-1].startswith("error: ") and "Traceback" not in full.stderr
    assert not output.exists()
    assert json.loads((tmp_path / "out.jsonl.journal").read_text())["verdicts"] > 0
    assert (tmp_path / "out.jsonl.partial").read_bytes()[-1:] != b"\n", "the last line is torn"
    subprocess.run(command, check=True, capture_output=True)
    assert output.read_bytes() == wanted.read_bytes()


def test_standard_input_is_taken_up_again(whole: tuple[Path, Path], llama: Path, tmp_path: Path) -> None:
    """The same rows come through the pipe again; those that have a verdict are passed over."""
    pairs, _ = whole
    output, rows = tmp_path / "out.jsonl", pairs.read_bytes()
    command = _command(Path("-"), llama, output)
    full = subprocess.run(["bash", "-c", 'ulimit -f 48; exec "$@"', "-", *command], input=rows, capture_output=True)
    assert full.returncode == 1
    subprocess.run(command, input=rows, check=True, capture_output=True)
    subprocess.run(_command(Path("-"), llama, tmp_path / "once.jsonl"), input=rows, check=True, capture_output=True)
    assert output.read_bytes() == (tmp_path / "once.jsonl").read_bytes()


def _verdict(n: int) -> Verdict:
    return Verdict(Pair(f"i{n}", "a", "b", id=n), (0.5 + n, 0.25))


def _write(output: Path, numbers: range, bound: dict[str, object], *, stop: bool) -> None:
    with journal_of(output, bound) as journal:
        for pair in journal.checked(_verdict(n).pair for n in numbers):
            if pair.id >= journal.done:
                journal.write(pair, _verdict(pair.id).to_json(), {"judged": pair.id + 1})
        if stop:
            raise KeyboardInterrupt
        journal.complete()
        os.replace(journal.rows, output)


def test_interrupted_at_any_line_of_a_write(tmp_path: Path) -> None:
    """Ctrl-C between any two lines: what lies there is whole rows, all vouched for, and the rest follows."""
    _write(tmp_path / "wanted", range(5), {}, stop=False)
    stops = 0
    while True:
        output, lines = tmp_path / f"out{stops}", 0

        def trace(frame: FrameType, event: str, _: object, last: int = stops) -> Any:
            nonlocal lines
            if frame.f_code not in (Journal.write.__code__, Journal._consume.__code__):
                return trace if event == "call" else None
            lines += event == "line"
            if lines > last:
                sys.settrace(None)
                raise KeyboardInterrupt
            return trace

        sys.settrace(trace)
        try:
            _write(output, range(5), {}, stop=False)
            break
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)
        rows = tmp_path / f"out{stops}.partial"
        if rows.exists():
            entry = json.loads(rows.with_suffix(".journal").read_text())
            assert (entry["verdicts"], entry["bytes"]) == (rows.read_text().count("\n"), rows.stat().st_size)
        _write(output, range(5), {}, stop=False)
        assert output.read_bytes() == (tmp_path / "wanted").read_bytes()
        stops += 1
    assert stops > 40


def test_stopped_between_any_two_steps(tmp_path: Path) -> None:
    """Behind the end: the rows are complete, renamed, or the journal is all that is left."""
    output, bound = tmp_path / "out", {"bundle": "x"}
    with pytest.raises(KeyboardInterrupt):
        _write(output, range(5), bound, stop=True)
    journal = tmp_path / "out.journal"
    entry = json.loads(journal.read_text())
    assert entry["verdicts"] == 5 and entry["tally"] == {"judged": 5}
    journal.write_text(json.dumps({**entry, "complete": True}))
    shutil.move(tmp_path / "out.partial", output)
    with journal_of(output, bound) as found:
        assert found.finished and found.done == 5 and found.tally == {"judged": 5}
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    _write(output, range(3), bound, stop=False)  # a run of its own: the output is replaced
    assert len(output.read_bytes().splitlines()) == 3


def test_damage_is_said(tmp_path: Path) -> None:
    output, bound = tmp_path / "out", {"bundle": "x"}
    with pytest.raises(KeyboardInterrupt):
        _write(output, range(5), bound, stop=True)
    rows, journal = tmp_path / "out.partial", tmp_path / "out.journal"
    good, entry = rows.read_bytes(), journal.read_text()
    for damage in ("", "{", "[]", entry.replace('"verdicts": 5', '"verdicts": "5"'), entry.replace(": 1", ": 9", 1)):
        journal.write_text(damage)
        with pytest.raises(PairError, match="--restart"):
            _write(output, range(5), bound, stop=False)
        assert rows.read_bytes() == good
    journal.write_text(entry)
    rows.write_bytes(good[:-1])
    with pytest.raises(PairError, match="were written; start over with --restart"):
        _write(output, range(5), bound, stop=False)
    rows.write_bytes(good + b'{"id": 5, "torn')
    _write(output, range(6), bound, stop=False)
    assert output.read_bytes() == b"".join(_verdict(n).to_json().encode() + b"\n" for n in range(6))


def test_nothing_judged_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="early"), journal_of(tmp_path / "out", {}):
        raise ValueError("early")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("window", [1, 7, 64])
def test_the_rest_of_a_judges_run_is_the_same(llama_judge: Judge, tmp_path: Path, window: int) -> None:
    """Whatever is done already, the other verdicts are the same to the last digit, shared passes and all."""
    pairs = [Pair(f"Text {n % 5}", f"a fox {n}", "a dog", id=n) for n in range(40)]
    once = [v.to_json() for v in llama_judge.judge_many(pairs, window=window)]
    for done in (1, 6, 7, 8, 23, 39, 40):
        assert [v.to_json() for v in llama_judge.judge_many(pairs, window=window, done=done)] == once[done:]


def test_the_journal_is_bounded_in_size(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "out", {})
    journal.start(restart=False)
    for n in range(200):
        journal.write(_verdict(n).pair, _verdict(n).to_json(), {"judged": n + 1})
    journal.complete()
    assert (tmp_path / "out.journal").stat().st_size < 1000

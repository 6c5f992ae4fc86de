"""The run object on a real bundle: to a file, resumed, to the screen; bad rows, exact, fewer orders, calibrated."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rlaif_fast import ExactJudge, FrugalJudge, Judge, Pair, PairError, Ranker, Verdict
from rlaif_fast.evaluation.calibration import Calibration
from rlaif_fast.files.keeping import Keep
from rlaif_fast.files.writing import convert
from rlaif_fast.judging.fewer_orders import draw
from rlaif_fast.judging.pair_run import PairRun
from rlaif_fast.judging.ranking_run import RankingRun
from rlaif_fast.judging.run_input import RunInput
from rlaif_fast.rows.candidates import Candidates
from rlaif_fast.rows.reader import open_pairs

WORDS = ["fox", "wizard", "jam", "lazy dog", "coherent", "main idea", "quick", "seven"]
COUNT, WINDOW = 60, 8
RATE = r"(\d+\.\d\d) pairs/s, judged in (\d+\.\d) s"


def _pairs(count: int = COUNT) -> list[Pair]:
    pick = random.Random(5)

    def text() -> str:
        return " ".join(pick.choices(WORDS, k=8))

    return [Pair(f"Text {n % 20}", f"0 {text()}", f"1 {text()}", id=f"p{n}") for n in range(count)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return _file(tmp_path / "pairs.jsonl")


def _file(path: Path) -> Path:
    names = ("id", "instruction", "response_0", "response_1")
    path.write_text("".join(json.dumps({name: getattr(p, name) for name in names}) + "\n" for p in _pairs()))
    return path


@contextmanager
def _opened(path: Path, *, stop: int | None = None, **options: Any) -> Iterator[RunInput[Pair]]:
    """The input in a file; with ``stop`` someone presses Ctrl-C when so many rows are read."""
    with open_pairs(path) as intake:

        def read(**arguments: Any) -> Iterator[Pair]:
            for number, pair in enumerate(intake.pairs(**arguments)):
                if number == stop:
                    raise KeyboardInterrupt
                yield pair

        rows = RunInput(read, stop is None, **options)
        rows.check()
        yield rows


def _finish(rows: Path, output: Path) -> None:
    convert(rows, output, to="rows", keep=Keep())


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _rows(verdicts: Iterable[Verdict]) -> list[dict[str, Any]]:
    return [verdict.row() for verdict in verdicts]


def test_to_a_file(llama_judge: Judge, file: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    with _opened(file, output=output) as rows:
        run = PairRun(rows, llama_judge)
        run.to_file(_finish)
    wanted = list(llama_judge.judge_many(_pairs(), window=1024))
    assert _lines(output) == _rows(wanted)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.jsonl", "pairs.jsonl"]
    same = sum(not verdict.consistent for verdict in wanted)
    (line,) = run.lines()
    assert re.fullmatch(rf"60 pairs, 60 judged, same position {100 * same / COUNT:.1f} %, {RATE}", line)


def test_resumed(llama_judge: Judge, file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out.jsonl"

    def run(stop: int | None = None, **options: Any) -> PairRun:
        with _opened(file, stop=stop, output=output) as rows:
            made = PairRun(rows, llama_judge, window=WINDOW, **options)
            made.to_file(_finish)
        return made

    with pytest.raises(KeyboardInterrupt):
        run(stop=3 * WINDOW + 1)
    assert not output.exists()
    with pytest.raises(PairError, match="began with --orders both, now with --orders forward"):
        run(orders="forward")
    capfd.readouterr()
    resumed = run()
    assert capfd.readouterr().err == f"{output}: resuming after {3 * WINDOW} rows\n"
    assert _lines(output) == _rows(llama_judge.judge_many(_pairs(), window=WINDOW))
    # The figures are of all rows, the rate of those that this run judged.
    assert resumed.counts["judged"] == COUNT
    assert resumed.closing().startswith(f"{COUNT} pairs, {COUNT} judged ({COUNT - 3 * WINDOW} now), same position ")
    (rate,) = re.findall(r"(\S+) pairs/s", resumed.closing())
    assert float(rate) == pytest.approx((COUNT - 3 * WINDOW) / resumed._watch.seconds, abs=0.006)  # two digits


def test_a_run_with_nothing_left_to_judge_has_no_rate(llama_judge: Judge, file: Path, tmp_path: Path) -> None:
    def full(rows: Path, output: Path) -> None:
        raise OSError("no space left")

    lines = []
    for finish in (full, _finish):
        with _opened(file, output=tmp_path / "out.jsonl") as rows:
            run = PairRun(rows, llama_judge)
            if finish is full:
                with pytest.raises(OSError, match="no space left"):
                    run.to_file(full)
            else:
                run.to_file(finish)
        lines.append(run.closing())
    assert re.search(RATE, lines[0])
    assert lines[1] == re.sub(f", {RATE}", "", lines[0])


def test_to_the_screen(llama_judge: Judge, file: Path) -> None:
    shown: list[Verdict] = []
    with _opened(file, limit=7) as rows:
        run = PairRun(rows, llama_judge, orders="forward")
        run.to_screen(shown.extend)
    assert _rows(shown) == _rows(llama_judge.judge_many(_pairs(7), "forward"))
    assert re.fullmatch(f"7 pairs, 7 judged, {RATE}", run.closing())
    memory = PairRun(RunInput.of(_pairs(7)), llama_judge, orders="forward")
    assert _rows(memory.results()) == _rows(shown)
    empty = PairRun(RunInput.of([]), llama_judge)
    assert list(empty.results()) == [] and empty.lines() == ["0 pairs, 0 judged", "warning: the input has no rows"]


def test_bad_rows(llama_judge: Judge, file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Named before a model is loaded, or set aside: not JSON, and longer than the model's context."""
    long = {"instruction": "fox " * 5000, "response_0": "a", "response_1": "b", "id": "long"}
    rows = file.read_text().splitlines(keepends=True)
    file.write_text("".join([*rows[:3], "{oops\n", *rows[3:5], json.dumps(long) + "\n", *rows[5:]]))
    with pytest.raises(PairError, match="line 4: not JSON"), _opened(file):
        pass
    output = tmp_path / "out.jsonl"
    with _opened(file, skip=True, output=output) as found:
        run = PairRun(found, llama_judge)
        run.to_file(_finish)
    assert [row["id"] for row in _lines(output)] == [pair.id for pair in _pairs()]
    reasons = [row["error"] for row in _lines(tmp_path / "out.jsonl.errors.jsonl")]
    assert "line 4: not JSON" in reasons[0] and "line 7, id 'long': the prompt has" in reasons[1] and len(reasons) == 2
    assert f"62 pairs, 60 judged, 2 skipped ({output}.errors.jsonl), same position" in run.closing()
    capfd.readouterr()
    with _opened(file, skip=True) as found:
        run = PairRun(found, llama_judge)
        run.to_screen(list)
    assert "62 pairs, 60 judged, 2 skipped (see above), " in run.closing()
    assert capfd.readouterr().err.count("skipped: ") == 2
    with _opened(file, skip=True) as found:
        run = PairRun(found, llama_judge, shorten=True)
        shown = list(run.results())
    assert [v.pair.id for v in shown if v.truncated] == ["long"] and found.skipped == 1
    assert run.bound["on-long"] == "truncate"


def test_exact(tiny_bundle: Callable[[str], Path], tiny_int8: Callable[[str], Path], file: Path) -> None:
    fast, float32 = Judge.load(tiny_int8("llama")), Judge.load(tiny_bundle("llama"))
    exact = ExactJudge(fast, float32)
    with _opened(file) as rows:
        run = PairRun(rows, fast, exact=exact)
        labels = [verdict.label for verdict in run.results()]
    assert labels == [verdict.label for verdict in float32.judge_many(_pairs())]
    assert (run.bound["bundle"], run.bound["exact"]) == (fast.digest, float32.digest)
    closing, note = run.lines()
    assert closing.startswith("60 pairs, 60 judged, same position ") and note == exact.line()
    assert exact.decided + exact.again + exact.directly == COUNT
    with pytest.raises(ValueError, match="exact is for both orders, not auto"):
        PairRun(RunInput.of(_pairs()), fast, exact=exact, orders="auto")


def test_fewer_orders(llama_judge: Judge, file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    wanted = FrugalJudge(llama_judge, draw(_pairs(), 20), "prior")
    verdicts = list(wanted.judge_many(_pairs(), window=WINDOW))
    once = sum(verdict.consistent is None for verdict in verdicts)
    output = tmp_path / "out.jsonl"
    options: dict[str, Any] = {"orders": "prior", "sample": 20, "window": WINDOW}

    class Stopped(PairRun):
        """Ctrl-C when so many verdicts, and the sample, are on the disk."""

        def count(self, result: Verdict) -> None:
            if self.counts["judged"] == 30:
                raise KeyboardInterrupt
            super().count(result)

    with pytest.raises(KeyboardInterrupt), _opened(file, output=output) as rows:
        Stopped(rows, llama_judge, **options).to_file(_finish)
    assert "orders: reading a sample of 20 pairs in both\n" in capfd.readouterr().err
    with _opened(file, output=output) as rows:
        run = PairRun(rows, llama_judge, **options)
        run.to_file(_finish)
    assert capfd.readouterr().err == f"{output}: resuming after 30 rows\n"
    assert _lines(output) == _rows(verdicts)
    closing, note = run.lines()
    assert re.fullmatch(rf"60 pairs, 60 judged \(30 now\), {RATE}", closing)
    assert note == wanted.line(COUNT, once) and 0 < once < COUNT
    with open_pairs(file) as intake:  # a pipe's sample is its beginning
        piped = PairRun(RunInput(intake.pairs, restartable=False), llama_judge, orders="prior", sample=20)
        read = [len(verdict.log_odds_by_order) for verdict in piped.results()]
    assert read == [2] * 20 + [1] * (COUNT - 20)


def test_calibrated(llama_judge: Judge, file: Path) -> None:
    calibration = Calibration(llama_judge.digest, 0.5, -0.25, {})
    with _opened(file) as rows:
        run = PairRun(rows, llama_judge, calibration=calibration)
        found = list(run.results())
    assert _rows(found) == _rows(map(calibration, llama_judge.judge_many(_pairs(), window=1024)))
    assert run.bound["calibration"] == calibration.digest


def test_seconds_are_of_judging_alone(llama_judge: Judge, file: Path) -> None:
    """Neither what comes before the first call to the model, nor what follows the last result; but the sample."""
    waited = 0.0

    def slow(**arguments: Any) -> Iterator[Pair]:
        nonlocal waited
        for pair in _pairs(WINDOW):
            time.sleep(0.05)  # a pipe that fills; the window is read before the model is called
            waited += 0.05
            yield pair

    def show(found: Iterator[Verdict]) -> None:
        assert len(list(found)) == WINDOW
        time.sleep(0.2)

    since = time.perf_counter()
    run = PairRun(RunInput(slow, restartable=False), llama_judge, window=WINDOW)
    time.sleep(0.2)
    run.to_screen(show)
    seconds = run._watch.seconds
    assert waited == pytest.approx(0.4)
    assert 0 < seconds <= time.perf_counter() - since - waited - 0.4
    assert run.closing().endswith(f"{WINDOW / seconds:.2f} pairs/s, judged in {seconds:.1f} s")

    class Sampled(PairRun):
        def prepare(self, keep: Callable[[], None]) -> None:
            since = time.perf_counter()
            super().prepare(keep)
            self.sampling = time.perf_counter() - since

    with _opened(file) as rows:
        sampled = Sampled(rows, llama_judge, orders="prior", sample=20)
        sampled.to_screen(list)
    assert 0 < sampled.sampling < sampled._watch.seconds


def test_rankings(llama_judge: Judge, tmp_path: Path) -> None:
    ranker, texts = Ranker(llama_judge), ("a fox", "a lazy dog", "jam", "seven wizards")
    many = [Candidates(f"Text {n}", texts[: 2 + n % 3], id=n) for n in range(6)]
    rows = RunInput.of(many)
    rows.check()
    run = RankingRun(rows, ranker, "forward")
    assert [found.ranking for found in run.results()] == [found.ranking for found in ranker.rank_many(many, "forward")]
    pairs = sum(len(row.responses) * (len(row.responses) - 1) // 2 for row in many)
    assert re.fullmatch(rf"6 rows, 6 ranked, {pairs} pairs, \d+\.\d\d rows/s, ranked in \d+\.\d s", run.closing())

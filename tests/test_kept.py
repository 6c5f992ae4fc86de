"""What judge says of the verdicts it wrote and of those it dropped, wherever they went."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlaif_fast.cli import _run
from rlaif_fast.files.keeping import Keep, Sieve
from rlaif_fast.wording import counted
from tests.conftest import Run

RATE = r", \d+\.\d\d pairs/s, judged in \d+\.\d s"
WORDS = ("The fox.", "Wizards make jam.", "A dog.", "jam jam jam", "Quick!", "1", "coherent", "Seven.")
PAIRS = [{"instruction": f"Text {n}.", "response_0": text, "response_1": f"Not {text}"} for n, text in enumerate(WORDS)]


@pytest.fixture
def here(capfd: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    """The command in this process; figures of time are taken out of what it says."""

    def run(*arguments: object) -> Run:
        capfd.readouterr()
        status = _run([str(argument) for argument in arguments], debug=False)
        out, err = capfd.readouterr()
        return Run(status, out, re.sub(RATE, "", err))

    return run


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in PAIRS))
    return path


def _rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_what_is_kept_and_dropped_is_counted(
    llama: Path, pairs: Path, here: Callable[..., Run], tmp_path: Path
) -> None:
    command = ("judge", pairs, "-b", llama)
    every = _rows(here(*command).out)
    margins = sorted(abs(row["p1"] - row["p2"]) for row in every)
    least = margins[3]
    below, against = (abs(row["p1"] - row["p2"]) < least for row in every), (not row["consistent"] for row in every)
    faults = list(zip(below, against, strict=True))
    assert (False, False) in faults and len(set(faults)) > 1, "a judge that answers everything alike tests nothing"
    counts = {
        reason: faults.count(fault)
        for fault, reason in (((True, False), "below the margin"), ((True, True), "below the margin and inconsistent"),
                              ((False, True), "inconsistent"))
    }  # fmt: skip
    kept, reasons = faults.count((False, False)), ", ".join(f"{n} {text}" for text, n in counts.items() if n)
    same = f"{100 * sum(against for _, against in faults) / 8:.1f}"
    said = f"8 pairs, 8 judged, same position {same} %, {counted(kept, 'verdict')} kept"
    said += f" and {8 - kept} dropped ({reasons})\n"
    options = ("--min-margin", least, "--only-consistent")
    printed = here(*command, *options)
    assert (printed.status, printed.err, len(_rows(printed.out))) == (0, said, kept)
    trl = here(*command, *options, "--to", "trl")
    assert trl.err == said and [row["prompt"] for row in _rows(trl.out)] == [
        r["instruction"] for r in _rows(printed.out)
    ]
    table = here(*command, *options, "--table")
    assert table.err == said
    assert [str(row["id"]) in re.findall(r"│ (\d)", table.out) for row in every] == [
        f == (False, False) for f in faults
    ]
    for name in ("out.jsonl", "out.csv"):
        done = here(*command, *options, "-o", tmp_path / name)
        assert (done.status, done.err) == (0, said)
    assert (tmp_path / "out.jsonl").read_text() == printed.out
    marked = here(*command, *options, "--mark", "--table")
    assert marked.err == said.replace("dropped", "marked") and " yes " in marked.out and " no " in marked.out


@pytest.mark.parametrize("output", [(), ("-o", "out.jsonl"), ("--to", "trl", "-o", "out.csv"), ("--table",)])
def test_an_output_without_rows_is_a_warning(
    output: tuple[str, ...], llama: Path, pairs: Path, here: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pairs.parent)
    done = here("judge", pairs, "-b", llama, "--min-margin", 1, *output)
    closing, warning = done.err.splitlines()
    assert done.status == 0 and closing.endswith(" %, 0 verdicts kept and 8 dropped (8 below the margin)")
    name = output[-1] if "-o" in output else "the output"
    assert warning == f"warning: every verdict was dropped: {name} is empty"
    marked = here("judge", pairs, "-b", llama, "--min-margin", 1, "--mark")
    assert "warning" not in marked.err and len(_rows(marked.out)) == 8


@pytest.mark.parametrize(
    ("command", "said"),
    [("judge", "0 pairs, 0 judged"), ("rank", "0 rows, 0 ranked, 0 pairs"), ("judge", "1 pair, 1 judged, ")],
)
def test_none_is_a_warning_and_one_is_singular(
    command: str, said: str, llama: Path, pairs: Path, here: Callable[..., Run]
) -> None:
    pairs.write_text("" if said[0] == "0" else json.dumps(PAIRS[0]) + "\n")
    done = here(command, pairs, "-b", llama)
    assert done.status == 0 and done.err.startswith(said)
    assert done.err.endswith("\nwarning: the input has no rows\n") == (said[0] == "0")


@pytest.mark.parametrize("orders", ["forward", "prior", "auto"])
def test_one_order_cannot_disagree(orders: str, pairs: Path, here: Callable[..., Run]) -> None:
    done = here("judge", pairs, "--orders", orders, "--only-consistent")
    assert (done.status, done.out) == (2, "")
    assert done.err == (
        "error: --only-consistent needs --orders both: one order cannot disagree (see rlaif-fast judge --help)\n"
    )


def test_a_mark_takes_no_name_that_is_taken() -> None:
    row = {"p1": 0.5, "p2": 0.5, "kept": 1, "input_kept": 2}
    marked = Keep(min_margin=0.5, mark=True)(row)
    assert marked == {"p1": 0.5, "p2": 0.5, "input_input_kept": 1, "input_kept": 2, "kept": False}


def test_a_sieve_counts_in_words() -> None:
    sieve = Sieve(Keep(min_margin=0.5))
    assert sieve.line("verdict") == ""
    list(sieve([{"p1": 0.9, "p2": 0.1}, {"p1": 0.5, "p2": 0.5}]))
    assert sieve.line("verdict") == "1 verdict kept and 1 dropped (1 below the margin)"
    assert not sieve.leaves_nothing and [counted(n, "row") for n in (0, 1, 2000)] == ["0 rows", "1 row", "2,000 rows"]

"""A finished file: the same command does nothing, another one is refused, and nothing is lost."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rlaif_fast.cli import _run
from rlaif_fast.files.difference import difference
from tests.conftest import Run

Here = Callable[..., Run]
ROWS = [{"instruction": f"Text {n}.", "response_0": f"A fox {n}.", "response_1": "A dog."} for n in range(4)]
SAID = "4 pairs, 4 judged, same position "


@pytest.fixture
def here(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    """The command in this process, in a folder of its own with a cache folder of its own."""
    monkeypatch.setenv("RLAIF_FAST_HOME", str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    _write(ROWS)

    def run(*arguments: object) -> Run:
        capfd.readouterr()
        return Run(_run([str(argument) for argument in arguments], debug=False), *capfd.readouterr())

    return run


def _write(rows: list[dict[str, str]], name: str = "pairs.jsonl") -> Path:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Path(name)


def _state(name: str) -> tuple[bytes, int]:
    return Path(name).read_bytes(), os.stat(name).st_mtime_ns


@pytest.mark.parametrize("options", [("v.jsonl",), ("v.csv",), ("v.parquet", "--to", "trl"), ("v.jsonl.gz", "--mark",
                                     "--min-margin", "0.01")], ids=lambda options: options[0])  # fmt: skip
def test_the_same_command_says_so_and_does_nothing(options: tuple[str, ...], llama: Path, here: Here) -> None:
    command = ("judge", "pairs.jsonl", "-b", llama, "-o", *options)
    first = here(*command)
    assert first.status == 0, first.err
    before = _state(options[0])
    again = here(*command)
    figures = re.sub(r", [\d.]+ pairs/s, judged in [\d.]+ s\n(?s:.*)", "", first.err)
    assert figures.startswith(SAID)
    wanted = f"{options[0]}: finished already ({figures}); nothing was done, --restart judges again\n"
    assert (again.status, again.out, again.err) == (0, "", wanted)
    assert _state(options[0]) == before and sorted(os.listdir()) == sorted(["pairs.jsonl", options[0]])
    anew = here(*command, "--restart")
    assert anew.status == 0 and anew.err.startswith(SAID) and _state(options[0])[0] == before[0]
    assert _state(options[0])[1] > before[1], "judged again, and written"


def test_another_command_is_refused(llama: Path, here: Here, tiny_bundle: Callable[[str], Path]) -> None:
    command = ("judge", "pairs.jsonl", "-b", llama, "-o", "v.jsonl")
    assert here(*command, "--limit", 3).status == 0
    before = _state("v.jsonl")
    three = (*command, "--limit", 3)
    for arguments, how in (
        (command, "with --limit 3, now without --limit"),
        ((*three, "--orders", "forward"), "with --orders both, now with --orders forward"),
        ((*three, "--on-long", "truncate"), "with --on-long error, now with --on-long truncate"),
        ((*three, "--min-margin", "0.25"), "without --min-margin, now with --min-margin 0.25"),
        ((*three, "--only-consistent"), "without --only-consistent, now with --only-consistent"),
        ((*three, "--to", "trl"), "with --to rows, now with --to trl"),
        ((*three, "-b", tiny_bundle("qwen3")), "with another bundle"),
    ):
        done = here(*arguments)
        assert (done.status, done.out) == (1, "")
        wanted = f"error: v.jsonl: finished already, {how}; give another name, or --restart to judge again\n"
        assert done.err == wanted and _state("v.jsonl") == before
    for rows, how in (
        (ROWS[:2], "from 3 rows, now there are 2"),
        ([*ROWS[:2], ROWS[2] | {"note": "x"}, ROWS[3]], "from rows that have changed since"),
    ):
        _write(rows)
        done = here(*three)
        wanted = f"error: v.jsonl: finished already, {how}; give another name, or --restart to judge again\n"
        assert (done.status, done.err) == (1, wanted) and _state("v.jsonl") == before
    _write(ROWS[:3], "moved.jsonl")  # the input's name does not matter, its rows do
    assert here("judge", "moved.jsonl", *three[2:]).err.startswith("v.jsonl: finished already (3 pairs, 3 judged, ")


def test_a_file_that_was_moved_is_known_and_one_that_was_edited_is_not(llama: Path, here: Here) -> None:
    command = ("judge", "pairs.jsonl", "-b", llama, "-o")
    assert here(*command, "v.jsonl").status == 0
    Path("elsewhere").mkdir()
    shutil.move("v.jsonl", "elsewhere/w.jsonl")
    assert here(*command, "elsewhere/w.jsonl").err.startswith(f"elsewhere/w.jsonl: finished already ({SAID}")
    Path("elsewhere/w.jsonl").write_bytes(Path("elsewhere/w.jsonl").read_bytes() + b"{}\n")
    Path("notes.jsonl").write_text("mine")
    for name in ("elsewhere/w.jsonl", "notes.jsonl"):
        before = _state(name)
        done = here(*command, name)
        assert done.status == 1 and _state(name) == before
        assert done.err == (
            f"error: {name}: exists already, and not as a run on this machine wrote it; give another name, or --restart"
            " to replace it\n"
        )
    Path("empty.jsonl").touch()
    assert here(*command, "empty.jsonl").err.startswith(SAID)


def test_a_pipe_is_compared_too(llama: Path, rlaif_fast: Callable[..., Run], here: Here) -> None:
    command = ("judge", "-", "-b", llama, "-o", "v.jsonl")
    Path("v.jsonl").touch()
    rows = Path("pairs.jsonl").read_bytes()
    assert rlaif_fast(*command, stdin=rows).err.startswith(SAID)
    assert rlaif_fast(*command, stdin=rows).err.startswith(f"v.jsonl: finished already ({SAID}")
    more = rlaif_fast(*command, stdin=rows + json.dumps(ROWS[0]).encode() + b"\n")
    assert more.status == 1 and "finished already, from 4 rows, now there are 5; " in more.err


def test_of_runs_that_made_the_same_bytes_the_nearest_is_told(
    llama: Path, rlaif_fast: Callable[..., Run], here: Here
) -> None:
    """A pipe has another window than a file, which nobody gave: that is not what differs."""
    command = ("-b", llama, "-o", "v.jsonl")
    assert here("judge", "pairs.jsonl", *command).status == 0
    made = Path("v.jsonl").read_bytes()
    assert rlaif_fast("judge", "-", *command, "--restart", stdin=Path("pairs.jsonl").read_bytes()).status == 0
    assert Path("v.jsonl").read_bytes() == made
    other = here("judge", _write(ROWS[:2], "other.jsonl"), *command)
    assert other.status == 1 and "v.jsonl: finished already, from 4 rows, now there are 2; " in other.err


def test_rows_that_were_set_aside_are_said_again(llama: Path, here: Here) -> None:
    Path("pairs.jsonl").write_text(json.dumps(ROWS[0]) + "\n{oops\n")
    command = ("judge", "pairs.jsonl", "-b", llama, "-o", "v.jsonl", "--on-error", "skip")
    assert here(*command).status == 1
    errors = _state("v.jsonl.errors.jsonl")
    again = here(*command)
    assert again.status == 1 and _state("v.jsonl.errors.jsonl") == errors
    assert again.err.startswith("v.jsonl: finished already (2 pairs, 1 judged, 1 skipped (v.jsonl.errors.jsonl), ")


def test_rankings_and_a_cache_that_keeps_nothing(llama: Path, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"instruction": "i", "responses": ["a fox", "a dog", "jam"]}
    Path("rows.jsonl").write_text(json.dumps(row) + "\n")
    command = ("rank", "rows.jsonl", "-b", llama, "-o", "r.jsonl")
    assert here(*command).status == 0
    assert here(*command).err.startswith("r.jsonl: finished already (1 row, 1 ranked, 3 pairs, same position ")
    other = here(*command, "--to", "trl")
    assert other.err.startswith("error: r.jsonl: finished already, with --to rows, now with --to trl; give ")
    listed = here("cache", "list")
    assert re.search(r"  finished: finished, 1 remembered with the run that made it$", listed.out, re.MULTILINE)
    assert here("cache", "remove", "finished", "--yes").status == 0
    assert here(*command).err.startswith("error: r.jsonl: exists already, and not as a run on this machine wrote it; ")


def test_a_difference_in_words() -> None:
    digest, other = "a" * 64, "b" * 64
    for before, now, said in (
        ({"limit": 3}, {"limit": 3}, ""), ({"limit": None}, {"limit": 3}, "without --limit, now with --limit 3"),
        ({"exact": None}, {"exact": digest}, "without --exact, now with --exact"),
        ({"calibration": digest}, {"calibration": other}, "with another --calibration"),
        ({"bundle": digest}, {"bundle": other}, "with another bundle"),
        ({}, {"window": 32}, "without --window, now with --window 32"),
        ({"mark": True}, {"mark": False}, "with --mark, now without --mark"),
    ):  # fmt: skip
        assert difference(before, now) == said


def test_another_prompt_is_no_other_bundle() -> None:
    before, now = ({"template": name, "bundle": digit * 64} for name, digit in (("summary", "0"), ("helpful", "1")))
    assert difference(before, now) == "with --template summary, now with --template helpful"


def test_an_empty_output_is_written_whoever_left_it(llama: Path, here: Here) -> None:
    """`mktemp` leaves one, and so does a run that kept nothing."""
    Path("none.jsonl").write_text("")
    empty = here("judge", "none.jsonl", "-b", llama, "-o", "nothing.jsonl")
    assert (empty.status, os.stat("nothing.jsonl").st_size) == (0, 0), empty.err
    assert "finished already" in here("judge", "none.jsonl", "-b", llama, "-o", "nothing.jsonl").err
    Path("made.jsonl").touch()
    for output in ("made.jsonl", "nothing.jsonl"):
        done = here("judge", "pairs.jsonl", "-b", llama, "-o", output)
        assert (done.status, Path(output).read_text().count("\n")) == (0, 4), done.err

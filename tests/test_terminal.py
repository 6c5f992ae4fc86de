"""What people see, on any terminal and of any text: escapes, never a failure, never a command to the terminal."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif_fast.errors import escaped
from rlaif_fast.reports.terminal import fitting
from tests.conftest import Run
from tests.verdicts import verdict_row, write_rows

Cli = Callable[..., Run]
TEXTS = ["é-1", "日本語", "👩‍💻 😀", "[red]x[/red] [/x]", ":dog: :warning:", "\x1b[31mred\x1b[0m\x07",
         "\u202eevil", "a\tb\r\nc", "\u2028"]  # fmt: skip
STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]")
ENCODINGS = ["ascii", "latin-1", "cp1252", "utf-8"]


@pytest.fixture(scope="module")
def folder(llama: Path, tmp_path_factory: pytest.TempPathFactory, rlaif_fast: Cli) -> Path:
    """Pairs whose ids and texts are all there is, and their verdicts, in a folder with such a name."""
    place = tmp_path_factory.mktemp("shown") / os.fsdecode(b"d\xff\xc3\xa9[b]\x1b[31m")
    place.mkdir()
    rows = [{"id": f"{text}{n}", "instruction": text + "i", "response_0": f"{text} a {n}", "response_1": text + "b",
             "label": n % 2, "task": text} for n, text in enumerate(TEXTS)]  # fmt: skip
    write_rows(place / "pairs.jsonl", rows)
    done = rlaif_fast("judge", place / "pairs.jsonl", "-b", llama, "-o", place / "v.jsonl")
    assert done.status == 0, done.err
    return place


def _raw(encoding: str, *arguments: object, **more: Any) -> subprocess.CompletedProcess[bytes]:
    env = {**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "300", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "rlaif_fast", *map(os.fspath, map(_argument, arguments))]
    return subprocess.run(command, env=env, **({"capture_output": True} | more))


def _argument(value: object) -> Any:
    return value if isinstance(value, Path) else str(value)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("command", ["judge --table", "eval", "diff", "score error", "skip", "bench", "inspect"])
def test_every_command_shows_any_text(command: str, encoding: str, folder: Path, llama: Path, tmp_path: Path) -> None:
    pairs, verdicts = folder / "pairs.jsonl", folder / "v.jsonl"
    status = 0
    if command == "judge --table":
        done = _raw(encoding, "judge", pairs, "-b", llama, "--table")
    elif command == "eval":
        done = _raw(encoding, "eval", pairs, "-b", llama, "--html", tmp_path / "e.html", "--json", tmp_path / "e.json")
        assert len(json.loads((tmp_path / "e.json").read_text())["arrays"]["id"]) == len(TEXTS)
    elif command == "diff":
        other = [
            verdict_row(f"{text}{n}", [0.9 - n / 20, 0.2], n % 2, instruction=text + "i", response_0=f"{text} a {n}",
                        response_1=text + "b") for n, text in enumerate(TEXTS)
        ]  # fmt: skip
        done = _raw(encoding, "diff", verdicts, write_rows(tmp_path / "b.jsonl", other), "--examples", 20)
    elif command == "score error":
        done, status = _raw(encoding, "score", pairs, "-b", llama), 1
    elif command == "skip":
        bad = write_rows(tmp_path / "p.jsonl", [{"id": text, "instruction": "i", "response_0": ""} for text in TEXTS])
        done, status = _raw(encoding, "judge", bad, "-b", llama, "--on-error", "skip"), 1
        assert done.stderr.count(b"skipped: ") == len(TEXTS)
    elif command == "bench":
        done = _raw(encoding, "bench", pairs, "-b", llama, "--limit", 2, "--markdown", tmp_path / "b.md")
    else:
        done = _raw(encoding, "inspect", llama)
    out, err = done.stdout.decode(encoding), done.stderr.decode(encoding)
    assert done.returncode == status, err
    assert "Traceback" not in err and not STEERING.search(out + err), (out, err)
    if command in ("judge --table", "diff"):
        for text in ("[red]x[/red] [/x]", ":dog: :warning:", "\\x1b[31mred\\x1b[0m\\x07", "\\u202eevil"):
            assert text in out
        for text in ("é-1", "日本語", "👩‍💻 😀"):
            assert text.encode(encoding, "backslashreplace").decode(encoding) in out


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_rows_are_utf_8_on_every_terminal(encoding: str, folder: Path, llama: Path) -> None:
    done = _raw(encoding, "judge", folder / "pairs.jsonl", "-b", llama)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.decode().split("\n")[:-1]]
    assert [row["id"] for row in rows] == [f"{text}{n}" for n, text in enumerate(TEXTS)]


@given(st.text())
def test_nothing_steers(text: str) -> None:
    shown = escaped(text)
    assert not STEERING.search(shown) and "\t" not in shown and "\n" not in shown
    shown.encode()  # no lone surrogate is left
    assert escaped("é日本👩‍💻 [x]　\\") == "é日本👩‍💻 [x]　\\"


def test_what_an_encoding_lacks_is_an_escape() -> None:
    class Stream:
        encoding = "ascii"

    assert fitting("é日", Stream()) == "\\xe9\\u65e5"  # type: ignore[arg-type]
    assert fitting("é", None) == "é"


# Streams that fail


def test_a_closed_standard_error_costs_nothing(folder: Path, llama: Path, tmp_path: Path) -> None:
    command = '"$0" -m rlaif_fast judge "$1" -b "$2" -v -o "$3" 2>&-'
    done = subprocess.run(["bash", "-c", command, sys.executable, folder / "pairs.jsonl", llama, tmp_path / "v.jsonl"])
    assert done.returncode == 0
    assert (tmp_path / "v.jsonl").read_bytes() == (folder / "v.jsonl").read_bytes()


def test_a_reader_of_standard_error_that_left_costs_nothing(folder: Path, llama: Path, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = _raw("utf-8", "judge", folder / "pairs.jsonl", "-b", llama, "-v", "-o", tmp_path / "v.jsonl",
                stderr=writing, stdout=subprocess.PIPE, capture_output=False)  # fmt: skip
    os.close(writing)
    assert done.returncode == 0
    assert (tmp_path / "v.jsonl").read_bytes() == (folder / "v.jsonl").read_bytes()


def test_a_reader_of_a_report_that_left_leaves_the_files(folder: Path, llama: Path, tmp_path: Path) -> None:
    for target in ("closed", "/dev/full"):
        reading, writing = os.pipe()
        os.close(reading)
        if target == "/dev/full":
            writing = os.open(target, os.O_WRONLY)
        done = _raw("utf-8", "eval", folder / "pairs.jsonl", "-b", llama, "--json", tmp_path / "e.json",
                    stdout=writing, stderr=subprocess.PIPE, capture_output=False)  # fmt: skip
        os.close(writing)
        assert done.returncode == 1 and b"Traceback" not in done.stderr and b"Exception" not in done.stderr
        assert json.loads((tmp_path / "e.json").read_text())["pairs"] == len(TEXTS)
        (tmp_path / "e.json").unlink()


def test_a_closed_standard_output_is_said(folder: Path, llama: Path) -> None:
    command = '"$0" -m rlaif_fast judge "$1" -b "$2" >&-'
    done = subprocess.run(
        ["bash", "-c", command, sys.executable, folder / "pairs.jsonl", llama], stderr=subprocess.PIPE
    )
    assert done.returncode == 1 and done.stderr == b"error: standard output is closed; give a file with -o\n"


def test_a_table_shows_what_was_judged_before_an_error(llama: Path, tmp_path: Path) -> None:
    row = {"instruction": "i", "response_0": "a", "response_1": "b"}
    rows = "".join(json.dumps(row | {"id": f"row{n}"}) + "\n" for n in range(3)) + "{oops\n"
    done = subprocess.run(
        [sys.executable, "-m", "rlaif_fast", "judge", "-", "-b", llama, "--table", "--window", "1"],
        input=rows.encode(), capture_output=True,
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.startswith(b"error: stdin, line 4: not JSON")
    assert b"row0" in done.stdout


# Errors nobody foresaw

_UNFORESEEN = """
import sys
import rlaif_fast.bench.doctor
from rlaif_fast.cli import main

def broken(*_):
    raise {error}
    yield

rlaif_fast.bench.doctor.examine = broken
main(["doctor", *sys.argv[1:]])
"""


@pytest.mark.parametrize(
    "error", ["KeyError('x\\ny')", "RecursionError('deep')", "UnicodeError('u')", "ZeroDivisionError()", "EOFError()",
              "click.ClickException('c')", "OSError('plain')", "OSError(5, 'Input/output error', b'/a\\xff')"],
)  # fmt: skip
def test_no_traceback_reaches_a_user(error: str) -> None:
    code = "import click\n" + _UNFORESEEN.replace("{error}", error)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    said = done.stderr.lstrip("\n")  # click's, behind an EOFError
    assert said.startswith("error: ") and said.count("\n") == 1 and "Traceback" not in said
    if "click" not in error and "EOF" not in error:
        done = subprocess.run([sys.executable, "-c", code, "--debug"], capture_output=True, text=True)
        assert done.returncode == 1 and "Traceback" in done.stderr

"""The command line as users meet it: what is printed where, exit statuses, nothing left behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from rlaif_fast.bundle.folder import read_manifest
from rlaif_fast.cli import _run, cli
from rlaif_fast.commands.headings import HEADINGS
from rlaif_fast.runtime.engine_choice import Tried, Tuned, remember
from tests.conftest import ROOT, Run

GOOD = {"instruction": "A text.", "response_0": "a fox", "response_1": "a dog"}
Cli = Callable[..., Run]


def _write(path: Path, *rows: object) -> Path:
    path.write_bytes(b"".join(r if isinstance(r, bytes) else json.dumps(r).encode() + b"\n" for r in rows))
    return path


def test_judge_writes_the_contracts_rows(rlaif_fast: Cli, llama: Path, tmp_path: Path) -> None:
    pairs = _write(
        tmp_path / "pairs.jsonl", GOOD, {**GOOD, "id": "x", "label": 0, "task": "t", "note": {"deep": [1, None]}}
    )
    done = rlaif_fast("judge", pairs, "-b", llama)
    assert done.status == 0, done.err
    first, second = map(json.loads, done.out.splitlines())
    assert list(first) == [
        "id", "instruction", "chosen", "rejected", "label", "p1", "p2", "p1_by_order", "consistent", "truncated",
    ]  # fmt: skip
    assert (first["id"], second["id"]) == (1, "x")
    assert (second["human_label"], second["task"], second["note"]) == (0, "t", {"deep": [1, None]})
    assert first["p1"] + first["p2"] == 1
    assert first["p1"] == pytest.approx(sum(first["p1_by_order"]) / 2, abs=1e-15)
    assert "2 pairs, 2 judged, same position" in done.err
    assert re.search(r"%, \d+\.\d\d pairs/s, judged in \d+\.\d s\n$", done.err)


def test_judge_reads_standard_input_and_writes_a_file(rlaif_fast: Cli, llama: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    lines = b"\n".join(json.dumps({**GOOD, "instruction": f"t{i}"}).encode() for i in range(5))
    done = rlaif_fast("judge", "-", "-b", llama, "-o", out, "--orders", "forward", "--limit", 3, stdin=lines)
    assert done.status == 0, done.err
    assert done.out == ""
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 3
    assert rows[0]["consistent"] is None
    assert [p.name for p in tmp_path.iterdir()] == ["out.jsonl"]


def test_an_empty_file_is_no_error(rlaif_fast: Cli, llama: Path, tmp_path: Path) -> None:
    done = rlaif_fast("judge", _write(tmp_path / "none.jsonl"), "-b", llama)
    assert (done.status, done.out) == (0, "")
    assert "0 pairs, 0 judged" in done.err


LONG = {**GOOD, "instruction": "fox " * 5000}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([GOOD, b"{not json}\n"], "line 2: not JSON"),
        ([GOOD, b"\xff\xfe\n"], "line 2: not UTF-8"),
        ([GOOD, [1, 2]], "line 2: a row is a JSON object"),
        ([{"instruction": "a", "response_0": "b"}], "line 1: field 'response_1' is missing"),
        ([{**GOOD, "response_1": ""}], "line 1: field 'response_1' is empty"),
        ([{**GOOD, "id": "z", "response_0": 3}], "line 1, id 'z': field 'response_0' is a number"),
        ([{**GOOD, "response_0": "\ud800"}], "line 1: field 'response_0' has a lone surrogate"),
        ([GOOD, LONG], "line 2, id 2: the prompt has"),
    ],
)
def test_a_bad_row_is_one_line_and_changes_nothing(
    rlaif_fast: Cli, llama: Path, tmp_path: Path, rows: list[object], message: str
) -> None:
    pairs = _write(tmp_path / "pairs.jsonl", *rows)
    done = rlaif_fast("judge", pairs, "-b", llama, "-o", tmp_path / "out.jsonl")
    assert done.status == 1
    assert done.out == ""
    assert done.err.count("\n") == 1
    assert done.err.startswith(f"error: {pairs}, {message}"), done.err
    assert [p.name for p in tmp_path.iterdir()] == ["pairs.jsonl"]


def _here(capfd: pytest.CaptureFixture[str], *arguments: object) -> Run:
    """The command in this process."""
    capfd.readouterr()
    status = _run([str(argument) for argument in arguments], debug=False)
    return Run(status, *capfd.readouterr())


def test_bad_places_are_one_line(
    rlaif_fast: Cli, llama: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pairs = _write(tmp_path / "pairs.jsonl", GOOD)
    empty = tmp_path / "empty"
    empty.mkdir()
    changed = tmp_path / "changed"
    shutil.copytree(llama, changed)
    weights = bytearray((changed / "model.onnx.data").read_bytes())
    weights[len(weights) // 2] ^= 1
    (changed / "model.onnx.data").write_bytes(weights)
    before = sorted(tmp_path.rglob("*"))
    for arguments, message in [
        (("judge", tmp_path / "none.jsonl", "-b", llama), "cannot be read (No such file or directory)"),
        (("judge", empty, "-b", llama), "without a saved data set"),
        (("judge", pairs, "-b", tmp_path / "nowhere"), "no such folder"),
        (("judge", pairs, "-b", empty), "no bundle"),
        (("judge", pairs, "-b", pairs), "a file, and a bundle is a folder"),
        (("judge", pairs, "-b", changed), "model.onnx.data: changed since it was exported"),
        (("judge", pairs, "-b", llama, "-o", tmp_path / "no/where.jsonl"), "does not exist, make it"),
        (("inspect", empty), "no bundle"),
        (("inspect", changed), "changed since it was exported"),
        (("export", tmp_path / "nothing", "-o", tmp_path / "out"), "no folder, no .gguf file and no hub id"),
        (("export", empty, "-o", tmp_path / "out"), "no config.json"),
        (("export", empty, "-o", changed), "exists already, give --force"),
        (("export", empty, "-o", tmp_path / "out", "--template", "poem"), "no template 'poem'"),
    ]:
        # An export here, where torch is imported already.
        done = _here(capfd, *arguments) if arguments[0] == "export" else rlaif_fast(*arguments)
        assert done.status == 1, arguments
        assert done.err.startswith("error: "), done.err
        assert done.err.count("\n") == 1, done.err
        assert message in done.err
        assert "Traceback" not in done.err
    assert sorted(tmp_path.rglob("*")) == before


def test_wrong_usage_is_status_2(rlaif_fast: Cli, llama: Path) -> None:
    for arguments in (("judge",), ("judge", "x", "--orders", "some"), ("nonsense",), ("judge", "x", "--limit", "-1")):
        done = rlaif_fast(*arguments)
        assert done.status == 2, done.err
        assert done.err.startswith("error: ")
        assert done.err.count("\n") == 1


def test_debug_shows_the_traceback(rlaif_fast: Cli, tmp_path: Path) -> None:
    done = rlaif_fast("judge", tmp_path / "none.jsonl", "--debug")
    assert done.status == 1
    assert "Traceback" in done.err


def test_a_stopped_run_keeps_its_verdicts(llama: Path, tmp_path: Path) -> None:
    """Ctrl-C: what was judged is under the output's name and .partial; the output itself never half."""
    out = tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "rlaif_fast", "judge", "-", "-b", str(llama), "-o", str(out), "--window", "1"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE,
        # A test run in the background has Ctrl-C ignored, and its children with it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stdin is not None
    partial, journal = tmp_path / "out.jsonl.partial", tmp_path / "out.jsonl.journal"
    for i in range(20):
        process.stdin.write(json.dumps({**GOOD, "instruction": f"t{i}"}).encode() + b"\n")
    process.stdin.write(b"x" * 10)  # keeps the pipe's reader waiting for the line's end
    process.stdin.flush()
    while not partial.exists() or partial.read_bytes().count(b"\n") < 19:  # the reader may wait for the next row
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130, err
    assert not out.exists()
    rows = [json.loads(line) for line in partial.read_text().splitlines()]
    assert [row["id"] for row in rows] == list(range(1, len(rows) + 1))
    assert json.loads(journal.read_text())["verdicts"] == len(rows) >= 19


def test_a_reader_that_leaves_is_no_error_message(llama: Path, tmp_path: Path) -> None:
    pairs = _write(tmp_path / "pairs.jsonl", *[{**GOOD, "instruction": f"t{i}"} for i in range(300)])
    command = f"{sys.executable} -m rlaif_fast judge {pairs} -b {llama} | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert json.loads(done.stdout)["id"] == 1
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_export_prints_the_path_last(rlaif_fast: Cli, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    # The default, auto, goes by times that are measured; tests/test_precision.py has that.
    export = ("export", tiny_folder("gpt2"), "--precision", "int8", "--max-delta", 0.05)
    done = rlaif_fast(*export, home=tmp_path)
    assert done.status == 0, done.err
    path = Path(done.out.splitlines()[-1])
    assert path == tmp_path / "bundles" / "gpt2-int8"
    assert (path / "manifest.json").exists()
    for step in ("loading", "asking PyTorch", "tracing", "calibrating int8, block by block", "writing the weights",
                 "verifying against PyTorch"):  # fmt: skip
        assert step in done.err
    again = rlaif_fast(*export, home=tmp_path)
    assert (again.status, again.err.count("\n")) == (1, 1)
    pairs = _write(tmp_path / "pairs.jsonl", GOOD)
    assert rlaif_fast("judge", pairs, "-b", tiny_folder("gpt2").name, home=tmp_path).status == 0


def test_inspect_shows_what_people_ask_first(
    llama: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "2000")
    monkeypatch.setenv("RLAIF_FAST_HOME", str(tmp_path))
    manifest = read_manifest(llama)
    as_json = json.loads(_here(capfd, "inspect", llama, "--json").out)
    cost = as_json.pop("pair_costs")["summary"]
    assert as_json == json.loads((llama / "manifest.json").read_text())
    of, size = manifest.prompt.fidelity, sum(path.stat().st_size for path in llama.rglob("*") if path.is_file())
    size -= (llama / "manifest.json").stat().st_size
    rows = [
        ("model", f"{manifest.model.id} (llama, {manifest.model.parameters / 1e6:.1f} M parameters, licence unknown)"),
        ("bundle", f"fp32, {size / 1e6:.1f} MB, digests match"),
        ("context", f"{manifest.maximum_length:,} tokens, {len(manifest.prompt.prefix_ids)} of them baked"),
        ("prompts", "for pairs: summary"),
        ("fidelity", f"0 of {of.pairs} labels differ from PyTorch fp32's, |difference in log-odds| mean {of.mean:.2g},"
                     f" max {of.max:.2g}; through summary, {of.prompts}"),
        ("agreement", f"with human labels, on your own pairs: rlaif-fast eval LABELLED -b {llama}"),
        ("a pair", f"{cost['tokens']:.0f} tokens, both orders, mean of {cost['pairs']} probe pairs"),
        ("speed", f"not measured on this machine: rlaif-fast tune {llama}"),
        ("folder", str(llama)),
    ]  # fmt: skip
    shown = [f"{name:10} {text}" for name, text in rows]
    done = _here(capfd, "inspect", llama)
    assert (done.status, [line.rstrip() for line in done.out.splitlines()]) == (0, shown)
    tried = Tried("onnxruntime", str(llama.resolve()), "fp32", 12.4, 1.0, 1e-6, 2e-6, "")
    remember(llama, Tuned((tried,), 0, manifest.digest, 1e-3))
    shown[-2] = "speed      12 ms a pair on this machine, by onnxruntime on the fp32 bundle"
    done = _here(capfd, "inspect", llama, "--verbose")
    lines = [line.rstrip() for line in done.out.splitlines()]
    assert lines[: len(rows)] == shown
    assert [line.split("  ")[0] for line in lines[len(rows) :]] == [
        "revision", "labels", "by margin", "attention", "q, k, v", "norms", "operators", "made with", "engines",
    ]  # fmt: skip
    assert "attention  2 of 3 layers fused (GroupQueryAttention); 1 computed for the judged positions only" in lines
    assert lines[-1] == (
        "engines    onnxruntime on the fp32 bundle: 1.00 of onnxruntime's time, |difference| mean 1e-06, max 2e-06,"
        " chosen"
    )
    none = _here(capfd, "inspect")
    assert none.err.startswith("error: smollm2-135m-instruct: not exported yet; `rlaif-fast export smollm2-135m-")


def test_the_table(rlaif_fast: Cli, llama: Path) -> None:
    done = rlaif_fast("judge", ROOT / "examples/pairs.jsonl", "-b", llama, "--table")
    assert done.status == 0, done.err
    assert "notebook-1" in done.out
    assert "consistent" in done.out


def test_verbose_says_how_the_runtime_is_set_up(rlaif_fast: Cli, llama: Path, tmp_path: Path) -> None:
    done = rlaif_fast("judge", _write(tmp_path / "p.jsonl", GOOD), "-b", llama, "-v", "--threads", "1")
    assert "threads: 1 (as asked)" in done.err
    assert "onnxruntime" in done.err


def test_a_full_disk_is_one_line(llama: Path, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    pairs = _write(tmp_path / "pairs.jsonl", GOOD)
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "rlaif_fast", "judge", str(pairs), "-b", str(llama)],
            stdout=full, stderr=subprocess.PIPE, text=True, env=os.environ,
        )  # fmt: skip
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", [name for name, command in cli.commands.items() if len(command.params) > 10])
def test_options_stand_under_headings(name: str) -> None:
    command = cli.commands[name]
    text = command.get_help(click.Context(command, info_name=name))
    headings = re.findall(r"^(\w[\w ]*):$", text, re.MULTILINE)
    assert headings == [heading for heading in HEADINGS if heading in headings]
    assert len(headings) > 3 and headings[-1] == "Other options"
    assert ("Speed" in headings) == (name != "export")
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    for option in options:
        shown = len(re.findall(rf"^  (?:-\w, )?{option.opts[-1]}\b", text, re.MULTILINE))
        assert shown == (not option.hidden), option
    assert text[text.index("Other options:") :].count("\n") <= 3  # --verbose and --help

"""Data sets by their names, from a hub on the loopback, through the real ``datasets`` and ``huggingface_hub``."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import Run
from tests.hub_server import HubServer
from tests.stopping import interrupted
from tests.verdicts import write_rows

Cli = Callable[..., Run]
GASES, SEVERAL = "hf://datasets/me/gases", "hf://datasets/me/several"
TOKEN = "hf_for_the_loopback_only"
# Several command lines in one process, which `datasets` takes seconds to begin; what each printed, as JSON.
_MANY = """
import contextlib, io, json, sys
from rlaif_fast.cli import main

if sys.argv[1] == "without":
    sys.modules["datasets"] = None
for arguments in json.loads(sys.stdin.read()):
    out, err, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as end:
            status = end.code
    print(json.dumps([status, out.getvalue(), err.getvalue()]))
"""


def many(*commands: list[str], how: str = "with", **environment: str) -> list[Run]:
    done = subprocess.run(
        [sys.executable, "-c", _MANY, how], input=json.dumps(commands), capture_output=True, text=True,
        env=os.environ | {"COLUMNS": "100"} | environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [Run(*json.loads(line)) for line in done.stdout.splitlines()]


def gases(count: int, first: int = 0, other: str = "Iron") -> list[dict[str, Any]]:
    return [{"instruction": f"Name gas {n}.", "response_0": f"Neon {n}.", "response_1": f"{other} {n}.", "label": n % 2}
            for n in range(first, first + count)]  # fmt: skip


def parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub with a data set of two splits, one of them in two files, and a user's environment."""
    data = tmp_path / "gases"
    parquet(data / "data/train-00000-of-00002.parquet", gases(5))
    parquet(data / "data/train-00001-of-00002.parquet", gases(3, first=5))
    parquet(data / "data/test-00000-of-00001.parquet", gases(2, first=20))
    with HubServer() as server:
        server.put("datasets/me/gases", data)
        for name, value in {
            "HF_ENDPOINT": server.endpoint, "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1",
            "RLAIF_FAST_HOME": str(tmp_path / "home"),
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        yield server


def commit_of(hub: HubServer, name: str = "datasets/me/gases") -> str:
    return hub.repositories[name].branches["main"]


def moved(hub: HubServer, tmp_path: Path) -> str:
    """Push another version to the main branch; its commit."""
    data = tmp_path / "later"
    parquet(data / "data/train-00000-of-00001.parquet", gases(8, other="Lead"))
    return hub.put("datasets/me/gases", data)


def test_the_rows_are_a_files(hub: HubServer, llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    """Each command reads a data set as it reads a file of the same rows, whose ids are split and index."""
    commit = commit_of(hub)[:12]
    rows = [row | {"id": f"train-{n}"} for n, row in enumerate(gases(8))]
    local = write_rows(tmp_path / "train.jsonl", rows)
    here = rlaif_fast("judge", local, "-b", llama)
    there = rlaif_fast("judge", GASES, "--split", "train", "-b", llama)
    assert (there.status, there.out) == (0, here.out), there.err
    said, closing = there.err.splitlines()
    assert said == f"{GASES}@{commit}: split train"
    assert closing.startswith("8 pairs, 8 judged, same position ")
    figures = [rlaif_fast("eval", one, "-b", llama) for one in (local, f"{GASES}@main")]
    assert figures[1].err == (
        f"error: {GASES}@{commit}: holds 2 splits, give one of them: --split train or --split test\n"
    )
    found = many(
        ["eval", GASES, "--split", "train", "-b", str(llama)],
        ["rank", GASES, "--split", "test", "--show", "1", "-b", str(llama)],
        ["score", GASES, "--split", "test", "--show", "1", "--fields", "response=response_0"],
        ["select", GASES, "--split", "test", "-b", str(llama)],
    )
    tables = [one.out.splitlines() for one in (figures[0], found[0])]
    assert tables[0][1:] == tables[1][1:] and tables[1][0].endswith(f" on {GASES}@{commit}")
    assert f"== {GASES}@{commit}, test[0], id 'test-0'\n" in found[1].out
    assert f"== {GASES}@{commit}, test[0], id 'test-0'\n" in found[2].out
    assert f"{GASES}@{commit}: split test" in found[3].err, "select reads it and finds it too small"


def test_a_stopped_run_goes_on_with_the_rows_it_began_with(hub: HubServer, llama: Path, tmp_path: Path) -> None:
    before, whole, out = commit_of(hub), tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    command = ["judge", GASES, "--split", "train", "-b", str(llama), "-o"]
    named = ["judge", f"{GASES}@{before}", *command[2:], str(tmp_path / "named.jsonl")]
    first, second, third = many([*command, str(whole)], named, named)
    assert first.status == second.status == 0 and (tmp_path / "named.jsonl").read_bytes() == whole.read_bytes()
    assert "nothing was done, --restart judges again" in third.err
    interrupted([*command, out], "write", 3)
    after = moved(hub, tmp_path)
    done, again = many([*command, str(out)], [*command, str(out)])
    assert done.status == 0, done.err
    assert done.err.splitlines()[:2] == [
        f"{GASES}@{before[:12]}: split train; main is at {after[:12]} now, the run goes on with the commit that it"
        " began with",
        f"{out}: resuming after 3 rows",
    ]
    assert out.read_bytes() == whole.read_bytes(), "nothing lost, nothing doubled, nothing of the later version"
    # Finished: another commit is another input.
    assert (again.status, again.err.splitlines()[-1]) == (
        1, f"error: {out}: finished already, with --revision main@{before}, now with --revision main@{after}; give"
        " another name, or --restart to judge again",
    )  # fmt: skip


def test_what_a_stopped_run_began_with_is_gone(hub: HubServer, llama: Path, tmp_path: Path) -> None:
    out, gone = tmp_path / "out.jsonl", commit_of(hub)
    command = ["judge", GASES, "--split", "train", "-b", str(llama), "-o", str(out)]
    interrupted(command, "write", 3)
    now, kept = moved(hub, tmp_path), (tmp_path / "out.jsonl.partial").read_bytes()
    del hub.repositories["datasets/me/gases"].folders[gone]
    done, other = many(command, [*command, "--revision", now])
    assert (done.status, done.err) == (
        1, f"error: {GASES}@{gone}: the repository has no such branch, tag or commit: the interrupted run began with"
        f" commit {gone[:12]}; --restart begins with {now[:12]}, where main is now\n",
    )  # fmt: skip
    assert other.err.splitlines()[-1] == (
        f"error: {out}: the run began with --revision main@{gone}, now with --revision {now}; give the same command, or"
        " start over with --restart"
    )
    assert (tmp_path / "out.jsonl.partial").read_bytes() == kept
    (anew,) = many([*command, "--restart"])
    assert anew.status == 0 and "Lead 0." in out.read_text()


def test_what_cannot_be_read_is_one_line(hub: HubServer, tmp_path: Path) -> None:
    data = tmp_path / "several"
    data.mkdir()
    write_rows(data / "easy.jsonl", gases(1))
    write_rows(data / "hard.jsonl", gases(1))
    (data / "README.md").write_text(
        "---\nconfigs:\n- config_name: easy\n  data_files: easy.jsonl\n- config_name: hard\n  data_files: hard.jsonl\n"
        "---\n"
    )
    several = hub.put("datasets/me/several", data)[:12]
    gated = hub.put("datasets/me/gated", tmp_path / "gases", gated=True)[:12]
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.rtf").write_text("x")
    empty = hub.put("datasets/me/empty", tmp_path / "empty")[:12]
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "train.jsonl").write_text(json.dumps(gases(1)[0]) + "\n{ this is none\n")
    bad = hub.put("datasets/me/broken", broken)[:12]
    commit = commit_of(hub)[:12]
    cases = {
        (GASES, "--split", "tset"): f"{GASES}@{commit}: has no split tset; give --split train or --split test",
        (GASES, "--config", "hard"): f"{GASES}@{commit}: has no configuration hard; give one of them: --config default",
        (SEVERAL,): f"{SEVERAL}@{several}: holds 2 configurations; give one of them: --config easy or --config hard",
        (
            SEVERAL,
            "--config",
            "no",
        ): f"{SEVERAL}@{several}: has no configuration no; give one of them: --config easy or",
        ("hf://datasets/me/nothing",): "hf://datasets/me/nothing: the hub has no such repository, or shows it to no one"
        " without the right token (HF_TOKEN)",
        (f"{GASES}@v9", "--split", "test"): f"{GASES}@v9: the repository has no such branch, tag or commit",
        (GASES, "--revision", "v9"): f"{GASES}@v9: the repository has no such branch, tag or commit",
        (f"{GASES}@v1", "--revision", "v9"): f"{GASES}@v1: --revision v9 names another revision, leave one of them out",
        ("hf://me/gases",): f"hf://me/gases: names no data set of the hub; write {GASES}, with --split for one of its"
        " splits",
        (f"{GASES}/data/test.parquet",): f"write {GASES}, with --split",
        ("hf://datasets/me/empty",): f"hf://datasets/me/empty@{empty}: has no files of rows that datasets reads",
        ("hf://datasets/me/broken",): f"error: hf://datasets/me/broken@{bad}, train[0]: cannot be read (",
        (GASES, "--from", "csv"): f"{GASES}: --from csv is for files, and this is a data set of the hub; leave it out",
        (GASES, "--split", "test", "--carry", "no"): "--carry no: there is no such column (there are instruction,",
        (str(tmp_path / "gases" / "data"), "--revision", "v1"): "--revision v1 is for data sets of the hub",
    }
    shown = [["judge", *arguments, "--show", "9"] for arguments in cases]
    for done, (arguments, said) in zip(many(*shown), cases.items(), strict=True):
        assert done.status == 1 and done.err.splitlines()[-1].startswith("error: "), (arguments, done.err)
        assert said in done.err, done.err
        assert len(done.err.splitlines()) <= 3 and TOKEN not in done.err, done.err
    (good,) = many(["judge", SEVERAL, "--config", "hard", "--show", "1"])
    assert good.status == 0 and f"several@{several}: split train of hard" in good.err
    hub.repositories["datasets/me/gases"].private = True
    refused, closed, secret = many(
        ["judge", "hf://datasets/me/gated", "--split", "test", "--show", "1"],
        ["judge", GASES, "--split", "test", "--show", "1"],
        ["judge", "hf://datasets/me/nothing"],
        HF_TOKEN="",
    )
    assert refused.err == (
        f"error: hf://datasets/me/gated@{gated}: a gated repository: ask its owner for access on its page, and set"
        " HF_TOKEN\n"
    )
    assert "the hub has no such repository, or shows it to no one without" in closed.err
    assert "the hub has no such repository" in secret.err
    (missing,) = many(["judge", GASES, "--split", "test"], how="without")
    assert (missing.status, missing.err) == (
        1, f"error: {GASES}: a data set of the hub needs datasets, pip install 'rlaif-fast[datasets]'\n"
    )  # fmt: skip


def test_no_network_is_one_line_and_the_cache_serves_offline(hub: HubServer, tmp_path: Path) -> None:
    show = ["judge", GASES, "--split", "test", "--show", "5"]
    (nobody,) = many(show, HF_ENDPOINT="http://127.0.0.1:9")
    assert nobody.status == 1
    assert nobody.err == f"error: {GASES}: the hub cannot be reached (Connection refused)\n"
    (offline,) = many(show, HF_HUB_OFFLINE="1")
    fetch = "python -c \"import datasets; datasets.load_dataset('me/gases')\""
    assert offline.err == (
        f"error: {GASES}: HF_HUB_OFFLINE is set, and the cache of datasets does not have it; fetch it before with"
        f" {fetch}\n"
    )
    (online,) = many(show)
    subprocess.run([sys.executable, "-c", "import datasets; datasets.load_dataset('me/gases')"], check=True,
                   capture_output=True)  # fmt: skip
    commit, asked = commit_of(hub), len(hub.seen)
    pinned = ["judge", f"{GASES}@{commit}", *show[2:]]
    found = many(show, pinned, ["judge", f"{GASES}@{'0' * 40}", *show[2:]], HF_HUB_OFFLINE="1")
    assert [one.out for one in found[:2]] == [online.out] * 2 and online.out.count("== ") == 2
    assert found[0].err.splitlines()[0] == (
        f"{GASES}@{commit[:12]}: split test; HF_HUB_OFFLINE is set: from the cache of datasets"
    )
    assert found[2].err.startswith(f"error: {GASES}@{'0' * 12}: HF_HUB_OFFLINE is set, and the cache of datasets does")
    assert len(hub.seen) == asked, "nobody was asked"
    (again,) = many(show)
    assert again.out == online.out
    assert not [one for one in hub.seen[asked:] if one.path.endswith(".parquet") and one.method == "GET"
                and "test-" in one.path], "read from the cache of datasets"  # fmt: skip


def test_only_what_is_judged_is_fetched_and_once(hub: HubServer, llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    def fetched(since: int) -> list[str]:
        return [one.path.rpartition("/")[2] for one in hub.seen[since:] if one.path.endswith(".parquet")]

    since = len(hub.seen)
    done = rlaif_fast("judge", GASES, "--split", "train", "--limit", 2, "-b", llama, "-o", tmp_path / "v.jsonl")
    assert done.status == 0 and "2 pairs, 2 judged" in done.err, done.err
    assert not [name for name in fetched(since) if name.startswith("train-00001")]
    limited = len([name for name in fetched(since) if name.startswith("train-00000")])
    since = len(hub.seen)
    assert rlaif_fast("judge", GASES, "--split", "train", "-b", llama, "-o", tmp_path / "w.jsonl").status == 0
    whole = fetched(since)  # the rows are checked, and then judged
    assert whole.count("train-00001-of-00002.parquet") <= limited
    assert whole.count("train-00000-of-00002.parquet") == limited


_PEAK = """
import resource, sys
from rlaif_fast.files.opening import open_rows
from rlaif_fast.files.source import Part

with open_rows("hf://datasets/me/large", None, Part(split=sys.argv[1])) as source:
    counts = [sum(1 for _ in source.rows()) for _ in range(2)]
print(*counts, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_data_set(hub: HubServer, tmp_path: Path) -> None:
    draw = random.Random(0)
    text = "".join(draw.choices("abcdefghijklmnopqrstuvwxyz ", k=200_000))
    data = tmp_path / "large"
    for split, count in (("small", 1_000), ("large", 30_000)):
        rows = [{"instruction": text[(at := draw.randrange(190_000)) : at + 2000], "response_0": str(n)}
                for n in range(count)]  # fmt: skip
        path = data / f"{split}.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=500)
    (data / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: small\n    path: small.parquet\n"
        "  - split: large\n    path: large.parquet\n---\n"
    )
    hub.put("datasets/me/large", data)
    size = (data / "large.parquet").stat().st_size
    assert size > 40e6
    peaks = {}
    for split, count in (("small", 1_000), ("large", 30_000)):
        done = subprocess.run([sys.executable, "-c", _PEAK, split], capture_output=True, text=True)
        *counts, peak = map(int, done.stdout.split())
        assert counts == [count, count], done.stderr
        peaks[split] = peak * 1024
    assert peaks["large"] - peaks["small"] < size / 2, peaks
    shutil.rmtree(data)

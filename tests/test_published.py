"""Published bundles: pushed to a hub on the loopback, and judged with from there, through the real client."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rlaif_fast import Judge
from rlaif_fast.bundle.card import model_card
from rlaif_fast.bundle.folder import entry, read_manifest, write_manifest
from rlaif_fast.bundle.hub import Published
from rlaif_fast.bundle.manifest import MANIFEST, MODEL, TOKENIZER, WEIGHTS
from rlaif_fast.integrations.labeler import Labeler
from tests.conftest import ROOT, Run
from tests.hub_server import HubServer
from tests.stopping import interrupted

TOKEN = "hf_for_the_loopback_only"
PAIRS = ROOT / "examples" / "pairs.jsonl"
NAME = "me/judge"
Cli = Callable[..., Run]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub without anything, and the environment of a user who may write to it."""
    with HubServer() as server:
        for name, value in {
            "HF_ENDPOINT": server.endpoint, "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_DISABLE_XET": "1",  # the loopback speaks LFS
            "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "RLAIF_FAST_HOME": str(tmp_path / "home"),
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def pushed(hub: HubServer, llama: Path, rlaif_fast: Cli) -> str:
    """The tiny judge on the hub; its name with the commit."""
    done = rlaif_fast("push", llama, NAME)
    assert done.status == 0, done.err
    return done.out.strip()


def one_line(done: Run, *said: str) -> None:
    assert (done.status, done.out) == (1, "")
    assert len(done.err.splitlines()) == 1, done.err
    assert TOKEN not in done.err
    for text in said:
        assert text in done.err


def one_line_at_end(done: Run, said: str) -> None:
    """What is said before is that a download begins."""
    *before, last = done.err.splitlines()
    assert (done.status, done.out) == (1, "") and last.startswith("error: ") and said in last, done.err
    assert all(": downloading " in line for line in before)


def downloads(home: Path) -> list[str]:
    folder = home / "downloads" / "me--judge"
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def test_python_takes_the_name_too(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is here already, so that no hub is asked."""
    monkeypatch.setenv("RLAIF_FAST_HOME", str(tmp_path))
    name, folder = f"{NAME}@{'c' * 40}", tmp_path / "downloads" / "me--judge" / ("c" * 40)
    shutil.copytree(llama, folder)
    assert Judge.load(name).digest == Judge.load(str(folder)).digest == read_manifest(llama).digest
    assert Labeler(name)._opened.folder == folder.resolve()


def test_there_and_back(hub: HubServer, pushed: str, llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    """What the hub got is the bundle, and it judges elsewhere as it does here; the second time nobody is asked."""
    repository = hub.repositories[NAME]
    commit = repository.branches["main"]
    assert pushed == f"{NAME}@{commit}" and not repository.private
    there = {p.relative_to(repository.folders[commit]).as_posix() for p in repository.folders[commit].rglob("*.*")}
    assert there == {MANIFEST, *read_manifest(llama).all_files, "README.md", ".gitattributes"}
    assert {s.authorization for s in hub.seen if NAME in s.path} == {f"Bearer {TOKEN}"}
    here = rlaif_fast("judge", PAIRS, "-b", llama, "--limit", "3")
    for name in (NAME, pushed):
        there_ = rlaif_fast("judge", PAIRS, "-b", name, "--limit", "3")
        assert (there_.status, there_.out) == (0, here.out), there_.err
    asked = len(hub.seen)
    offline = rlaif_fast("judge", PAIRS, "-b", NAME, "--limit", "3", HF_HUB_OFFLINE="1")
    assert (offline.status, offline.out, len(hub.seen)) == (0, here.out, asked)
    kept = tmp_path / "home" / "downloads" / "me--judge" / commit
    assert sorted(p.name for p in kept.iterdir()) == sorted(p.name for p in llama.iterdir())
    listed = json.loads(rlaif_fast("cache", "list", "--json").out)
    assert {one["name"]: one["kind"] for one in listed}[pushed] == "download"
    one_line(rlaif_fast("prompt", "remove", pushed, "summary"), "downloaded, and pinned to its commit")
    assert rlaif_fast("cache", "remove", "--yes", pushed).status == 0
    assert not list((tmp_path / "home" / "downloads").iterdir())
    one_line(rlaif_fast("inspect", NAME, HF_HUB_OFFLINE="1"), "not downloaded yet, and HF_HUB_OFFLINE is set")


def test_a_revision_is_pinned(
    hub: HubServer, pushed: str, llama: Path, tiny_bundle: Callable[[str], Path], tmp_path: Path, rlaif_fast: Cli
) -> None:
    """Who was given the old commit keeps it until he asks for the branch; a run is not taken up with another one."""
    out = tmp_path / "verdicts.jsonl"
    interrupted(["judge", PAIRS, "-b", NAME, "-o", out], "write", 2)
    second = rlaif_fast("push", tiny_bundle("phi"), NAME).out.strip()
    assert second.startswith(f"{NAME}@") and second != pushed
    files = {p.name for p in hub.repositories[NAME].folders[second.partition("@")[2]].glob("prompts/*")}
    assert files == {p.name for p in tiny_bundle("phi").glob("prompts/*")}, "the first bundle's prompts are gone"
    one_line_at_end(rlaif_fast("judge", PAIRS, "-b", second, "-o", out), "began with another bundle")
    assert "no bundle" not in rlaif_fast("inspect", f"{NAME}@main").err
    assert downloads(tmp_path / "home") == sorted(name.partition("@")[2] for name in (pushed, second))
    one_line(rlaif_fast("judge", PAIRS, "-b", NAME, "-o", out), "began with another bundle")
    done = rlaif_fast("judge", PAIRS, "-b", pushed, "-o", out)
    assert done.status == 0 and "resuming after 2 rows" in done.err
    assert out.read_bytes() == rlaif_fast("judge", PAIRS, "-b", llama).out.encode()


def test_private_and_branch(hub: HubServer, llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    done = rlaif_fast("push", llama, NAME, "--private", "--revision", "int8/try")
    assert done.status == 0, done.err
    repository = hub.repositories[NAME]
    assert repository.private and done.out == f"{NAME}@{repository.branches['int8/try']}\n"
    assert repository.branches["main"] != repository.branches["int8/try"]
    one_line(rlaif_fast("inspect", NAME, HF_TOKEN=""), "the hub has no such repository, or shows it to no one without")
    one_line(rlaif_fast("inspect", NAME), f"no bundle (it has no {MANIFEST})")
    assert rlaif_fast("inspect", f"{NAME}@int8/try").status == 0


def test_what_is_refused_before_anything_is_uploaded(
    hub: HubServer, llama: Path, tiny_folder: Callable[[str], Path], tmp_path: Path, rlaif_fast: Cli
) -> None:
    hub.put("me/model", tiny_folder("phi"))
    one_line(rlaif_fast("push", llama, "me/model"), "me/model: holds config.json and no bundle")
    hub.put("me/open", llama)
    one_line(rlaif_fast("push", llama, "me/open", "--private"), "is there already, and public")
    damaged = tmp_path / "damaged"
    shutil.copytree(llama, damaged)
    with open(damaged / WEIGHTS, "r+b") as stream:
        stream.write(b"\1")
    before = len(hub.seen)
    one_line(rlaif_fast("push", damaged, NAME), "sha256 differs")
    assert len(hub.seen) == before
    one_line(rlaif_fast("push", llama, NAME, HF_TOKEN=""), f"{NAME}: cannot be made: the hub refuses it to this token")
    assert not [seen for seen in hub.seen if seen.method == "PUT"]
    for name in ("judge", "me/judge@main", "../judge", "a/b/c"):
        assert rlaif_fast("push", llama, name).status == 2


@pytest.mark.parametrize("file", [WEIGHTS, MODEL, TOKENIZER, "prompts", MANIFEST])
def test_changed_file_is_never_parsed(
    file: str, hub: HubServer, llama: Path, tmp_path: Path, rlaif_fast: Cli
) -> None:  # fmt: skip
    """Of the same size, and nothing a parser would take: that the digest differs is all that is said of it."""
    folder = tmp_path / "changed"
    shutil.copytree(llama, folder)
    path = next((folder / file).iterdir()) if file == "prompts" else folder / file
    path.write_bytes(
        b"\xff" * path.stat().st_size if file != MANIFEST else path.read_bytes().replace(b"summary", b"samurai")
    )
    hub.put(NAME, folder)
    for _ in range(2):  # and it is not taken for whole the second time
        said = "its own digest differs" if file == MANIFEST else f"{path.name} is not what its manifest lists"
        one_line_at_end(rlaif_fast("judge", PAIRS, "-b", NAME), said)
    assert downloads(tmp_path / "home") in ([], [f".{hub.repositories[NAME].branches['main']}.partial"])


def test_other_size_is_refused_before_the_download(
    hub: HubServer, llama: Path, tmp_path: Path, rlaif_fast: Cli
) -> None:
    folder = tmp_path / "longer"
    shutil.copytree(llama, folder)
    with open(folder / WEIGHTS, "ab") as stream:
        stream.write(b"\0")
    hub.put(NAME, folder)
    one_line(rlaif_fast("judge", PAIRS, "-b", NAME), f"{WEIGHTS} has {(folder / WEIGHTS).stat().st_size:,} bytes")
    (folder / WEIGHTS).unlink()
    hub.put(NAME, folder)
    one_line(rlaif_fast("judge", PAIRS, "-b", NAME), f"{WEIGHTS} is missing")
    assert {seen.file for seen in hub.seen if seen.method == "GET"} == {None, MANIFEST}


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "prompts/../../evil", "model.onnx\\..\\evil"])
def test_no_file_name_leaves_the_folder(
    name: str, hub: HubServer, llama: Path, tmp_path: Path, rlaif_fast: Cli
) -> None:
    """A manifest with the right digest of itself that lists such a file, which the hub has."""
    folder = tmp_path / "evil"
    shutil.copytree(llama, folder)
    manifest = read_manifest(folder)
    write_manifest(folder, replace(manifest, files={**manifest.files, name: entry(folder / TOKENIZER)}))
    hub.put(NAME, folder)
    one_line(rlaif_fast("judge", PAIRS, "-b", NAME), "the manifest is not valid (unknown file")
    assert {seen.file for seen in hub.seen if seen.method == "GET"} == {None, MANIFEST}
    assert not list(tmp_path.rglob("evil.*")) and downloads(tmp_path / "home") == []


def test_killed_download_goes_on(hub: HubServer, llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    """The client writes 10 MB at a time, so the weights are made larger than that: zeros that no tensor has."""
    folder, home = tmp_path / "large", tmp_path / "home"
    shutil.copytree(llama, folder)
    with open(folder / WEIGHTS, "ab") as stream:
        stream.truncate(25 << 20)
    manifest = read_manifest(folder)
    write_manifest(folder, replace(manifest, files={**manifest.files, WEIGHTS: entry(folder / WEIGHTS)}))
    commit = hub.put(NAME, folder)
    hub.stall[WEIGHTS] = 22 << 20
    command = [sys.executable, "-m", "rlaif_fast", "judge", str(PAIRS), "-b", NAME, "--limit", "2"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    partial = home / "downloads" / "me--judge" / f".{commit}.partial"
    deadline = time.monotonic() + 60
    while not (partial / WEIGHTS).exists() or (partial / WEIGHTS).stat().st_size < 10 << 20:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert not (partial.parent / commit).exists()
    assert rlaif_fast("cache", "list").out.count("leftover, of a stopped download") == 1
    before = len(hub.seen)
    done = rlaif_fast("judge", PAIRS, "-b", NAME, "--limit", "2")
    assert (done.status, done.out) == (0, rlaif_fast("judge", PAIRS, "-b", llama, "--limit", "2").out), done.err
    again = [(seen.file, seen.range) for seen in hub.seen[before:] if seen.method == "GET" and seen.file]
    assert MANIFEST not in dict(again) and MODEL not in dict(again)
    begin = int(dict(again)[WEIGHTS].removeprefix("bytes=").removesuffix("-"))
    assert begin >= 10 << 20
    assert downloads(home) == [commit]


def test_what_is_no_bundle_or_not_there(
    hub: HubServer, tiny_folder: Callable[[str], Path], tmp_path: Path, rlaif_fast: Cli
) -> None:
    hub.put("someone/phi", tiny_folder("phi"))
    one_line(rlaif_fast("inspect", "someone/phi"), "no bundle (it has no manifest.json); rlaif-fast export someone/phi")
    one_line(
        rlaif_fast("inspect", "someone/none"),
        "the hub has no such repository",
        "it is no folder, and not exported yet; `rlaif-fast export someone/none` makes the bundle",
    )
    one_line(rlaif_fast("inspect", "someone/phi@none"), "no such branch, tag or commit")
    asked = len(hub.seen)
    Path(tmp_path / "here").mkdir()
    for path in (tmp_path / "here" / "none", "./someone/phi", "a/b/c"):
        one_line(rlaif_fast("inspect", path), "`rlaif-fast export ")
    assert len(hub.seen) == asked, "a path is not asked for at the hub"


def test_a_token_is_never_said(hub: HubServer, llama: Path, rlaif_fast: Cli) -> None:
    secret = "hf_" + "s3cret" * 6
    for environment in (
        {"HF_ENDPOINT": f"http://user:{secret}@127.0.0.1:1"},  # nobody listens
        {"HF_ENDPOINT": f"{hub.endpoint}/{secret}"},  # the hub answers what it does not know
        {"HF_TOKEN": f"{secret}\u20ac"},  # no header may hold it
    ):
        for command in (("push", llama, NAME), ("--debug", "inspect", NAME)):
            done = rlaif_fast(*command, **{"HF_TOKEN": secret, **environment})
            assert done.status == 1
            assert "s3cret" not in done.out + done.err and "user:" not in done.err, done.err


def test_card(tiny_int8: Callable[[str], Path], llama: Path) -> None:
    import yaml

    manifest = read_manifest(llama)
    model = replace(manifest.model, id="owner/model", revision="c0ffee", licence="mit")
    card = model_card(replace(manifest, model=model), NAME, "A pair takes 5 ms.")
    _, front, text = card.split("---\n", 2)
    assert yaml.safe_load(front) == {
        "library_name": "rlaif-fast", "license": "mit", "base_model": "owner/model",
        "tags": ["rlaif-fast", "rlaif", "llm-as-a-judge", "preference", "onnx", "fp32"],
    }  # fmt: skip
    for said in (f"-b {NAME}", f'Judge.load("{NAME}")', "A pair takes 5 ms.", "revision `c0ffee`", "licence: mit"):
        assert said in text
    for prompt in manifest.prompts:
        row = next(line for line in text.splitlines() if line.startswith(f"| `{prompt.name}` "))
        assert f"{prompt.fidelity.mean:.2g} | {prompt.fidelity.p99:.2g} | {prompt.fidelity.max:.2g}" in row
    named = replace(manifest, model=replace(model, id="a folder", licence='Not "free": a'), precision="int8")
    front = yaml.safe_load(model_card(named, NAME).split("---\n")[1])
    assert (front["license"], front["license_name"]) == ("other", 'Not "free": a')
    assert "base_model" not in front and "base_model_relation" not in front
    named = replace(manifest, model=replace(model, licence=None), precision="int8")
    front = yaml.safe_load(model_card(named, NAME).split("---\n")[1])
    assert "license" not in front and front["base_model_relation"] == "quantized"
    assert "## Speed" not in model_card(named, NAME)


def test_measured_speed_goes_into_the_card(
    llama: Path, tmp_path: Path, tiny_bundle: Callable[[str], Path], rlaif_fast: Cli
) -> None:
    report = tmp_path / "bench.json"
    done = rlaif_fast("bench", PAIRS, "-b", llama, "--limit", "3", "--repeat", "1", "--json", report)
    assert done.status == 0, done.err
    raw = json.loads(report.read_text())
    card = rlaif_fast("push", llama, NAME, "--card", "--speed", report)
    assert card.status == 0
    assert f"A pair in both orders, alone: {raw['latency']['median_ms']:,.1f} ms, the median of 3 pairs." in card.out
    assert raw["machine"]["cpu"] in card.out and str(tmp_path) not in card.out
    one_line(rlaif_fast("push", tiny_bundle("phi"), NAME, "--card", "--speed", report), "measured on another bundle")


def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    assert Published.named("me/judge@v1.0/x") == Published("me/judge", "v1.0/x")
    for text in (
        "judge",
        "./judge",
        "a/b/c",
        "a/..",
        "a--b/c",
        "a..b/c",
        "a/b@",
        "a/b@c d",
        "/a/b",
        "out/judge",
        "a b/c",
    ):
        assert Published.named(text) is None, text
    assert Published.of("out/judge") == Published("out/judge")


def test_damaged_memory_of_branches_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLAIF_FAST_HOME", str(tmp_path))
    one = Published("me/judge")
    commit = "0" * 40
    one.at(commit).mkdir(parents=True)
    one.note(commit)
    assert one.kept() == one.at(commit) == Published("me/judge", commit).kept()
    for text in ("{", "[]", '{"main": 3}', '{"main": "../../x"}'):
        (one.folder / "refs.json").write_text(text)
        assert one.kept() is None

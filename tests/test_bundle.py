"""A bundle on disk: what was changed since the export is not used."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlaif_fast import BundleError, Judge, Pair
from rlaif_fast.bundle.folder import Bundle, entry, read_manifest, write_manifest
from rlaif_fast.bundle.manifest import FILES, MANIFEST, MODEL, TOKENIZER, WEIGHTS
from rlaif_fast.bundle.prompt import FileEntry
from rlaif_fast.prompts.score_template import SCORE_TEMPLATES
from rlaif_fast.runtime.engines import EngineOptions
from tests.conftest import ROOT
from tests.manifests import with_prompt

PAIR = Pair("The quick brown fox.", "a fox", "a dog")


@pytest.fixture
def folder(llama: Path, tmp_path: Path) -> Path:
    """A copy of a bundle, to be damaged."""
    return Path(shutil.copytree(llama, tmp_path / "bundle"))


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def refusal(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        Bundle(folder).verified()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_a_whole_bundle_opens(folder: Path) -> None:
    bundle = Bundle(str(folder))
    bundle.verified()
    bundle.verified()
    assert (bundle.graph, bundle.tokenizer) == ((folder / MODEL).read_bytes(), (folder / TOKENIZER).read_bytes())
    assert bundle.manifest == read_manifest(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted([MANIFEST, "prompts", *FILES])


@pytest.mark.parametrize("at", [0, -1], ids=["first", "last"])
@pytest.mark.parametrize("name", FILES)
def test_changed_byte(name: str, at: int, folder: Path) -> None:
    flip(folder / name, at)
    wanted = f"{folder / name}: changed since it was exported (sha256 differs); export the model again"
    assert refusal(folder) == wanted


@pytest.mark.parametrize("name", [MODEL, TOKENIZER])
def test_small_files_are_checked_before_anything_parses_them(name: str, folder: Path) -> None:
    flip(folder / name, 100)
    with pytest.raises(BundleError, match="sha256 differs"):
        Bundle(folder)


def test_no_verdict_leaves_a_judge_of_changed_weights(folder: Path) -> None:
    """One bit of the last weight: onnxruntime loads it without complaint."""
    flip(folder / WEIGHTS, -1)
    judge = Judge(Bundle(folder), EngineOptions(threads=1))
    with pytest.raises(BundleError, match="sha256 differs"):
        judge.judge(PAIR)
    with pytest.raises(BundleError, match="sha256 differs"):
        judge.log_odds_of(judge.prompt_tokens(PAIR))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("more", [1, -1], ids=["longer", "shorter"])
def test_another_size(name: str, more: int, folder: Path) -> None:
    size = (folder / name).stat().st_size
    os.truncate(folder / name, size + more)
    wanted = f"{folder / name}: {size + more:,} bytes, exported with {size:,}; export the model again"
    assert refusal(folder) == wanted


@pytest.mark.parametrize("name", FILES)
def test_missing_file(name: str, folder: Path) -> None:
    (folder / name).unlink()
    assert refusal(folder) == f"{folder / name}: missing or no plain file; export the model again"


@pytest.mark.parametrize("name", FILES)
def test_symbolic_link_is_refused(name: str, folder: Path, tmp_path: Path) -> None:
    """It could point to another file once the digest was checked."""
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    assert refusal(folder) == f"{folder / name}: missing or no plain file; export the model again"


@pytest.mark.parametrize("name", FILES)
def test_folder_in_a_files_place(name: str, folder: Path) -> None:
    (folder / name).unlink()
    (folder / name).mkdir()
    assert refusal(folder) == f"{folder / name}: missing or no plain file; export the model again"


def test_link_to_a_bundle_is_a_bundle(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    Bundle(tmp_path / "link").verified()


@pytest.mark.parametrize("name", FILES)
def test_manifest_that_lists_a_file_less(name: str, folder: Path) -> None:
    manifest = read_manifest(folder)
    write_manifest(folder, replace(manifest, files={n: file for n, file in manifest.files.items() if n != name}))
    assert refusal(folder) == f"{folder}: the manifest does not list {name}; export the model again"


def test_no_folder(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "none"
    assert refusal(path) == f"{path}: no such folder; give a bundle, `rlaif-fast export MODEL` makes one"
    path = folder / MANIFEST
    assert refusal(path) == f"{path}: a file, and a bundle is a folder; `rlaif-fast list` shows the bundles at hand"


def test_folder_that_is_no_bundle(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    assert refusal(folder) == f"{folder}: no bundle (it has no {MANIFEST})"
    (folder / MANIFEST).mkdir()
    assert refusal(folder) == f"{folder}: no bundle (it has no {MANIFEST})"


def test_manifest_that_is_no_text(folder: Path) -> None:
    (folder / MANIFEST).write_bytes(b'{"schema": "\xff"}')
    assert refusal(folder).startswith(f"{folder / MANIFEST}: no manifest of a bundle (UnicodeDecodeError: ")


def test_manifest_is_not_read_where_it_is_huge(folder: Path) -> None:
    os.truncate(folder / MANIFEST, (16 << 20) + 1)
    assert refusal(folder) == (f"{folder / MANIFEST}: 16,777,217 bytes, larger than such a file can be (16,777,216)")


@pytest.mark.parametrize("name", [MANIFEST, *FILES])
def test_hard_link_is_refused(name: str, folder: Path, tmp_path: Path) -> None:
    """Whoever has the other name can change the file behind its digest."""
    os.link(folder / name, tmp_path / "other")
    assert refusal(folder) == (
        f"{folder / name}: has another name elsewhere (a hard link) by which it may change; copy the bundle with cp -r"
    )


@pytest.mark.parametrize("name", [MANIFEST, *FILES])
def test_named_pipe_keeps_nobody_waiting(name: str, folder: Path) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    refusal(folder)


def test_manifest_that_is_a_link(folder: Path, tmp_path: Path) -> None:
    (folder / MANIFEST).rename(tmp_path / "other")
    (folder / MANIFEST).symlink_to(tmp_path / "other")
    assert refusal(folder) == f"{folder / MANIFEST}: missing or no plain file; export the model again"


def test_every_bit_of_the_manifest_counts(folder: Path) -> None:
    """Thresholds, labels, probes, and what is no value: the blanks and the digest itself."""
    content = (folder / MANIFEST).read_bytes()
    for at in range(0, len(content), 5):
        changed = bytearray(content)
        changed[at] ^= 1 << at % 8
        (folder / MANIFEST).write_bytes(changed)
        assert str(folder / MANIFEST) in refusal(folder)
    (folder / MANIFEST).write_bytes(content.replace(b"\n", b"\r\n"))
    assert "its own digest differs" in refusal(folder)


def test_manifest_of_nothing_is_named(folder: Path) -> None:
    (folder / MANIFEST).write_text("{}", encoding="utf-8")
    assert refusal(folder).startswith(f"{folder / MANIFEST}: no manifest of a bundle (")


def test_digest_is_sha256_over_chunks(tmp_path: Path) -> None:
    content = bytes(range(256)) * (5 << 12)  # 5 MiB, over one chunk
    path = tmp_path / "file"
    path.write_bytes(content)
    assert entry(path) == FileEntry(hashlib.sha256(content).hexdigest(), 5 << 20)


@pytest.mark.parametrize("seed", [1, 2])
def test_no_damage_yields_a_verdict(seed: int, llama: Path) -> None:
    """Any file, bits flipped, cut, overwritten: the process lives, says one line and judges nothing."""
    found = _damaged(llama, seed, 120)
    assert {(case["status"], case["out"], len(case["err"].splitlines())) for case in found} == {(1, "", 1)}
    assert all(case["err"].startswith("error: ") for case in found)


def test_damage_with_digests_to_match_does_not_reach_far(llama: Path) -> None:
    """Digests are no signature: who can write a bundle can make them fit. The libraries' errors are one line too."""
    for case in _damaged(llama, 3, 150, "signed"):
        assert len(case["err"].splitlines()) == 1, case
        assert case["status"] == 0 or (case["err"].startswith("error: ") and not case["out"]), case


def _damaged(bundle: Path, seed: int, count: int, *more: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "tests.damage", str(bundle), str(seed), str(count), *more]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    cases = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, (cases[-1:], done.stderr[-2000:])
    tried = [case for case in cases if "status" in case]
    assert len(tried) == count
    return tried


def test_files_of_another_bundle(folder: Path, tiny_bundle: Callable[[str], Path]) -> None:
    for name in (MODEL, WEIGHTS):  # the tiny tokenizers are all the same
        before = (folder / name).read_bytes()
        shutil.copy(tiny_bundle("gpt2") / name, folder / name)
        assert str(folder / name) in refusal(folder)
        (folder / name).write_bytes(before)
    shutil.copy(tiny_bundle("gpt2") / MANIFEST, folder / MANIFEST)
    refusal(folder)


def test_a_graph_of_other_labels_than_the_manifests(folder: Path) -> None:
    template = SCORE_TEMPLATES["score-summary"]
    manifest = read_manifest(folder)
    changed = with_prompt(manifest, template=template, label_ids=tuple(range(10)), probes=())
    (folder / manifest.prompt.path).rename(folder / changed.prompt.path)
    write_manifest(folder, changed)
    with pytest.raises(BundleError, match="its arrays are not those of 10 labels"):
        Bundle(folder)

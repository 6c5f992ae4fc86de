"""A bundle on disk: what was changed since the export is not used."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from rlaif_fast import BundleError, Judge, Pair
from rlaif_fast.bundle import Bundle, digest, entry, read_manifest
from rlaif_fast.manifest import FILES, MANIFEST, MODEL, TOKENIZER, WEIGHTS, FileEntry

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
    assert (bundle.model, bundle.tokenizer) == (folder / MODEL, folder / TOKENIZER)
    assert bundle.manifest == read_manifest(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted([MANIFEST, *FILES])


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
    judge = Judge.load(folder, threads=1)
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
    raw = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    del raw["files"][name]
    (folder / MANIFEST).write_text(json.dumps(raw), encoding="utf-8")
    assert refusal(folder) == f"{folder}: the manifest does not list {name}; export the model again"


def test_no_folder(folder: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "none", folder / MANIFEST):
        assert refusal(path) == f"{path}: no such folder; give a bundle, `rlaif-fast export MODEL` makes one"


def test_folder_that_is_no_bundle(folder: Path) -> None:
    wanted = f"{folder}: no bundle (it has no readable {MANIFEST})"
    (folder / MANIFEST).write_bytes(b'{"schema": "\xff"}')
    assert refusal(folder) == wanted
    (folder / MANIFEST).unlink()
    assert refusal(folder) == wanted
    (folder / MANIFEST).mkdir()
    assert refusal(folder) == wanted


def test_manifest_is_not_read_where_it_is_huge(folder: Path) -> None:
    os.truncate(folder / MANIFEST, (16 << 20) + 1)
    assert refusal(folder) == f"{folder / MANIFEST}: larger than a manifest can be"


def test_manifest_of_nothing_is_named(folder: Path) -> None:
    (folder / MANIFEST).write_text("{}", encoding="utf-8")
    assert refusal(folder).startswith(f"{folder / MANIFEST}: no manifest of a bundle (")


def test_digest_is_sha256_over_chunks(tmp_path: Path) -> None:
    content = bytes(range(256)) * (5 << 12)  # 5 MiB, over one chunk
    path = tmp_path / "file"
    path.write_bytes(content)
    assert digest(path) == hashlib.sha256(content).hexdigest()
    assert entry(path) == FileEntry(hashlib.sha256(content).hexdigest(), 5 << 20)

"""The cache folder: what it is said to hold, and what taking out leaves alone."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rlaif_fast import BundleError, Judge, Pair
from rlaif_fast.bundle import cache
from tests.conftest import Run

Cli = Callable[..., Run]


@pytest.fixture
def held(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder with one of everything, and beside it something a link leads to."""
    folder, outside = tmp_path / "home", tmp_path / "outside"
    shutil.copytree(llama, folder / "bundles" / "mine")
    (folder / "bundles" / "empty").mkdir()
    (folder / "bundles" / ".mine.old-1").mkdir()
    (folder / "checked").mkdir()
    (folder / "checked" / "0.json").write_text("{}")
    outside.mkdir()
    (outside / "precious").write_text("kept")
    (folder / "bundles" / "elsewhere").symlink_to(outside)
    (folder / "bundles" / "mine" / "more").symlink_to(outside)
    monkeypatch.setenv("RLAIF_FAST_HOME", str(folder))
    return folder


def test_what_is_listed(held: Path, llama: Path, rlaif_fast: Cli) -> None:
    found = {entry["name"]: entry for entry in json.loads(rlaif_fast("cache", "list", "--json", home=held).out)}
    assert {name: entry["kind"] for name, entry in found.items()} == {
        "mine": "bundle", "empty": "damaged", ".mine.old-1": "leftover", "checked": "self-tests", "elsewhere": "link",
    }  # fmt: skip
    files = [path for path in (held / "bundles/mine").rglob("*") if path.is_file() and "more" not in path.parts]
    assert found["mine"]["bytes"] == sum(path.stat().st_size for path in files)
    assert "(fp32, summary)" in found["mine"]["what"]
    assert found["mine"]["made"] <= found["mine"]["used"]
    for_people = rlaif_fast("cache", "list", home=held)
    assert for_people.status == 0 and all(name in for_people.out for name in found)
    assert rlaif_fast("cache", "path", home=held).out == f"{held}\n"


def test_removal_asks_and_follows_no_link(held: Path, rlaif_fast: Cli) -> None:
    before = sorted(held.rglob("*"))
    for answer in (b"", b"n\n"):
        refused = rlaif_fast("cache", "remove", "mine", home=held, stdin=answer)
        asked, said = refused.err.splitlines()
        assert refused.status == 2 and asked.startswith("remove mine (") and asked.endswith(" [y/N]: ")
        assert said == (
            "error: nothing was removed: not confirmed; --yes removes without asking (see rlaif-fast cache remove"
            " --help)"
        )
        assert sorted(held.rglob("*")) == before
    assert rlaif_fast("cache", "remove", "mine", home=held, stdin=b"y\n").status == 0
    assert not (held / "bundles/mine").exists()
    done = rlaif_fast("cache", "remove", "--all", "--yes", home=held)
    assert done.status == 0, done.err
    assert [path.name for path in sorted(held.rglob("*"))] == ["bundles"]
    assert (held.parent / "outside/precious").read_text() == "kept"
    assert rlaif_fast("cache", "remove", "--all", "--yes", home=held).status == 0
    assert json.loads(rlaif_fast("cache", "list", "--json", home=held).out) == []


@pytest.mark.parametrize("name", ["nothing", "../outside", "..", "", "mine/model.onnx", "bundles"])
def test_only_what_is_listed_can_be_removed(held: Path, rlaif_fast: Cli, name: str) -> None:
    before = sorted(held.rglob("*"))
    done = rlaif_fast("cache", "remove", "empty", name, "--yes", home=held)
    assert done.status == 1 and done.err.startswith(f"error: no {name!r} in the cache folder")
    assert sorted(held.rglob("*")) == before
    assert rlaif_fast("cache", "remove", "--yes", home=held).status == 2
    assert rlaif_fast("cache", "remove", "mine", "--all", "--yes", home=held).status == 2


def test_a_name_that_is_near_is_suggested(held: Path, rlaif_fast: Cli) -> None:
    for name, said in (
        ("Mine", "did you mean mine? (`rlaif-fast cache list` shows what there is)"),
        ("chekced", "did you mean checked? (`rlaif-fast cache list` shows what there is)"),
        ("phi", "`rlaif-fast cache list` shows what there is"),
    ):
        done = rlaif_fast("cache", "remove", name, home=held)
        assert (done.status, done.err) == (1, f"error: no {name!r} in the cache folder; {said}\n")


def test_a_folder_that_is_a_link_is_left_alone(held: Path, rlaif_fast: Cli) -> None:
    (held / "bundles").rename(held.parent / "moved")
    (held / "bundles").symlink_to(held.parent / "moved")
    done = rlaif_fast("cache", "remove", "mine", "--yes", home=held)
    assert done.status == 1 and "a link that leads out of the cache folder" in done.err
    assert (held.parent / "moved/mine/manifest.json").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_a_bundle_in_use_is_refused(held: Path) -> None:
    judge = Judge.load(held / "bundles/mine", threads=1)
    judge.judge(Pair("Text", "a fox", "a dog"))
    (mine,) = (entry for entry in cache.entries() if entry.name == "mine")
    with pytest.raises(BundleError, match=f"in use by process {os.getpid()}"):
        cache.remove(mine)
    assert mine.path.is_dir()

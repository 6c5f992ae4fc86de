"""Where bundles live."""

from __future__ import annotations

import json
from pathlib import Path

import platformdirs
import pytest

from rlaif_fast.bundle.folder import read_manifest
from rlaif_fast.bundle.home import DEFAULT_MODEL, bundle_folder, find_bundle, home
from rlaif_fast.errors import BundleError, ExportError


@pytest.fixture(autouse=True)
def _moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A home and a working folder of the test's own."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("RLAIF_FAST_HOME", str(tmp_path / "home"))


def name_of(*arguments: str, **more: str) -> str:
    folder = bundle_folder(*arguments, **more)
    assert folder.parent == home() / "bundles"
    return folder.name


def test_home_is_moved_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert home() == tmp_path / "home"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RLAIF_FAST_HOME", "~/judges")
    assert home() == tmp_path / "judges"


@pytest.mark.parametrize("value", [None, ""])
def test_home_is_the_platforms_cache_folder(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RLAIF_FAST_HOME")
    if value is not None:
        monkeypatch.setenv("RLAIF_FAST_HOME", value)
    assert home() == Path(platformdirs.user_cache_dir("rlaif-fast", appauthor=False))
    assert home().name == "rlaif-fast"


def test_asking_makes_nothing() -> None:
    bundle_folder(DEFAULT_MODEL)
    find_bundle(DEFAULT_MODEL)
    assert not home().exists()


def test_folder_names_what_the_bundle_is() -> None:
    assert name_of(DEFAULT_MODEL) == "smollm2-135m-instruct-int8"
    assert name_of("microsoft/phi-1_5") == "microsoft-phi-1_5-int8"
    assert name_of("microsoft/phi-1_5", "fp32") == "microsoft-phi-1_5-fp32"
    assert name_of("microsoft/phi-1_5", revision="refs/pr/3") == "microsoft-phi-1_5-refs-pr-3-int8"
    assert name_of("models/SmolLM2.Q8_0.gguf") == "SmolLM2.Q8_0-int8"


def test_local_folder_goes_by_its_own_name(tmp_path: Path) -> None:
    folder = tmp_path / "my models" / "judge v2"
    folder.mkdir(parents=True)
    assert name_of(str(folder)) == name_of(f"{folder}/") == "judge-v2-int8"


@pytest.mark.parametrize("here", [".", "..", "../work", "sub/.."])
def test_relative_folder_goes_by_its_own_name(here: str, tmp_path: Path) -> None:
    Path("sub").mkdir()
    assert name_of(here) == name_of(str((tmp_path / "work" / here).resolve()))


@pytest.mark.parametrize("model", ["../../etc/passwd", "/absolute/none", "a\\b", "a b\n", "..", "日本/x", "a//b", "~"])
def test_no_name_leaves_the_home(model: str) -> None:
    folder = bundle_folder(model, revision="../../x")
    assert folder.resolve().parent == (home() / "bundles").resolve()
    assert not set(folder.name) & set("/\\ \n~")


def test_bundle_is_found_by_path_or_id(tmp_path: Path) -> None:
    exported = bundle_folder("owner/name")
    exported.mkdir(parents=True)
    assert find_bundle("owner/name") == exported
    assert find_bundle(exported) == exported
    Path("owner/name").mkdir(parents=True)
    assert find_bundle("owner/name") == Path("owner/name"), "what lies here comes first"


@pytest.mark.parametrize("name", ["none", "./owner/none", "owner/none/x"])
def test_bundle_that_is_nowhere_stays_as_it_was_said(name: str) -> None:
    """The message about it then names what the user gave. One of the hub: tests/test_published.py."""
    assert find_bundle(name) == Path(name)


def _bundle(name: str, model: str) -> Path:
    folder = home() / "bundles" / name
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"model": {"id": model}}))
    return folder


def test_a_bundle_is_found_by_the_name_that_the_cache_lists() -> None:
    folder = _bundle("owner-name-main-int8", "owner/name")
    assert find_bundle("owner-name-main-int8") == folder


def test_a_bundle_of_a_name_that_is_spelled_alike_is_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    folder = _bundle(bundle_folder("owner/name-2").name, "owner/name-2")
    assert bundle_folder("owner-name/2") == folder == find_bundle("owner/name-2") == find_bundle("owner-name-2")
    with pytest.raises(BundleError, match="owner-name/2: no folder, not downloaded yet"):
        find_bundle("owner-name/2")
    assert find_bundle("owner name-2") == Path("owner name-2")
    assert bundle_folder("\u6a21\u578b") != bundle_folder("\u5225")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Microsoft/Phi-1.5", "no such bundle; did you mean microsoft/phi-1_5? (`rlaif-fast list` shows what"
         " there is)"),
        ("microsoft-phi-1_5-int_8", "no such bundle; did you mean microsoft-phi-1_5-int8? (`rlaif-fast list`"
         " shows what there is)"),
        ("smollm2-135m-instuct", "no such bundle; did you mean smollm2-135m-instruct? (`rlaif-fast list` shows"
         " what there is)"),
        ("smollm2-135m-instruct", "not exported yet; `rlaif-fast export smollm2-135m-instruct` makes the bundle"),
        ("microsoft/phi-2", "no folder, not downloaded yet, and HF_HUB_OFFLINE is set; it is not exported yet;"
         " `rlaif-fast export microsoft/phi-2` makes the bundle"),
        ("microsoft-phi-1_5-fp32", "not exported yet; `rlaif-fast export microsoft/phi-1_5 --precision fp32` makes the"
         " bundle (or did you mean microsoft-phi-1_5-int8?)"),
        ("microsoft/phi-1_5-fp32", "no folder, not downloaded yet, and HF_HUB_OFFLINE is set; it is not exported yet;"
         " `rlaif-fast export microsoft/phi-1_5 --precision fp32` makes the bundle (or did you mean"
         " microsoft-phi-1_5-int8?)"),
        ("Microsoft-Phi-1_5-INT8", "no such bundle; did you mean microsoft-phi-1_5-int8? (`rlaif-fast list` shows what"
         " there is)"),
        ("smollm2-135m-instruct-int8", "not exported yet; `rlaif-fast export smollm2-135m-instruct --precision int8`"
         " makes the bundle"),
        ("nowhere", "no such folder; give a bundle, `rlaif-fast export MODEL` makes one"),
    ],
)  # fmt: skip
def test_a_name_that_leads_nowhere(name: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    _bundle("microsoft-phi-1_5-int8", "microsoft/phi-1_5")
    with pytest.raises(BundleError) as caught:
        read_manifest(find_bundle(name))
    assert str(caught.value) == f"{name}: {said}"


def test_offline_a_typo_is_not_a_lack_of_internet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    from rlaif_fast_export.sources.source import find_source

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "hub" / "models--microsoft--phi-1_5").mkdir(parents=True)
    for name, hint in (
        ("microsoft/phi-1.5", "did you mean microsoft/phi-1_5?"),
        ("smollm2-135m-instuct", "did you mean smollm2-135m-instruct?"),
        ("someone/else", "check the name, give a folder, or unset it"),
    ):
        with pytest.raises(ExportError) as caught:
            find_source(name).config()
        assert str(caught.value) == (
            f"{name}: not on this machine, and the hub is not asked while HF_HUB_OFFLINE is set; {hint}"
        )

"""Where bundles live."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from rlaif_fast.bundle.home import DEFAULT_MODEL, bundle_folder, find_bundle, home


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

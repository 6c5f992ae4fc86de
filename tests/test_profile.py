"""Profiles: what select chose, written and read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rlaif_fast.bundle.hub import published_name
from rlaif_fast.errors import EvalError
from rlaif_fast.evaluation.calibration import Calibration
from rlaif_fast.selection.profile import Judging, Profile, read_profile


def _profile() -> Profile:
    calibration = Calibration("d" * 64, 1.5, -0.25, {"source": "x", "pairs": 9, "groups": 8})
    return Profile(Judging("microsoft/phi-1_5", "int8", "d" * 64), "summary-chat", "forward", calibration, {"pairs": 3})


def test_a_profile_reads_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLAIF_FAST_HOME", str(tmp_path))
    for profile in (_profile(), Profile(_profile().judge, "p", "both", None, {})):
        path = tmp_path / "p.json"
        path.write_text(profile.to_json())
        assert read_profile(path) == profile
    with pytest.raises(EvalError, match=r"microsoft/phi-1_5 \(int8\): the profile's bundle is not there; say with -b"):
        _ = _profile().folder
    (tmp_path / "bundles" / "microsoft-phi-1_5-int8").mkdir(parents=True)
    assert _profile().folder == tmp_path / "bundles" / "microsoft-phi-1_5-int8"
    with pytest.raises(EvalError, match=r"made for microsoft/phi-1_5 .*, and this is another judge"):
        profile.require_judge("e" * 64, path)


def test_a_downloaded_bundle_is_found_by_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLAIF_FAST_HOME", str(tmp_path))
    folder = tmp_path / "downloads" / "owner--name" / ("c" * 40)
    folder.mkdir(parents=True)
    name = published_name(folder)
    assert name == f"owner/name@{'c' * 40}"
    assert replace(_profile(), judge=Judging(name, "int8", "d" * 64)).folder == folder


@pytest.mark.parametrize(
    "change",
    [
        ('"schema": 1', '"schema": 2'), ('"orders": "forward"', '"orders": "prior"'), ('"a": 1.5', '"a": -1'),
        ('"a": 1.5', '"a": NaN'), ('"digest"', '"other"'), ('"prompt": "summary-chat"', '"prompt": 3'), ("{", "["),
        ('"schema": 1', '"schema": true'), ('"orders"', '"order": "both",\n "orders"'),
        ('"a": 1.5', '"a": 1.5, "c": 1'), ('"orders"', '"orders": "both",\n "orders"'), ('{\n  "pairs": 3\n }', "[]"),
    ],
)  # fmt: skip
def test_a_damaged_profile_is_refused_in_one_line(change: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(_profile().to_json().replace(*change))
    with pytest.raises(EvalError) as caught:
        read_profile(path)
    assert path.read_text() != _profile().to_json()
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    assert "select" in str(caught.value), "what to do"

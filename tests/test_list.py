"""``rlaif-fast list``: the bundles at hand, to the letter."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rlaif_fast import Judge
from rlaif_fast.bundle.folder import read_manifest
from rlaif_fast.bundle.home import DEFAULT_MODEL, find_bundle
from rlaif_fast.cli import _run
from rlaif_fast.prompts.template import SUMMARY
from rlaif_fast.runtime.engine_choice import Tried, Tuned, remember
from tests.test_bundle_prompts import HELPFUL, SCORE, export

MISSING = f"the embedded default, {DEFAULT_MODEL}, is not exported yet; the first `rlaif-fast judge` does it\n"
NOT_TUNED = "not tuned: `rlaif-fast tune BUNDLE` finds the fastest engine on this machine"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RLAIF_FAST_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "60")  # narrower than the table: a name is never folded
    (tmp_path / "home" / "bundles").mkdir(parents=True)
    return tmp_path / "home"


def _printed(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[list[str], str]:
    capfd.readouterr()
    assert _run(["list", *arguments], debug=False) == 0
    out, err = capfd.readouterr()
    return [" ".join(line.split()) for line in out.splitlines()], err


def test_nothing_at_hand(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert _printed(capfd) == ([], MISSING)
    assert _printed(capfd, "--json") == (["[]"], "")


def test_a_link_to_a_bundle_is_one(home: Path, llama: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (home / "bundles" / "linked").symlink_to(llama)
    (home / "bundles" / "broken").symlink_to(home / "nowhere")
    shown, err = _printed(capfd)
    assert shown[1].startswith("linked judge fp32 ") and len(shown) == 3 and err == MISSING


def test_what_is_at_hand(
    home: Path, llama: Path, tiny_int8: Callable[[str], Path], tiny_folder: Callable[[str], Path],
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    bundles = home / "bundles"
    fast = Path(shutil.copytree(tiny_int8("llama"), bundles / "me-llama-int8"))
    export(tiny_folder("gpt2"), bundles / f"{DEFAULT_MODEL}-fp32", SUMMARY, HELPFUL, SCORE)
    published = home / "downloads" / "me--judge" / ("a" * 40)
    shutil.copytree(llama, published)
    (bundles / "torn").mkdir()
    sizes = {path: sum(one.stat().st_size for one in path.rglob("*")if one.is_file()) / 1e6
             for path in (fast, published, bundles / f"{DEFAULT_MODEL}-fp32")}  # fmt: skip
    of_default, of_fast, of_published = (f"{sizes[path]:,.1f}" for path in (
        bundles / f"{DEFAULT_MODEL}-fp32", fast, published))  # fmt: skip
    torn = "not listed: torn (damaged or left over, see `rlaif-fast cache list`)\n"
    shown, err = _printed(capfd)
    assert err == torn
    assert shown == [
        "bundle kind precision MB engine prompts",
        f"me-llama-int8 judge int8 {of_fast} onnxruntime, not tuned summary",
        f"me/judge@{'a' * 40} judge fp32 {of_published} onnxruntime, not tuned summary",
        f"{DEFAULT_MODEL}-fp32 * judge fp32 {of_default} onnxruntime, not tuned summary and 2 more",
        "* what is taken without -b",
        NOT_TUNED,
    ]
    tried = (
        Tried("onnxruntime", str(fast.resolve()), "int8", 1.0, 1.0, None, None, ""),
        Tried("onnxruntime-flash", str(published.resolve()), "fp32", 0.5, 0.5, None, None, ""),
    )
    untimed = (replace(tried[0], ms=None, ratio=None), replace(tried[1], ms=None, ratio=None, refusal="not tried"))
    remember(fast, Tuned(untimed, 0, read_manifest(fast).digest, 0.03))
    shown, _ = _printed(capfd)
    assert shown[1] == f"me-llama-int8 judge int8 {of_fast} onnxruntime, not tuned summary", "nothing was timed"
    remember(fast, Tuned(tried, 1, read_manifest(published).digest, 0.03))
    shown, _ = _printed(capfd)
    on = f"onnxruntime-flash on me/judge@{'a' * 40}"
    assert shown[1] == f"me-llama-int8 judge int8 {of_fast} {on} summary"
    (line,), _ = _printed(capfd, "--json")
    found = {one["name"]: one for one in json.loads(line)}
    assert list(found) == ["me-llama-int8", f"me/judge@{'a' * 40}", f"{DEFAULT_MODEL}-fp32"]
    for name, one in found.items():
        assert Path(one["folder"]) == find_bundle(name), "what -b takes"
        assert one["bytes"] == round(1e6 * sizes[Path(one["folder"])])
    assert found[f"{DEFAULT_MODEL}-fp32"]["prompts"] == {"pairs": ["summary", "helpful"], "scores": ["score-helpful"]}
    assert [one["default"] for one in found.values()] == [False, False, True]
    assert Judge.load("me-llama-int8").engine == found["me-llama-int8"]["engine"] == "onnxruntime-flash"


def test_a_bundle_that_lacks_a_file_is_incomplete(
    home: Path, llama: Path, capfd: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    cut, without = (Path(shutil.copytree(llama, home / "bundles" / name)) for name in ("cut-fp32", "without-fp32"))
    (without / "model.onnx.data").unlink()
    size = (cut / "tokenizer.json").stat().st_size
    (cut / "tokenizer.json").write_bytes(b"{}")
    shown, _ = _printed(capfd)
    assert [line.split(" fp32 ")[1].split(" ", 1)[1] for line in shown[1:3]] == [
        f"incomplete: tokenizer.json has 2 of {size:,} bytes summary",
        "incomplete: model.onnx.data is missing summary",
    ]
    assert shown[3:] == ["incomplete: cannot judge; export or download it again after `rlaif-fast cache remove BUNDLE`"]
    (line,), _ = _printed(capfd, "--json")
    assert [one["lacking"] for one in json.loads(line)] == [
        [f"tokenizer.json has 2 of {size:,} bytes"], ["model.onnx.data is missing"],
    ]  # fmt: skip
    assert _run(["cache", "list"], debug=False) == 0
    assert "without-fp32: incomplete, " in capfd.readouterr().out

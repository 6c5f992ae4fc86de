"""doctor: what it finds, and the status it ends with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rlaif_fast.bench import doctor
from rlaif_fast.bundle.folder import Bundle, read_manifest, write_manifest
from rlaif_fast.runtime import cgroup, cpu, memory, processor
from tests.conftest import Run
from tests.manifests import with_prompt

Cli = Callable[..., Run]


@pytest.fixture(autouse=True)
def _quiet_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody else at work, a current processor, a cache folder of its own."""
    monkeypatch.setattr(cpu, "busy", lambda: False)
    monkeypatch.setattr(processor, "features", lambda: {"AVX2": True, "VNNI": True})
    monkeypatch.setenv("RLAIF_FAST_HOME", str(tmp_path / "home"))


def found(bundle: Path | None) -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in doctor.examine(None if bundle is None else str(bundle))}


def state(bundle: Path | None) -> str:
    return doctor.worst(list(found(bundle).values()))


def test_ready(llama: Path) -> None:
    findings = found(llama)
    assert {f.state for f in findings.values()} == {"ok"}, findings
    assert list(findings) == [
        "rlaif-fast", "onnxruntime", "tokenizers", "numpy", "extra export", "extra formats", "processor", "threads",
        "cache folder", "memory", "bundle", "self-test",
    ]  # fmt: skip
    assert f"{len(Bundle(llama).manifest.prompt.probes)} probes answered" in findings["self-test"].found


def test_a_changed_bundle_is_broken(llama: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(llama, changed)
    weights = bytearray((changed / "model.onnx.data").read_bytes())
    weights[len(weights) // 2] ^= 1
    (changed / "model.onnx.data").write_bytes(weights)
    assert found(changed)["bundle"].state == "broken" and "changed since" in found(changed)["bundle"].found
    assert state(tmp_path / "nowhere") == "broken"


def test_other_answers_are_broken(llama: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(llama, other)
    manifest = read_manifest(other)
    first, *rest = manifest.prompt.probes
    moved = replace(first, answer=(first.answer[0] + 1, first.answer[1]))
    write_manifest(other, with_prompt(manifest, probes=(moved, *rest)))
    test = found(other)["self-test"]
    assert test.state == "broken" and "answers the bundle's probes differently" in test.found


def test_no_default_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(None)["bundle"].state == "warning"
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda package: "" if package == "torch" else version(package))
    assert found(None)["bundle"].state == "broken" and "rlaif-fast[export]" in found(None)["bundle"].advice


def test_memory_against_what_the_bundle_takes(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = Bundle(llama).manifest
    start = memory.of_bundle(manifest)
    for left, wanted in ((start - 1, "broken"), (start + 1, "warning"), (10 * start, "ok")):
        monkeypatch.setattr(memory, "left", lambda left=left: left)
        assert found(llama)["memory"].state == wanted
        assert ("self-test" in found(llama)) == (wanted != "broken")


@pytest.mark.parametrize(
    ("has", "wanted"),
    [({"AVX2": False, "VNNI": False}, "warning"), ({"AVX2": True, "VNNI": False}, "ok"), (None, "ok"),
     ({"NEON dot product": True}, "ok")],
)  # fmt: skip
def test_the_processor(has: dict[str, bool] | None, wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "features", lambda: has)
    assert found(None)["processor"].state == wanted


def test_a_machine_in_use_and_a_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "busy", lambda: True)
    monkeypatch.setattr(cpu, "cpu_quota", lambda: 0.5)
    monkeypatch.setattr(cgroup, "cpu_quota", lambda: 0.5)
    threads = found(None)["threads"]
    assert threads.state == "warning" and threads.found.startswith("1 used") and "quota of 0.5" in threads.found


def test_what_is_damaged_in_the_cache_folder(tmp_path: Path) -> None:
    (tmp_path / "home/bundles/half").mkdir(parents=True)
    told = found(None)["cache folder"]
    assert told.advice == "rlaif-fast cache remove half" and "0.00 GB, 0 bundles (" in told.found


def test_the_status_of_the_real_command(llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    done = rlaif_fast("doctor", "-b", llama, "--json", home=tmp_path)
    told = json.loads(done.out)
    assert done.status == {"ok": 0, "warning": 2}[told["state"]], done.err  # the machine may be in use
    assert rlaif_fast("doctor", "-b", tmp_path / "none", home=tmp_path).status == 1
    shown = rlaif_fast("doctor", "-b", llama, home=tmp_path)
    assert shown.status == {"ready": 0, "works, with warnings": 2}[shown.out.splitlines()[-1]], "it may be so by now"
    assert "self-test" in shown.out


def test_flags_as_systems_name_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for machine, info, wanted in [
        ("x86_64", {"flags": "fpu avx2 avx_vnni"}, {"AVX2", "VNNI"}),
        (
            "x86_64",
            {"flags": "avx2 avx512f avx512_vnni amx_int8 amx_bf16"},
            {"AVX2", "AVX-512", "VNNI", "AMX int8", "bf16"},
        ),
        ("aarch64", {"Features": "fp asimd asimddp i8mm bf16"}, {"NEON dot product", "NEON i8mm", "bf16"}),
        ("x86_64", {}, None),
        ("riscv64", {"flags": "avx2"}, None),
    ]:
        monkeypatch.setattr(processor.platform, "machine", lambda machine=machine: machine)
        monkeypatch.setattr(processor.sys, "platform", "linux")
        monkeypatch.setattr(processor, "_cpuinfo", lambda info=info: info)
        has = processor.features()
        assert (None if has is None else {title for title, there in has.items() if there}) == wanted

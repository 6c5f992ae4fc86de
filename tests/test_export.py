"""The export as a whole: whole and verified, or not at all."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from rlaif_fast import ExportError, Judge, Pair, TemplateError
from rlaif_fast.bundle.folder import read_manifest
from rlaif_fast.cli import cli
from rlaif_fast.prompts.template import SUMMARY, Template
from rlaif_fast_export import exporter
from rlaif_fast_export.builds import base
from rlaif_fast_export.exporter import export_bundle
from rlaif_fast_export.int8.options import Int8Options
from rlaif_fast_export.reference.verify import fidelity
from rlaif_fast_export.sources.families import check_supported
from rlaif_fast_export.sources.source import find_source
from rlaif_fast_export.writing import publication
from tests.families import save_tiny, tiny_model
from tests.gguf_files import write_gguf


def _export(model: Path, output: Path, template: Template = SUMMARY, force: bool = False) -> Path:
    return export_bundle(find_source(str(model)), output, template, force=force, progress=lambda what, share: None)


def test_a_bundle_is_four_files_and_one_a_prompt(llama: Path) -> None:
    assert sorted(p.name for p in llama.iterdir()) == [
        "manifest.json", "model.onnx", "model.onnx.data", "prompts", "tokenizer.json",
    ]  # fmt: skip
    manifest = json.loads((llama / "manifest.json").read_text())
    (prompt,) = manifest["prompts"]
    assert [p.name for p in (llama / "prompts").iterdir()] == [f"summary-{prompt['file']['sha256'][:8]}.safetensors"]
    assert prompt["fidelity"]["max"] < 1e-3
    assert manifest["model"]["parameters"] > 100_000
    assert "/" not in manifest["model"]["id"], "a bundle says nothing of the machine it was made on"


def test_the_same_model_gives_the_same_bytes(tiny_folder: Callable[[str], Path], llama: Path, tmp_path: Path) -> None:
    again = _export(tiny_folder("llama"), tmp_path / "again")
    for name in ("model.onnx", "model.onnx.data", "tokenizer.json"):
        assert (again / name).read_bytes() == (llama / name).read_bytes(), name


def test_a_bundle_that_deviates_is_not_kept(
    tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = base.bake_prefix

    def wrong(decoder: Any, ids: Any) -> Any:
        made = right(decoder, ids)
        made[1].value[:, :, 3] += 0.5  # one token of one layer
        return made

    monkeypatch.setattr(base, "bake_prefix", wrong)
    with pytest.raises(ExportError, match=r"deviates from PyTorch by up to .* nothing was kept"):
        _export(tiny_folder("llama"), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_nan_deviates() -> None:
    from rlaif_fast_export.reference.verify import require_exact

    found = fidelity(np.array([[np.nan, 0.0]]), np.zeros((1, 2)), "one pair")
    with pytest.raises(ExportError):
        require_exact(found, "x")


@pytest.mark.parametrize("force", [False, True])
def test_what_is_no_bundle_is_left_alone(force: bool, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    output = tmp_path / "mine"
    output.mkdir()
    (output / "thesis.txt").write_text("do not lose")
    model = tiny_folder("llama")
    for taken in (output, output / "thesis.txt", model, Path("/")):
        with pytest.raises(ExportError, match="exists already and is no bundle; give another folder with -o"):
            _export(model, taken, force=force)
    assert (output / "thesis.txt").read_text() == "do not lose"


def test_pairs_that_are_too_long_to_calibrate_on_are_said(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:  # fmt: skip
    int8 = Int8Options([Pair("word " * 2000, "a", "b")])
    with pytest.raises(ExportError, match="context of 1,024 tokens holds none of the pairs to calibrate on with the"):
        export_bundle(
            find_source(str(tiny_folder("llama"))), tmp_path / "out", SUMMARY, force=False, progress=lambda *_: None,
            int8=int8,
        )  # fmt: skip
    assert not [*tmp_path.iterdir()]


def test_an_existing_bundle_is_left_alone(
    llama: Path, tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, model = tmp_path / "bundle", tiny_folder("gpt2")
    real = exporter.verify

    def meanwhile(*arguments: Any) -> Any:
        shutil.copytree(llama, output)
        return real(*arguments)

    monkeypatch.setattr(exporter, "verify", meanwhile)  # another export is quicker
    for _ in range(2):
        with pytest.raises(ExportError, match="exists already, give --force"):
            _export(model, output)
        assert read_manifest(output).model.architecture == "llama" and [*tmp_path.iterdir()] == [output]


def test_the_folder_that_one_is_in_can_be_replaced(
    llama: Path, tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shutil.copytree(llama, tmp_path / "bundle"))
    options = ["--template", "summary", "--precision", "fp32", "--force", "-o", "."]
    done = CliRunner().invoke(cli, ["export", str(tiny_folder("gpt2")), *options])
    assert done.exit_code == 0, done.output
    assert read_manifest(tmp_path / "bundle").model.architecture == "gpt2"


def test_a_disk_that_fills_up_is_said(
    rlaif_fast: Callable[..., Any], tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    output, before = tmp_path / "bundle", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))  # the weights take more
    try:
        done = rlaif_fast("export", tiny_folder("llama"), "--template", "summary", "--precision", "fp32", "-o", output)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert done.status == 1 and not list(tmp_path.iterdir())
    said = done.err.splitlines()[-1]
    assert said.startswith(f"error: {output}: ") and said.endswith("; make room, or give another disk's folder with -o")


def test_force_replaces_only_once_the_new_bundle_stands(
    tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = _export(tiny_folder("llama"), tmp_path / "bundle")
    before = (output / "manifest.json").read_bytes()
    with monkeypatch.context() as broken:
        broken.setattr(exporter, "verify", lambda *_: (_ for _ in ()).throw(ExportError("no")))
        with pytest.raises(ExportError, match="no"):
            _export(tiny_folder("gpt2"), output, force=True)
    assert (output / "manifest.json").read_bytes() == before
    (tmp_path / ".bundle.old-1").mkdir()  # as a kill while the older one was deleted leaves it
    _export(tiny_folder("gpt2"), output, force=True)
    assert Judge.load(output).manifest.model.architecture == "gpt2"
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_a_killed_export_leaves_nothing_at_the_output(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """Killed without a chance to clean up, at several points; the next export sweeps what was left beside it."""
    output = tmp_path / "bundle"
    command = [
        sys.executable,
        "-m",
        "rlaif_fast",
        "export",
        str(tiny_folder("llama")),
        "-o",
        str(output),
        "--precision",
        "fp32",
    ]
    killed = 0
    for state in ("partial", "tokenizer.json", "model.onnx.data"):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            # os.walk passes over a directory that vanishes under it, as the exporter's temporary ones do; rglob raises.
            names = [name for _, folders, files in os.walk(tmp_path) for name in (*folders, *files)]
            if any(state in name for name in names):
                process.send_signal(signal.SIGKILL)
                killed += process.wait() == -signal.SIGKILL
                break
            time.sleep(0.001)
        if killed:
            assert not output.exists()
    assert killed
    assert any(p.name.startswith(".bundle.partial-") for p in tmp_path.iterdir())
    _export(tiny_folder("llama"), output)
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_another_exports_scratch_is_not_swept(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """Whatever their pids, which are the same in two containers."""
    output = tmp_path / "bundle"
    with publication.scratch(output) as running:
        _export(tiny_folder("llama"), output)
        assert running.exists() and not publication.left_behind(output)
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_a_scratch_that_is_not_locked_yet_is_nobodys_to_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output, real = tmp_path / "bundle", publication.locked
    with ThreadPoolExecutor(1) as other:
        looks: list[Future[list[Path]]] = []

        def locked(*given: Any) -> Any:
            if not looks:  # the folder is there, and has no lock
                looks.append(other.submit(publication.left_behind, output))
                assert not wait(looks, timeout=0.5).done, "it did not wait"
            return real(*given)

        monkeypatch.setattr(publication, "locked", locked)
        with publication.scratch(output):
            assert looks[0].result() == []


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"model_type": "odd"}, "architecture 'odd' is not a listed one; --unlisted exports it all the same if"),
        ({"model_type": "qwen3_5"}, "'qwen3_5' cannot be exported: its layers are recurrent"),
        ({"model_type": "gemma4"}, "'gemma4' cannot be exported: its layers share keys and values"),
        ({"is_encoder_decoder": True}, "has an encoder"),
        ({"layer_types": ["linear_attention"]}, "layers of the kind 'linear_attention', .* recurrent"),
        ({"layer_types": ["chunked_attention"]}, "layers of the kind 'chunked_attention'"),
        ({"num_kv_shared_layers": 2}, "share keys and values"),
        ({"kv_lora_rank": 16}, "multi-head latent attention"),
        ({"alibi": True}, "ALiBi"),
        ({"model_type": "bloom"}, "ALiBi"),
        ({"clip_qkv": 8.0}, "clip_qkv = 8.0: queries, keys and values cannot be clipped"),
        ({"head_dim": 100}, "its heads have 100 features; the runtime's attention takes multiples of 8"),
        ({"quantization_config": {"bits": 4}}, "quantized already"),
        ({"use_bidirectional_attention": True}, "bidirectional"),
    ],
)
def test_what_cannot_be_exported_is_said_from_the_configuration(settings: dict[str, Any], reason: str) -> None:
    from transformers import LlamaConfig

    config = LlamaConfig()
    for name, value in settings.items():
        object.__setattr__(config, name, value)
    if "model_type" in settings:
        config.__class__ = type("Other", (LlamaConfig,), {"model_type": settings["model_type"]})
    with pytest.raises(ExportError, match="^a model: .*" + reason):
        check_supported(config, "a model")


def test_an_unsupported_folder_is_refused_before_its_weights_are_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mamba", "architectures": ["MambaForCausalLM"]}))
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ExportError, match="architecture 'mamba' cannot be exported: its layers are recurrent"):
        _export(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("model", "reason"),
    [("missing.gguf", "no such file"), ("a b/c", "no folder"), ("../x/y/z", "no folder, no .gguf file and no hub id")],
)
def test_a_model_that_names_nothing(model: str, reason: str) -> None:
    with pytest.raises(ExportError, match=reason):
        find_source(model)


def test_a_folder_without_a_configuration(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"no Hugging Face model \(the folder has no config.json\)"):
        find_source(str(tmp_path))


def test_a_label_of_several_tokens_is_refused(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    template = Template("words", SUMMARY.text, ("the first one", "the second one"))
    with pytest.raises(TemplateError, match="label 'the first one' is not one token"):
        _export(tiny_folder("llama"), tmp_path / "out", template)
    assert not list(tmp_path.iterdir())


def test_a_sentencepiece_tokenizer_is_judged_by_its_labels(tmp_path: Path) -> None:
    """Its labels alone both begin with a bare space token, which would make every verdict 0.5."""
    folder = save_tiny("llama", tmp_path / "model", tokenizer="sentencepiece")
    judge = Judge.load(_export(folder, tmp_path / "bundle"))
    assert judge.manifest.prompt.label_ids[0] != judge.manifest.prompt.label_ids[1]
    assert judge.manifest.prompt.fidelity.max < 1e-3


def test_a_gguf_file(tmp_path: Path) -> None:
    """A tiny Llama written as GGUF by the format's own library."""
    path = write_gguf(tmp_path / "tiny.gguf", tiny_model("llama"), general={"general.license": "mit"})
    judge = Judge.load(_export(path, tmp_path / "bundle"))
    assert judge.manifest.model.id == "tiny"
    assert judge.manifest.model.licence == "mit"
    assert judge.manifest.prompt.fidelity.max < 1e-3

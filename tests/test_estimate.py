"""What an export takes is said before it is spent, and refused where there is no room for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner
from transformers import AutoModelForCausalLM, PhiConfig, Qwen3Config

from rlaif_fast import ExportError
from rlaif_fast.bundle.folder import read_manifest
from rlaif_fast.cli import cli
from rlaif_fast.reports.console import Steps
from rlaif_fast_export import estimate as estimates
from rlaif_fast_export.estimate import Estimate, Shape, estimate, shape_of
from rlaif_fast_export.int8.options import Int8Options
from rlaif_fast_export.sources.source import find_source
from tests.conftest import Run


def _shape(config: object) -> Shape:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return Shape.of(model, in_memory=False)


PHI = PhiConfig(vocab_size=51200, hidden_size=2048, intermediate_size=8192, num_hidden_layers=24,
                num_attention_heads=32)  # fmt: skip
QWEN_4B = Qwen3Config(hidden_size=2560, intermediate_size=9728, num_hidden_layers=36, num_attention_heads=32,
                      num_key_value_heads=8, head_dim=128, vocab_size=151936, tie_word_embeddings=True)  # fmt: skip


def test_a_shape_is_the_models(tiny_folder: Callable[[str], Path]) -> None:
    source = find_source(str(tiny_folder("llama")))
    shape, model = shape_of(source), source.model()
    assert shape is not None and shape.parameters == sum(p.numel() for p in model.parameters())
    layers = [m for m in model.model.layers.modules() if isinstance(m, torch.nn.Linear)]
    assert shape.linear == sum(m.weight.numel() for m in layers) and shape.blocks == 3 and not shape.in_memory


def test_what_costs_more_is_expected_to() -> None:
    phi, larger = _shape(PHI), _shape(QWEN_4B)
    exact, best, fast = estimate(phi, None), estimate(phi, Int8Options()), estimate(phi, Int8Options(fast=True))
    assert exact.seconds < fast.seconds < best.seconds < estimate(larger, Int8Options()).seconds
    assert exact.memory < 4e9 and best.memory < 6e9 and estimate(larger, Int8Options()).memory < 12e9
    assert exact.kept == pytest.approx(5.7e9, rel=0.1) and best.kept < exact.kept / 3 < best.disk
    assert "minutes" in str(best) and "GB of memory" in str(best)


def test_no_room_is_said_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = Estimate({"loading": 10.0}, 5_000_000_000, 3_000_000_000, 1_000_000_000)
    assert str(wanted) == ("about 10 seconds, 5.0 GB of memory and 3.0 GB of disk, of which the bundle keeps 1.0 GB")
    monkeypatch.setattr("rlaif_fast_export.estimate.memory.left", lambda: 2_000_000_000)
    with pytest.raises(ExportError, match=r"m: exporting it takes about 5\.0 GB of memory, 2\.0 GB are left; close"):
        wanted.require(tmp_path / "out", "m")
    monkeypatch.setattr("rlaif_fast_export.estimate.memory.left", lambda: None)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=10**9))
    with pytest.raises(ExportError, match=rf"about 3\.0 GB of disk, {tmp_path} has 1\.0 GB left; free some, or"):
        wanted.require(tmp_path / "not" / "there", "m")


def test_the_rest_is_told_by_what_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    steps, now = Steps(), [100.0]
    monkeypatch.setattr("rlaif_fast.reports.console.time.monotonic", lambda: now[0])
    assert steps._whole(0.5) == (None, "")
    steps.expect({"one": 100.0, "two": 300.0})
    steps("one", 0.0)
    assert steps._whole(0.0) == (0.0, "about 7 min left")
    now[0] += 50
    steps("two", 0.5)
    assert steps._whole(0.5) == (0.625, "about 30 s left"), "twice as fast as was expected"


def test_fast_is_said_rounds_to_the_nearest_and_is_followed_by_best_where_that_is_too_far(
    tiny_folder: Callable[[str], Path], tmp_path: Path, rlaif_fast: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {}
    for quality, most in (("fast", 1), ("best", 0.1)):
        done = rlaif_fast(
            "export", tiny_folder("llama"), "-o", tmp_path / quality, "--quality", quality, "--max-delta", most
        )
        assert done.status == 0, done.err
        line = r"^this takes about (\d0 seconds|\d+ minutes?), .* of disk, of which the bundle keeps 0\.0 GB$"
        assert re.search(line, done.err, re.M)
        found[quality] = read_manifest(tmp_path / quality)
    fast = found["fast"].passes
    assert fast["rounded_to_nearest"] > 0 and fast["int8_rows"] == fast["int8_float"] == 0
    assert found["best"].passes["rounded_to_nearest"] == 0
    errors = {quality: manifest.prompt.fidelity.mean for quality, manifest in found.items()}
    between = (errors["fast"] + errors["best"]) / 2
    assert errors["fast"] > between, "the next export refuses fast"
    monkeypatch.setattr(estimates, "PATIENCE", 0)
    options = ["--precision", "int8", "--max-delta", str(between), "-o", str(tmp_path / "auto")]
    auto = CliRunner().invoke(cli, ["export", str(tiny_folder("llama")), *options])
    assert auto.exit_code == 0, auto.output
    assert re.search("^quality: fast, since best takes about .*\nthis takes about", auto.stderr, re.M)
    assert re.search(r"^quality: best after all, since llama: int8 deviates .*\nthis takes about", auto.stderr, re.M)
    assert read_manifest(tmp_path / "auto").passes["rounded_to_nearest"] == 0
    wrong = rlaif_fast("export", tiny_folder("llama"), "--precision", "fp32", "--quality", "fast")
    assert wrong.status == 2 and "--quality, --calibrate and --max-delta are for --precision int8" in wrong.err

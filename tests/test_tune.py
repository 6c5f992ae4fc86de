"""The engine is chosen by measurement, remembered, and never against the bundle's limit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from rlaif_fast import Judge
from rlaif_fast.bench.tuning import _best, candidates, out_of_reach, tune, worthwhile
from rlaif_fast.bundle.folder import read_manifest, write_manifest
from rlaif_fast.bundle.manifest import MANIFEST
from rlaif_fast.bundle.prompt import LABEL_OFFSET
from rlaif_fast.errors import UnfaithfulError
from rlaif_fast.runtime.engine_choice import AUTO, Tried, Tuned, remember, remembered, resolve
from rlaif_fast.runtime.engines import DEFAULT, variants
from rlaif_fast.runtime.selftest import EXACT, FAITHFUL, error_limit
from rlaif_fast_export.writing.prompt_file import entry_of, write_prompt
from tests.conftest import ROOT, Run
from tests.manifests import with_prompt

ROWS = ROOT / "examples/pairs.jsonl"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RLAIF_FAST_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with onnxruntime only."""
    monkeypatch.setattr("rlaif_fast.runtime.engines.openvino.find_spec", lambda name: None)


def chose(folder: Path, engine: str) -> Tuned:
    tried = Tried(engine, str(folder), "fp32", 1.0, 1.0, 0.0, 0.0, "")
    return Tuned((tried,), 0, read_manifest(folder).digest, 1e-3)


def quiet(what: str, share: float) -> None:
    pass


def test_every_offer_is_tried_and_a_float32_bundle_stays_exact(llama: Path, home: Path) -> None:
    table = tune(llama, quiet)
    manifest = read_manifest(llama)
    assert [t.engine for t in table.tried] == [v.name for v in variants() if v.refusal(manifest) is None]
    assert table.tried[0].engine == DEFAULT and table.tried[0].ratio == 1.0
    for one in table.tried:
        assert one.max is not None and (one.refusal == "") == (one.max <= 1e-3)
    assert not table.choice.refusal
    assert table.choice.ratio == 1.0 or (table.choice.ratio or 2) <= 0.9


def test_a_larger_error_is_chosen_only_when_asked_for(llama: Path, home: Path) -> None:
    table = tune(llama, quiet, max_delta=10.0)
    assert not any(t.refusal for t in table.tried)


def _by(answer: tuple[float, float], shift: float) -> tuple[float, float]:
    return answer[0] + shift, answer[1] + shift


def test_the_default_is_held_to_its_own_answers(home: Path, tmp_path: Path, tiny_int8: Callable[[str], Path]) -> None:
    """Not to an error on a few probes, which another CPU's last bits move; unless a limit was named."""
    folder = Path(shutil.copytree(tiny_int8("llama"), tmp_path / "bundle"))
    manifest = read_manifest(folder)
    moved = [replace(p, answer=_by(p.answer, 0.05), reference=_by(p.answer, 0.4)) for p in manifest.prompt.probes]
    other = with_prompt(manifest, probes=tuple(moved), fidelity=replace(manifest.prompt.fidelity, mean=0.25))
    (folder / MANIFEST).write_text(other.to_json(), encoding="utf-8")
    table = tune(folder, quiet)
    assert table.tried[0].mean == pytest.approx(0.4) and table.limit == pytest.approx(0.35)
    assert not table.tried[0].refusal
    with pytest.raises(UnfaithfulError):
        tune(folder, quiet, max_delta=0.01)


def test_nothing_remembered_is_the_default_and_costs_no_file(llama: Path, home: Path) -> None:
    assert resolve(llama, AUTO) == (llama, DEFAULT)
    assert not home.exists()


def test_one_engine_is_not_worth_trying(llama: Path, home: Path, alone: None) -> None:
    assert not worthwhile(llama)


def test_what_was_chosen_is_taken_from_then_on(llama: Path, home: Path) -> None:
    remember(llama, chose(llama, "onnxruntime-flash"))
    assert remembered(llama) == chose(llama, "onnxruntime-flash")
    assert Judge.load(llama).engine == "onnxruntime-flash"
    assert Judge.load(llama, engine=DEFAULT).engine == DEFAULT


def test_another_machine_version_or_bundle_knows_nothing(
    llama: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_bundle: Callable[[str], Path]
) -> None:
    remember(llama, chose(llama, "onnxruntime-flash"))
    assert remembered(tiny_bundle("phi")) is None
    with monkeypatch.context() as limited:
        limited.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
        assert remembered(llama) is None
    with monkeypatch.context() as newer:
        newer.setattr("rlaif_fast.runtime.engine_choice.variants", lambda: variants()[:1])
        assert remembered(llama) is None
    assert remembered(llama) is not None


_EMPTY = '{"tried": [], "chosen": 0, "digest": "", "limit": 1}'


@pytest.mark.parametrize("content", ["", "{", "[]", '{"tried": []}', _EMPTY])
def test_a_torn_record_is_none(content: str, llama: Path, home: Path) -> None:
    remember(llama, chose(llama, DEFAULT))
    (record,) = (home / "engines").iterdir()
    record.write_text(content)
    assert remembered(llama) is None


def test_a_chosen_bundle_that_is_gone_is_not_chosen(
    llama: Path, home: Path, tmp_path: Path, tiny_int8: Callable[[str], Path]
) -> None:
    copy = Path(shutil.copytree(llama, tmp_path / "gone"))
    remember(tiny_int8("llama"), chose(copy, DEFAULT))
    assert resolve(tiny_int8("llama"), AUTO) == (copy, DEFAULT)
    shutil.rmtree(copy)
    assert resolve(tiny_int8("llama"), AUTO) == (tiny_int8("llama"), DEFAULT)


def unfaithful(folder: Path) -> None:
    """As a machine would find an int8 bundle that computes right where it was made, and not here."""
    manifest = read_manifest(folder)
    content = load((folder / manifest.prompt.path).read_bytes())
    content[LABEL_OFFSET] = content[LABEL_OFFSET] + np.array([-0.5, 0.5], np.float32)
    prompt = replace(manifest.prompt, file=entry_of(save(content)))
    write_prompt(folder, prompt, save(content))
    write_manifest(folder, replace(manifest, prompts=(prompt,)))


def test_where_nothing_fast_is_faithful_fp32_judges_and_it_is_said(
    llama: Path, tmp_path: Path, tiny_int8: Callable[[str], Path], rlaif_fast: Callable[..., Run]
) -> None:
    shutil.copytree(tiny_int8("llama"), tmp_path / "m-int8")
    unfaithful(tmp_path / "m-int8")
    run = ("judge", ROWS, "-b", tmp_path / "m-int8", "--engine", "auto")
    refused = rlaif_fast(*run, home=tmp_path / "home")
    assert refused.status == 1 and "export the model with --precision fp32 too" in refused.err.splitlines()[-1]
    shutil.copytree(llama, tmp_path / "m-fp32")
    done = rlaif_fast(*run, home=tmp_path / "home")
    assert done.status == 0, done.err
    assert "fp32: nothing faster is faithful on this machine" in done.err
    exact = rlaif_fast("judge", ROWS, "-b", tmp_path / "m-fp32", "--engine", DEFAULT, home=tmp_path / "home")
    for ours, theirs in zip(done.out.splitlines(), exact.out.splitlines(), strict=True):
        assert json.loads(ours)["p1"] == pytest.approx(json.loads(theirs)["p1"], abs=1e-3)
    again = rlaif_fast(*run, home=tmp_path / "home")
    assert again.out == done.out and "nothing faster" not in again.err


def test_the_command_shows_the_table_and_remembers(llama: Path, tmp_path: Path, rlaif_fast: Callable[..., Run]) -> None:
    done = rlaif_fast("tune", llama, home=tmp_path)
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].split() == ["engine", "bundle", "ms", "a", "pair", "of", "default", "mean", "error", "max", "error"]
    assert sum(" *" in line for line in lines) == 1
    assert lines[-1].startswith("chosen: ")
    assert len(list((tmp_path / "engines").iterdir())) == 1
    shown = rlaif_fast("inspect", llama, home=tmp_path).out
    assert "of onnxruntime's time" in " ".join(shown.split()) and ", chosen" in shown


def test_a_float32_bundle_that_is_made_later_is_tried(
    llama: Path, home: Path, tmp_path: Path, tiny_int8: Callable[[str], Path]
) -> None:
    fast = Path(shutil.copytree(tiny_int8("llama"), tmp_path / "m-int8"))
    rounding = [v.name for v in variants() if v.rounds and v.refusal(read_manifest(llama)) is None]
    assert out_of_reach(fast) == rounding and out_of_reach(llama) == []
    remember(fast, chose(fast, DEFAULT))
    assert remembered(fast) is not None
    shutil.copytree(llama, tmp_path / "m-fp32")
    assert remembered(fast) is None and out_of_reach(fast) == []
    assert {(c.variant.name, c.manifest.precision) for c in candidates(fast, asked=True)} >= {
        (name, "fp32") for name in rounding
    }


def test_bench_finds_out_once(llama: Path, home: Path, rlaif_fast: Callable[..., Run]) -> None:
    if not worthwhile(llama):
        pytest.skip("onnxruntime is the only engine of this machine")
    runs = [rlaif_fast("bench", ROWS, "-b", llama, "--limit", 1, "--engine", "auto", home=home) for _ in range(2)]
    assert [run.status for run in runs] == [0, 0], runs[0].err
    assert ["trying them on the bundle's probes, once" in run.err for run in runs] == [True, False]


def test_what_is_not_tried_is_said(
    llama: Path, tmp_path: Path, tiny_int8: Callable[[str], Path], rlaif_fast: Callable[..., Run]
) -> None:
    fast = Path(shutil.copytree(tiny_int8("llama"), tmp_path / "m-int8"))
    if not out_of_reach(fast):
        pytest.skip("no engine of this machine wants a float32 bundle")
    said = f"not tried: {', '.join(out_of_reach(fast))}; export the model with --precision fp32 too\n"
    assert rlaif_fast("tune", fast, home=tmp_path / "home").err.endswith(said)


def test_an_engines_limit_is_the_promise(tiny_int8: Callable[[str], Path], llama: Path) -> None:
    manifest = read_manifest(tiny_int8("llama"))
    none = replace(manifest.prompt.fidelity, mean=0.0)
    probes = tuple(replace(p, answer=p.reference) for p in manifest.prompt.probes)
    right = with_prompt(manifest, fidelity=none, probes=probes)
    assert error_limit(right) == FAITHFUL, "whatever bfloat16 does"
    assert error_limit(with_prompt(right, fidelity=replace(none, mean=0.2))) == 0.2, "what the bundle itself has"
    assert error_limit(read_manifest(llama)) == EXACT


@pytest.mark.parametrize(
    ("ratios", "rounding", "best"),
    [
        ({0: 1.0, 1: 0.95}, set(), 0),  # a tenth faster, or not worth another engine
        ({0: 1.0, 1: 0.85}, set(), 1),
        ({0: 1.0, 1: 1.08}, {0}, 1),  # exact, and nearly as fast
        ({0: 1.0, 1: 1.12}, {0}, 0),
        ({0: 1.0, 1: 0.5, 2: 0.54}, {0, 1}, 2),
        ({0: 1.0, 1: 0.5, 2: 0.6}, {0, 1}, 1),
        ({0: 1.0, 1: 0.95, 2: 1.5}, {1}, 0),
        ({1: 1.0}, {1}, 1),
        ({0: 1.0, 1: 0.84, 2: 0.92}, {1}, 2),  # near the fastest, if not the default
    ],
)
def test_exactness_is_worth_a_tenth(ratios: dict[int, float], rounding: set[int], best: int) -> None:
    assert _best(ratios, rounding) == best


def test_a_run_is_not_taken_up_by_another_engine(llama: Path, tmp_path: Path, rlaif_fast: Callable[..., Run]) -> None:
    out = tmp_path / "out.jsonl"
    shutil.copy(ROWS, tmp_path / "rows.jsonl")
    with open(tmp_path / "rows.jsonl", "a") as stream:
        stream.write('{"instruction": "x"}\n')
    # A row at a time, so that some are judged before the bad one is read.
    command = ("judge", "-", "-b", llama, "-o", out, "--window", 1)
    stopped = rlaif_fast(*command, "--engine", DEFAULT, stdin=(tmp_path / "rows.jsonl").read_bytes())
    assert stopped.status == 1 and (tmp_path / "out.jsonl.journal").exists()
    other = rlaif_fast(*command, "--engine", "onnxruntime-flash", stdin=ROWS.read_bytes())
    assert other.status == 1 and "engine" in other.err

"""The engine is chosen by measurement, remembered, and never against the bundle's limit."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from rlaif_fast import Judge
from rlaif_fast.bench.first_trial import try_both, worthwhile
from rlaif_fast.bench.tuning import candidates, choose, out_of_reach, reason, tune
from rlaif_fast.bundle.folder import read_manifest, write_manifest
from rlaif_fast.bundle.manifest import MANIFEST, Manifest
from rlaif_fast.bundle.prompt import LABEL_OFFSET
from rlaif_fast.commands.tune import settled
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


def test_one_bundle_is_not_worth_trying(llama: Path, home: Path, tiny_int8: Callable[[str], Path]) -> None:
    """Whatever engines there are: those are tried by `tune` alone."""
    assert not worthwhile(llama) and not worthwhile(tiny_int8("llama"))


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


def test_where_int8_is_not_faithful_fp32_judges_and_it_is_said(
    llama: Path, tmp_path: Path, tiny_int8: Callable[[str], Path], rlaif_fast: Callable[..., Run]
) -> None:
    fast, home = tmp_path / "m-int8", tmp_path / "home"
    shutil.copytree(tiny_int8("llama"), fast)
    unfaithful(fast)
    run = ("judge", ROWS, "-b", fast, "--engine", "auto")
    refused = rlaif_fast(*run, home=home)
    assert refused.status == 1
    assert refused.err.endswith("export the model again on this machine or with --precision fp32\n")
    shutil.copytree(llama, tmp_path / "m-fp32")
    said = f"{fast} does not answer here as it did where it was exported: judging with the fp32 bundle\n"
    first = rlaif_fast(*run, home=home)
    assert first.status == 0, first.err
    assert first.err.startswith("the model has an int8 and an fp32 bundle"), "and whichever was faster"
    remember_here(home, fast, chose(fast, DEFAULT))
    done = rlaif_fast(*run, home=home)
    assert done.status == 0, done.err
    assert done.err.startswith(said) and done.out == first.out
    exact = rlaif_fast("judge", ROWS, "-b", tmp_path / "m-fp32", "--engine", DEFAULT, home=home)
    assert done.out == exact.out
    named = rlaif_fast(*run[:-1], DEFAULT, home=home)
    assert named.status == 1 and "answers the bundle's probes differently" in named.err


def remember_here(home: Path, folder: Path, table: Tuned) -> None:
    with pytest.MonkeyPatch.context() as moved:
        moved.setenv("RLAIF_FAST_HOME", str(home))
        remember(folder, table)


def test_a_choice_that_another_prompt_does_not_bear_is_not_taken(
    llama: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """`tune` goes by the first prompt: through another one the engine it chose may be off."""
    from rlaif_fast.runtime import selftest

    remember(llama, chose(llama, "onnxruntime-flash"))
    real = selftest.run_once

    def run_once(manifest: Manifest, answer: selftest.Answer, engine: str = DEFAULT) -> None:
        if engine != DEFAULT:
            raise UnfaithfulError("off")
        real(manifest, answer, engine)

    monkeypatch.setattr("rlaif_fast.judging.session.selftest.run_once", run_once)
    assert Judge.load(llama).engine == DEFAULT
    said = "onnxruntime-flash, which tune chose, is not faithful here; onnxruntime judges\n"
    assert capfd.readouterr().err == f"{read_manifest(llama).name}: {said}"
    with pytest.raises(UnfaithfulError, match="off"):
        Judge.load(llama, engine="onnxruntime-flash")


def test_the_command_shows_the_table_and_remembers(llama: Path, tmp_path: Path, rlaif_fast: Callable[..., Run]) -> None:
    done = rlaif_fast("tune", llama, home=tmp_path)
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].split() == [
        "engine",
        "bundle",
        "ms",
        "a",
        "pair",
        "time",
        "/",
        "default",
        "mean",
        "error",
        "max",
        "error",
    ]
    assert sum(" *" in line for line in lines) == 1
    assert re.fullmatch(r"chosen: onnxruntime\S* on the fp32 bundle(: it is .+)?|chosen: openvino on .+", lines[-1])
    times = [line.replace(" *", "").split() for line in lines[1:] if re.match(r"\S+( \*)? +fp32 ", line)]
    default = float(times[0][2])
    for _, _, ms, ratio, *_ in times:
        assert float(ms) == pytest.approx(default * float(ratio), rel=0.02, abs=0.06), "one scale for all rows"
    assert len(list((tmp_path / "engines").iterdir())) == 1
    shown = rlaif_fast("inspect", llama, "--verbose", home=tmp_path).out
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
    assert {(c.variant.name, c.manifest.precision) for c in candidates(fast)} >= {(name, "fp32") for name in rounding}


TRIED = (
    "the model has an int8 and an fp32 bundle: trying which judges faster here, once, 10 s at most\n"
    r"  trying the int8 bundle: \d+\.\d s\n"
    r"  trying the fp32 bundle: \d+\.\d s\n"
    r"chosen: the (int8|fp32) bundle[:;] (exact, and|the fp32 one) takes \d+\.\d\d times as long( as the int8 one)?"
    r" \(`rlaif-fast tune .*m-int8` tries every engine\)\n"
)


def test_two_bundles_are_tried_once(both: Path, tmp_path: Path, rlaif_fast: Callable[..., Run]) -> None:
    """And trying, loading and judging are timed apart."""
    run = ("judge", ROWS, "-b", both, "--engine", "auto", "--limit", 1, "-v")
    first, again = (rlaif_fast(*run, home=tmp_path / "home") for _ in range(2))
    loaded = r"\S+ \((int8|fp32), summary\), loaded in \d+\.\d\d s\nonnxruntime [^\n]*\n(.*\n)+"
    judged = r"1 pair, 1 judged, same position \d+\.\d %, \d+\.\d\d pairs/s, judged in \d+\.\d s\n"
    assert re.fullmatch(TRIED + loaded + judged, first.err), first.err
    assert re.fullmatch(loaded + judged, again.err), again.err
    assert first.out == again.out


def test_a_damaged_float32_bundle_does_not_stop_the_other(
    both: Path, tmp_path: Path, rlaif_fast: Callable[..., Run]
) -> None:
    weights = both.with_name("m-fp32") / "model.onnx.data"
    weights.write_bytes(weights.read_bytes()[::-1])
    done = rlaif_fast("judge", ROWS, "-b", both, "--engine", "auto", "--limit", 1, home=tmp_path / "home")
    assert done.status == 0, done.err
    assert "chosen: the int8 bundle; the fp32 one was refused: " in done.err


def test_a_trial_that_would_take_longer_is_left_out(
    both: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    steps: list[str] = []
    table = try_both(both, lambda what, share: steps.append(what), seconds=0)
    assert steps == ["trying the int8 bundle"]
    assert table.choice.precision == "int8" and table.tried[1].refusal == "not tried: it would take more than 0 s"
    monkeypatch.setattr("rlaif_fast.bench.first_trial._BYTES", 1)
    steps.clear()
    assert try_both(both, lambda what, share: steps.append(what)).chosen == 0 and not steps
    assert settled(both, AUTO, 0, "summary") == (both, DEFAULT)
    said = (
        f"chosen: the int8 bundle; the fp32 one was not tried: it would take more than 10 s (`rlaif-fast tune {both}`"
    )
    assert said in capfd.readouterr().err
    assert settled(both, AUTO, 0, "summary") == (both, AUTO) and capfd.readouterr().err == ""


@pytest.fixture
def both(llama: Path, tmp_path: Path, tiny_int8: Callable[[str], Path]) -> Path:
    """The int8 bundle of a model whose float32 bundle is beside it."""
    shutil.copytree(llama, tmp_path / "m-fp32")
    return Path(shutil.copytree(tiny_int8("llama"), tmp_path / "m-int8"))


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
    assert choose(ratios, rounding) == best


@pytest.mark.parametrize(
    ("times", "chosen", "why"),
    [
        ((1.0, 0.8), 1, ""),
        ((1.0, 1.2), 0, ""),
        ((1.0, 0.95), 0, "it is the default, and another one is taken only where it takes 10 % less time"),
        (
            (1.0, 0.8, 0.85),
            2,
            "it is exact to float32's last digits, and takes at most 10 % more time than the fastest",
        ),
    ],
)
def test_a_row_that_is_not_the_fastest_is_explained(times: tuple[float, ...], chosen: int, why: str) -> None:
    tried = tuple(Tried(f"e{n}", "", "int8", 100 * ratio, ratio, 0.0, 0.0, "") for n, ratio in enumerate(times))
    refused = Tried("e9", "", "int8", 1.0, 0.01, 9.0, 9.0, "mean error 9")
    assert reason(Tuned((*tried, refused), chosen, "", 0.03)) == why


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

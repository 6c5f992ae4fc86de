"""The bench: its figures recomputed, its gates shut, its page alone. No test looks at how long anything took."""

from __future__ import annotations

import json
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from rlaif_fast import Judge, RlaifFastError
from rlaif_fast.bench import gate, measure
from rlaif_fast.bench import run as run_module
from rlaif_fast.bench.html import to_html
from rlaif_fast.bench.report import Report
from rlaif_fast.commands.bench import bench
from tests.conftest import ROOT

EXAMPLES = ROOT / "examples" / "pairs.jsonl"
PAIRS, REPEAT = 3, 2


@dataclass
class Finished:
    """A run of the command with everything it wrote."""

    report: Report
    json: dict
    markdown: str
    html: str
    stdout: str


@pytest.fixture(scope="module")
def finished(llama: Path, tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("bench")
    kept: list[Report] = []
    measured = run_module.run

    def keep(plan: run_module.Plan, progress: measure.Progress) -> Report:
        kept.append(measured(plan, progress))
        return kept[-1]

    files = {name: folder / f"report.{name}" for name in ("json", "markdown", "html")}
    outputs = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "run", keep)
        done = CliRunner().invoke(
            bench,
            [str(EXAMPLES), "-b", str(llama), "--reference", str(tiny_folder("llama")), "--limit", str(PAIRS),
             "--repeat", str(REPEAT), "--threads", "1", "--max-worst-delta", "0.001", "--max-flips", "0", *outputs],
            catch_exceptions=False,
        )  # fmt: skip
    assert done.exit_code == 0, done.output
    texts = {name: path.read_text(encoding="utf-8") for name, path in files.items()}
    return Finished(kept[0], json.loads(texts["json"]), texts["markdown"], texts["html"], done.stdout)


@pytest.fixture
def again(
    finished: Finished, monkeypatch: pytest.MonkeyPatch, llama: Path, tiny_folder: Callable[[str], Path]
) -> Callable[..., Result]:
    """The command with other thresholds, over the figures already measured (or a changed report)."""
    beside = ["--reference", str(tiny_folder("llama"))]
    measured = ["--limit", str(PAIRS), "--threads", "1"]

    def invoke(*arguments: object, report: Report = finished.report, reference: bool = True) -> Result:
        monkeypatch.setattr(run_module, "run", lambda plan, progress: report)
        return CliRunner().invoke(
            bench, [str(EXAMPLES), "-b", str(llama), *measured, *beside * reference, *map(str, arguments)]
        )

    return invoke


def _lines(done: Result) -> list[str]:
    """What the command said on standard error, the steps' seconds aside."""
    return [line for line in done.stderr.splitlines() if line.startswith("error: ")]


def test_json_says_what_was_run(finished: Finished, llama: Path) -> None:
    found = finished.json
    assert set(found) == {
        "schema", "date", "command", "machine", "versions", "bundle", "reference", "set", "latency",
        "reference_latency", "speedup", "grouped", "work", "fresh", "reference_fresh", "agreement", "warnings", "pairs",
    }  # fmt: skip
    assert set(found["machine"]) >= {"cpu", "architecture", "system", "cores", "threads", "load_average"}
    assert found["machine"]["threads"] == 1
    assert set(found["versions"]) == {
        "rlaif-fast", "python", "onnxruntime", "numpy", "tokenizers", "torch", "transformers",
    }  # fmt: skip
    assert (found["set"]["source"], found["set"]["pairs"], found["set"]["repeat"]) == ("pairs.jsonl", PAIRS, REPEAT)
    assert found["command"].startswith("rlaif-fast bench ") and "--repeat 2" in found["command"]
    assert found["pairs"]["id"] == [json.loads(line)["id"] for line in EXAMPLES.read_text().splitlines()[:PAIRS]]
    assert found["bundle"]["precision"] == "fp32" and found["bundle"]["weights_sha256"]


def test_times_are_those_of_the_pairs(finished: Finished) -> None:
    found = finished.json
    ours, theirs = (np.array(found["pairs"][f"{side}_ms"]) for side in ("bundle", "reference"))
    assert ours.shape == theirs.shape == (PAIRS, REPEAT) and ours.min() > 0 and theirs.min() > 0
    for times, latency in ((ours, found["latency"]), (theirs, found["reference_latency"])):
        assert latency["median_ms"] == pytest.approx(sum(sorted(times.ravel())[2:4]) / 2)
        assert latency["p90_ms"] == pytest.approx(np.percentile(times, 90))
        assert latency["p99_ms"] == pytest.approx(np.percentile(times, 99))
        assert latency["pairs_per_s"] == pytest.approx(1000 * times.size / times.sum())
    assert found["speedup"]["of_medians"] == pytest.approx(np.median(theirs) / np.median(ours))
    prompts = sum(found["pairs"]["prompt_tokens"])
    assert found["latency"]["prompt_tokens_per_s"] == pytest.approx(1000 * prompts * REPEAT / ours.sum())
    assert found["reference_latency"]["computed_tokens_per_s"] == pytest.approx(1000 * prompts * REPEAT / theirs.sum())


def test_work_is_the_manifests_cost_of_the_packed_trees(finished: Finished, llama: Path) -> None:
    judge = Judge.load(llama)
    pairs = run_module.read_set(str(EXAMPLES), PAIRS).pairs
    cost, prefix = judge.manifest.cost, len(judge.manifest.prompt.prefix_ids)
    operations = 0
    for pair, packed, whole in zip(
        pairs, finished.report.pairs.computed_tokens, finished.report.pairs.prompt_tokens, strict=True
    ):
        forward, swapped = judge.prompt_tokens(pair)
        shared = next(i for i, (a, b) in enumerate(zip(forward, swapped, strict=False)) if a != b)
        assert whole == len(forward) + len(swapped)
        assert packed == len(forward) + len(swapped) - shared - prefix
        operations += 2 * packed * (cost.per_token + (prefix + packed) * cost.per_token_pair)
    work, seconds = finished.json["work"], np.sum(finished.json["pairs"]["bundle_ms"]) / 1e3
    assert work["gop_per_pair"] == pytest.approx(operations / PAIRS / 1e9)
    assert work["gops"] == pytest.approx(operations * REPEAT / seconds / 1e9)
    assert work["share_of_rate"] == pytest.approx(work["gops"] / work["rate_gops"])


def test_agreement_is_what_numpy_finds(finished: Finished) -> None:
    found = finished.json["agreement"]
    ours, theirs = (np.array(finished.json["pairs"][f"{side}_log_odds"]) for side in ("bundle", "reference"))
    difference = np.abs(ours - theirs).ravel()
    assert found["mean"] == pytest.approx(difference.sum() / difference.size)
    assert found["max"] == difference.max()
    assert found["p99"] == pytest.approx(np.percentile(difference, 99))
    a, b = ours.mean(1), theirs.mean(1)
    r = ((a - a.mean()) * (b - b.mean())).sum() / np.sqrt(((a - a.mean()) ** 2).sum() * ((b - b.mean()) ** 2).sum())
    assert found["r"] == pytest.approx(r)
    assert sum(bin_["pairs"] for bin_ in found["by_margin"]) == PAIRS
    assert found["flips"] == 0


def test_the_reference_is_pytorch_on_the_same_prompts(
    finished: Finished, llama: Path, tiny_folder: Callable[[str], Path]
) -> None:
    from rlaif_fast_export.sources.source import find_source
    from tests.plain_pytorch import reference_log_odds

    judge, lm = Judge.load(llama), find_source(str(tiny_folder("llama"))).model()
    for pair, (forward, swapped) in zip(
        run_module.read_set(str(EXAMPLES), PAIRS).pairs, finished.report.pairs.reference_log_odds, strict=True
    ):
        want = reference_log_odds(lm, judge.prompt_tokens(pair), judge.manifest.prompt.label_ids)
        assert [forward, -swapped] == pytest.approx(list(want), abs=1e-5)


def test_thresholds_that_are_met_leave_status_0(again: Callable[..., Result]) -> None:
    done = again("--min-speedup", "0", "--max-flips", "0", "--max-worst-delta", "1")
    assert (done.exit_code, _lines(done)) == (0, [])


def test_each_missed_threshold_is_a_line_and_status_1(finished: Finished, again: Callable[..., Result]) -> None:
    assert finished.report.agreement is not None and finished.report.speedup is not None
    report = replace(
        finished.report,
        agreement=replace(finished.report.agreement, flips=1, flip_share=1 / 3, max=0.25),
        speedup=replace(finished.report.speedup, of_medians=1.5),
    )
    for arguments, line in (
        (("--min-speedup", "2"), "error: speedup 1.500 is below --min-speedup 2"),
        (("--max-flips", "0.1"), "error: 1 of 3 labels flipped, a share of 0.3333, over --max-flips 0.1"),
        (("--max-worst-delta", "0.2"), "error: a log-odds differs by 0.25, over --max-worst-delta 0.2"),
    ):
        done = again(*arguments, report=report)
        assert (done.exit_code, _lines(done)) == (1, [line])
    done = again("--max-delta", "0.2", report=report)  # what it was called
    assert (done.exit_code, _lines(done)) == (1, ["error: a log-odds differs by 0.25, over --max-worst-delta 0.2"])
    done = again("--min-speedup", "2", "--max-flips", "0.1", "--max-worst-delta", "0.2", report=report)
    assert (done.exit_code, len(_lines(done))) == (1, 3)


def test_a_difference_that_is_no_number_misses_its_threshold(finished: Finished) -> None:
    broken = replace(finished.report, agreement=replace(finished.report.agreement, max=float("nan")))
    assert len(gate.failures(broken, gate.Thresholds(max_worst_delta=1e9))) == 1


def test_thresholds_need_what_they_compare_with(again: Callable[..., Result]) -> None:
    for arguments, said in (
        (("--min-speedup", "2"), "--reference MODEL"),
        (("--max-worst-delta", "0"), "--reference MODEL"),
        (("--baseline", "x.json"), "need each other"),
        (("--max-regression", "0.1"), "need each other"),
    ):
        done = again(*arguments, reference=False)
        assert done.exit_code == 2 and said in done.stderr


def _baseline(finished: Finished, path: Path, **changes: object) -> Path:
    raw = json.loads(json.dumps(finished.json))
    for dotted, value in changes.items():
        at = raw
        *parents, last = dotted.split("__")
        for name in parents:
            at = at[name]
        at[last] = value
    path.write_text(json.dumps(raw))
    return path


def test_a_regression_against_the_baseline_is_status_1(
    finished: Finished, again: Callable[..., Result], tmp_path: Path
) -> None:
    same = _baseline(finished, tmp_path / "same.json")
    done = again("--baseline", same, "--max-regression", "0")
    assert (done.exit_code, _lines(done)) == (0, [])
    faster = finished.json["speedup"]["of_medians"] * 1.5
    done = again("--baseline", _baseline(finished, tmp_path / "a.json", speedup__of_medians=faster),
                 "--max-regression", "0.2")  # fmt: skip
    assert done.exit_code == 1 and len(_lines(done)) == 1
    assert _lines(done)[0].startswith("error: speedup ") and "by 0.500, over --max-regression 0.2" in _lines(done)[0]
    leaner = finished.json["fresh"]["peak_mb"] / 2
    done = again("--baseline", _baseline(finished, tmp_path / "b.json", fresh__peak_mb=leaner),
                 "--max-regression", "0.2")  # fmt: skip
    assert done.exit_code == 1 and [line.split()[1:3] for line in _lines(done)] == [["peak", "memory"]]


def test_without_a_reference_the_latency_is_compared(finished: Finished, tmp_path: Path) -> None:
    quick = finished.json["latency"]["median_ms"] / 3
    path = _baseline(finished, tmp_path / "old.json", speedup=None, latency__median_ms=quick)
    limits = gate.Thresholds(max_regression=0.5, baseline=gate.read_baseline(path))
    alone = replace(finished.report, speedup=None, reference_latency=None, agreement=None)
    assert [line.split(" is ")[0].split()[:2] for line in gate.failures(alone, limits)] == [["median", "latency"]]


def test_a_baseline_of_something_else_is_refused(finished: Finished, tmp_path: Path) -> None:
    old = gate.read_baseline(_baseline(finished, tmp_path / "old.json"))
    here = (old.cpu, old.threads, old.pairs_sha256)
    old.require_comparable(*here, False)
    with pytest.raises(RlaifFastError, match="other pairs"):
        old.require_comparable(old.cpu, old.threads, "0", True)
    with pytest.raises(RlaifFastError, match="with 1 threads, this run has 8"):
        old.require_comparable(old.cpu, 8, old.pairs_sha256, True)
    with pytest.raises(RlaifFastError, match="another CPU"):
        old.require_comparable("an abacus", old.threads, old.pairs_sha256, False)
    old.require_comparable("an abacus", old.threads, old.pairs_sha256, True)


def test_a_file_that_is_no_baseline_is_refused(finished: Finished, tmp_path: Path) -> None:
    path = tmp_path / "no.json"
    for text in ("", "[]", '{"schema": 99}', '{"schema": 1}', '{"schema": 1, "machine": 3}'):
        path.write_text(text)
        with pytest.raises(RlaifFastError, match=r"no\.json: "):
            gate.read_baseline(path)
    with pytest.raises(RlaifFastError, match="no complete report"):
        gate.read_baseline(_baseline(finished, path, latency__median_ms=0))
    with pytest.raises(RlaifFastError, match="cannot be read"):
        gate.read_baseline(tmp_path / "none.json")


def test_the_page_is_well_formed_and_loads_nothing(finished: Finished) -> None:
    page = ET.fromstring(finished.html)
    names = {element.tag.rpartition("}")[2] for element in page.iter()}
    assert names.isdisjoint({"script", "link", "img", "iframe", "image", "use", "object"})
    assert not [name for e in page.iter() for name in e.attrib if name.rpartition("}")[2] in ("src", "href")]
    assert not re.search(r"url\(|@import", finished.html)
    addresses = set(re.findall(r"https?://[^\"' <]+", finished.html))
    assert addresses <= {"http://www.w3.org/1999/xhtml", "http://www.w3.org/2000/svg"}  # names, not loaded
    plots = [e for e in page.iter() if e.tag.endswith("}svg")]
    assert [p.attrib["aria-label"] for p in plots] == [
        "Latency", "Log-odds against the reference", "Flips by margin",
    ]  # fmt: skip
    assert sum(e.tag.endswith("}circle") for e in plots[1].iter()) == PAIRS
    assert "prefers-color-scheme: dark" in finished.html


def test_the_page_shows_flips_and_escapes_what_others_wrote(finished: Finished) -> None:
    arrays = finished.report.pairs
    report = replace(
        finished.report,
        bundle={**finished.report.bundle, "model": "<script>alert(1)</script>"},
        pairs=replace(
            arrays,
            id=["<b>", "\x00\ud800", "]]>"],
            bundle_log_odds=[[-d for d in odds] for odds in arrays.reference_log_odds],
        ),
    )
    page = ET.fromstring(to_html(report).encode())
    assert not [e for e in page.iter() if e.tag.endswith("}script")]
    plot = next(e for e in page.iter() if e.attrib.get("aria-label") == "Log-odds against the reference")
    (crosses,) = [e for e in plot.iter() if e.attrib.get("class") == "cross"]
    titles = [e.text or "" for e in crosses.iter() if e.tag.endswith("}title")]
    assert [title.partition(":")[0] for title in titles] == ["<b>", "  ", "]]>"]


def test_without_a_reference_the_page_has_the_one_plot(finished: Finished) -> None:
    alone = replace(
        finished.report, reference=None, reference_latency=None, speedup=None, reference_fresh=None, agreement=None,
        pairs=replace(finished.report.pairs, reference_ms=None, reference_log_odds=None),
    )  # fmt: skip
    plots = [e for e in ET.fromstring(to_html(alone)).iter() if e.tag.endswith("}svg")]
    assert len(plots) == 1
    assert [table.columns for table in alone.tables()] == [["bundle"]]


def test_the_tables_are_the_same_everywhere(finished: Finished) -> None:
    for table in finished.report.tables():
        for name, *cells in table.rows:
            row = "| " + " | ".join(cell.replace("|", "\\|") for cell in (name, *cells)) + " |"
            assert row in finished.markdown.splitlines()
            assert all(cell in finished.stdout for cell in cells)
    assert finished.report.command in finished.markdown


def test_what_cannot_be_measured_is_said_before_anything_is(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: str) -> str:
        done = CliRunner().invoke(bench, [*arguments, "-b", str(llama)])
        assert isinstance(done.exception, RlaifFastError), done.output
        return str(done.exception)

    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    assert refused(str(empty)) == f"{empty}: no rows; give pairs to measure"
    assert "no does not exist, make it" in refused(str(EXAMPLES), "--json", str(tmp_path / "no" / "x.json"))
    assert "no folder, no .gguf file" in refused(str(EXAMPLES), "--reference", "no such model")
    monkeypatch.setitem(sys.modules, "rlaif_fast_export.sources.source", None)
    assert "pip install 'rlaif-fast[export]'" in refused(str(EXAMPLES), "--reference", "m")


def test_pairs_are_read_as_judge_reads_them(tmp_path: Path) -> None:
    rows = tmp_path / "rows.txt"
    rows.write_text(json.dumps({"q": "Why?", "answers": ["So.", "No."], "context": "a text"}) + "\n")
    fields = "instruction=q,response_0=answers.0,response_1=answers.1"
    (pair,) = run_module.read_set(str(rows), None, "jsonl", fields, carry=["context"]).pairs
    assert (pair.instruction, pair.response_0, pair.response_1) == ("Why?", "So.", "No.")
    assert pair.carried["context"] == "a text"

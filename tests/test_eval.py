"""``rlaif-fast eval`` as people call it: a process, a real bundle, files in and out."""

from __future__ import annotations

import json
import math
import random
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SHARED_DATA, Run
from tests.slow_alignment import worst
from tests.verdicts import Row, random_rows, verdict_row, write_rows

Cli = Callable[..., Run]
SVG = "{http://www.w3.org/2000/svg}"


def labelled_pairs(count: int = 60) -> list[Row]:
    draw = random.Random(5)
    words = ["fox", "wizard", "jam", "lazy dog", "coherent", "main idea"]
    return [
        {"id": f"p{n}", "instruction": f"Text {n % 45}: " + " ".join(draw.choices(words, k=6)), "response_0": f"A {n}.",
         "response_1": " ".join(draw.choices(words, k=3)), "label": draw.randrange(2),
         "task": draw.choice(["helpful", "harmless"])}
        for n in range(count)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def work(llama: Path, tmp_path_factory: pytest.TempPathFactory, rlaif_fast: Cli) -> Path:
    """A folder with labelled pairs, their verdicts, and an eval of the pairs with everything it writes."""
    folder = tmp_path_factory.mktemp("eval")
    write_rows(folder / "pairs.jsonl", labelled_pairs())
    done = rlaif_fast("judge", folder / "pairs.jsonl", "-b", llama, "-o", folder / "verdicts.jsonl")
    assert done.status == 0, done.err
    done = rlaif_fast(
        "eval", folder / "pairs.jsonl", "-b", llama, "--json", folder / "eval.json", "--html", folder / "eval.html",
        "--fit", folder / "calibration.json",
    )  # fmt: skip
    assert done.status == 0, done.err
    assert re.search(
        r"^60 pairs, 60 judged, same position \S+ %, \S+ pairs/s, judged in \S+ s$", done.err, re.MULTILINE
    )
    (folder / "table.txt").write_text(done.out)
    return folder


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)


def read_rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_pairs_judged_on_the_way_have_the_figures_of_their_verdicts(work: Path) -> None:
    report = read(work / "eval.json")
    rows = read_rows(work / "verdicts.jsonl")
    place, difference, compared = worst(rows, report)
    assert difference < 1e-6 and compared > 300, place
    right = [row["label"] - 1 == row["human_label"] for row in rows]
    assert report["accuracy"]["value"] == sum(right) / len(right)
    assert report["accuracy"]["interval"][0] < report["accuracy"]["value"] < report["accuracy"]["interval"][1]
    assert report["source"] == "pairs.jsonl" and report["judge"]["name"] and report["schema"] == 1


def test_verdicts_have_the_same_report(work: Path, llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    done = rlaif_fast("eval", work / "verdicts.jsonl", "--json", tmp_path / "eval.json")
    assert done.status == 0, done.err
    found, wanted = read(tmp_path / "eval.json"), read(work / "eval.json")
    assert found["judge"] is None and found["fit"] is None
    for name in wanted.keys() - {"source", "command", "judge", "fit"}:
        assert found[name] == wanted[name], name
    piped = rlaif_fast("eval", "-", stdin=(work / "verdicts.jsonl").read_bytes())
    assert piped.out.split("\n", 1)[1] == done.out.split("\n", 1)[1]


@pytest.mark.parametrize("kind", ["csv", "parquet", "json.gz"])
def test_verdicts_in_any_format(kind: str, work: Path, llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    done = rlaif_fast("judge", work / "pairs.jsonl", "-b", llama, "-o", tmp_path / f"v.{kind}")
    assert done.status == 0, done.err
    done = rlaif_fast("eval", tmp_path / f"v.{kind}", "--json", tmp_path / "eval.json")
    assert done.status == 0, done.err
    found, wanted = read(tmp_path / "eval.json"), read(work / "eval.json")
    assert (found["accuracy"], found["by_task"], found["arrays"]) == (
        wanted["accuracy"], wanted["by_task"], wanted["arrays"],
    )  # fmt: skip


def test_the_terminal_shows_every_figure(work: Path) -> None:
    said, report = (work / "table.txt").read_text(), read(work / "eval.json")
    for name in ("agreement with human labels (accuracy)", "Cohen's kappa", "baseline: pick the longer",
                 "baseline: always response_0", "same position in both orders", "consistent",
                 "expected calibration error", "Brier score", "log loss", "by task", "by margin", "by coverage",
                 "at most 5 % disagreement", "at most 10 % disagreement", "calibration: temperature"):  # fmt: skip
        assert name in said
    accuracy, ece = report["accuracy"], report["ece"]
    line = next(line for line in said.splitlines() if line.startswith("agreement with human labels"))
    assert re.findall(r"[\d.]+ %", line) == [f"{100 * x:.1f} %" for x in (accuracy["value"], *accuracy["interval"])]
    assert f"{ece['value']:.4f}" in next(line for line in said.splitlines() if line.startswith("expected calib"))
    assert "60 pairs, 60 instructions" in said and "warning: 60 pairs are few" in said


# The page


def test_the_page_is_whole_in_itself(work: Path) -> None:
    text = (work / "eval.html").read_text(encoding="utf-8")
    page = ET.fromstring(text.removeprefix("<!DOCTYPE html>\n"))
    tags = {element.tag.rpartition("}")[2] for element in page.iter()}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "image", "use", "foreignObject"}
    for element in page.iter():
        assert not {"src", "href", "srcset", "onload"} & {name.rpartition("}")[2] for name in element.attrib}
        assert element.tag.startswith(SVG) or "style" not in element.attrib
    assert set(re.findall(r"https?://[^\"' <]*", text)) == {
        "http://www.w3.org/1999/xhtml",
        "http://www.w3.org/2000/svg",
    }
    assert "url(" not in text and "@import" not in text and "default-src 'none'" in text


def test_the_page_is_for_light_and_dark(work: Path) -> None:
    text = (work / "eval.html").read_text(encoding="utf-8")
    style = text.partition("<style>")[2].partition("</style>")[0]
    light, _, dark = style.partition("@media (prefers-color-scheme: dark)")
    names = [set(re.findall(r"(--\w+): *#", part)) for part in (light, dark.partition("} }")[0])]
    assert names[0] == names[1] and len(names[0]) >= 7
    assert set(re.findall(r"var\((--\w+)\)", text)) <= names[0]
    assert "color-scheme: light dark" in style and '<meta name="color-scheme" content="light dark"/>' in text
    body = text.partition("</style>")[2]
    assert not re.findall(r"(?:fill|stroke|color)=\"|#[0-9a-fA-F]{3,8}\b|rgb", body), "colours are variables"


def test_the_page_shows_the_plots(work: Path) -> None:
    page = ET.fromstring((work / "eval.html").read_text(encoding="utf-8").removeprefix("<!DOCTYPE html>\n"))
    report = read(work / "eval.json")
    plots = {plot.get("aria-label"): plot for plot in page.iter(f"{SVG}svg")}
    assert set(plots) == {"Reliability diagram", "Distribution of p1 by order", "Forward against swapped order",
                          "Accuracy by coverage"}  # fmt: skip

    def marks(plot: str, css: str) -> int:
        groups = [group for group in plots[plot].iter() if group.get("class") == css]
        return sum(mark.find(f"{SVG}title") is not None for group in groups for mark in group.iter())

    right = round(report["accuracy"]["value"] * report["pairs"])
    assert marks("Forward against swapped order", "dot") == right
    assert marks("Forward against swapped order", "cross") == report["pairs"] - right
    assert marks("Reliability diagram", "dot") == sum(bin_["pairs"] > 0 for bin_ in report["reliability"])
    assert {"curve", "band"} <= {mark.get("class") for mark in plots["Accuracy by coverage"].iter()}


def test_hostile_texts_stay_texts(tmp_path: Path, rlaif_fast: Cli) -> None:
    path = tmp_path / "<script>alert(1)&\x1b[31m.jsonl"
    rows = [verdict_row(f"<b>\x07&{n}", [0.6 + n / 100, 0.5 + n / 50], n % 2, task="</td><script>") for n in range(12)]
    write_rows(path, [*rows, verdict_row("x", [0.5, 0.4], 1, task='"')])
    done = rlaif_fast("eval", path, "--html", tmp_path / "e.html")
    assert done.status == 0, done.err
    text = (tmp_path / "e.html").read_text(encoding="utf-8")
    assert "<script" not in text and "<b>" not in text.replace('"tile"><p><b>', "")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text)
    ET.fromstring(text.removeprefix("<!DOCTYPE html>\n"))


# Calibration


def test_a_fit_is_reported_on_the_other_half_and_applied(
    work: Path, llama: Path, tmp_path: Path, rlaif_fast: Cli
) -> None:
    report, file = read(work / "eval.json"), read(work / "calibration.json")
    assert report["fit"]["pairs"] + report["fit"]["before"]["pairs"] == report["pairs"]
    assert report["fit"]["after"]["pairs"] == report["fit"]["before"]["pairs"] > 0
    assert file == report["fit"]["calibration"] | {"schema": 1}
    assert file["bundle"] == report["judge"]["digest"]
    done = rlaif_fast("judge", work / "pairs.jsonl", "-b", llama, "--calibration", work / "calibration.json", "-o",
                      tmp_path / "v.jsonl")  # fmt: skip
    assert done.status == 0, done.err
    a, b = file["a"], file["b"]
    for before, after in zip(read_rows(work / "verdicts.jsonl"), read_rows(tmp_path / "v.jsonl"), strict=True):
        odds = [math.log(p / (1 - p)) for p in before["p1_by_order"]]
        wanted = [1 / (1 + math.exp(-x)) for x in (a * odds[0] + b, a * odds[1] - b)]
        assert after["p1_by_order"] == pytest.approx(wanted, abs=1e-9)
        assert after["p1"] == pytest.approx(sum(wanted) / 2, abs=1e-9) and after["label"] == before["label"]


def test_a_calibration_is_for_one_bundle(
    work: Path, tiny_bundle: Callable[[str], Path], tmp_path: Path, rlaif_fast: Cli
) -> None:
    other, file = tiny_bundle("gpt2"), work / "calibration.json"
    done = rlaif_fast("judge", work / "pairs.jsonl", "-b", other, "--calibration", file, "-o", tmp_path / "v.jsonl")
    assert done.status == 1 and done.err.count("\n") == 1
    assert done.err.startswith(f"error: {file}: fitted to another bundle; fit one to this bundle with")
    assert list(tmp_path.iterdir()) == []


def test_a_fit_on_verdicts_asks_the_bundle_whether_they_are_its_own(
    work: Path, llama: Path, tiny_bundle: Callable[[str], Path], tmp_path: Path, rlaif_fast: Cli
) -> None:
    verdicts, file = work / "verdicts.jsonl", tmp_path / "c.json"
    done = rlaif_fast("eval", verdicts, "-b", llama, "--fit", file)
    assert done.status == 0, done.err
    assert read(file) == read(work / "calibration.json") | {"fitted": read(file)["fitted"]}
    file.unlink()
    done = rlaif_fast("eval", verdicts, "-b", tiny_bundle("gpt2"), "--fit", file)
    assert done.status == 1 and done.err.count("\n") == 1 and not file.exists()
    assert done.err.startswith(f"error: {verdicts}: these are not the verdicts of ")
    calibrated = tmp_path / "calibrated.jsonl"
    rlaif_fast("judge", work / "pairs.jsonl", "-b", llama, "--calibration", work / "calibration.json", "-o", calibrated)
    done = rlaif_fast("eval", calibrated, "-b", llama, "--fit", file)
    assert done.status == 1 and "without --exact and --calibration" in done.err
    done = rlaif_fast("eval", verdicts, "--fit", file)
    assert done.status == 2 and "--fit on verdicts needs -b BUNDLE" in done.err


def test_a_fit_needs_both_orders_and_enough_pairs(work: Path, llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    few = rlaif_fast("eval", work / "verdicts.jsonl", "-b", llama, "--limit", 12, "--fit", tmp_path / "c.json")
    assert few.status == 1 and "error: verdicts.jsonl: a fit needs 10 pairs in each half" in few.err
    rlaif_fast("judge", work / "pairs.jsonl", "-b", llama, "--orders", "forward", "-o", tmp_path / "f.jsonl")
    one = rlaif_fast("eval", tmp_path / "f.jsonl", "-b", llama, "--fit", tmp_path / "c.json")
    assert one.status == 1 and "fitted to both orders; judge with --orders both" in one.err
    assert not (tmp_path / "c.json").exists()
    plain = rlaif_fast("eval", tmp_path / "f.jsonl")
    assert plain.status == 0 and (
        "warning: all pairs have one value in p1_by_order, and the rows do not say why: judged in one order, position"
        " bias is part of their labels; judged by a reward model, there is none. Give -b BUNDLE, the one that judged"
        " them"
    ) in " ".join(plain.out.split())
    named = rlaif_fast("eval", tmp_path / "f.jsonl", "-b", llama)
    said = "warning: all pairs were judged in one order only, so position bias is part of their labels"
    assert named.status == 0 and said in " ".join(named.out.split())


# What goes wrong


PAIR = {"id": "x", "instruction": "i", "response_0": "a", "response_1": "b", "label": 1}
VERDICT = verdict_row("y", [0.6, 0.5], 1)
WRONG: dict[str, tuple[list[Any], str]] = {
    "no label": ([PAIR, {k: v for k, v in PAIR.items() if k != "label"} | {"id": "z"}],
                 ", line 2, id 'z': there is no field label; it says which response people prefer, 0 or 1"),
    "label 2": ([PAIR | {"label": 2}], ", line 1, id 'x': the human label is 2; it is 0 or 1"),
    "label true": ([PAIR | {"label": True}], ", line 1, id 'x': the human label is True; it is 0 or 1"),
    "no response": ([PAIR, {"id": "z", "instruction": "i", "label": 0}],
                    ", line 2, id 'z': field 'response_0' is missing"),
    "no human label": ([VERDICT, verdict_row("z", [0.6, 0.5])],
                       ", line 2, id 'z': the verdict has no human_label; judge pairs with a field label (0 or 1)"),
    "no verdict": ([VERDICT, PAIR], ", line 2, id 'x': a pair that is not judged yet; judge it, and give rows"),
    "p1 over 1": ([VERDICT, VERDICT | {"p1": 2}], ", line 2, id 'y': p1 is 2.0, it must be within 0 and 1"),
    "another label": ([VERDICT | {"label": 2}], ", line 1, id 'y': label 2 does not follow from p1 0.55"),
    "an array": ([VERDICT, [1]], ", line 2: a row is a JSON object"),
    "TRL's of a judge": ([{"id": "x", "prompt": "i", "chosen": "a", "rejected": "b", "soft_label": 0.6, "margin": 0.2,
                           "consistent": True}], ", line 1, id 'x': a judge chose, not people (judge --to trl); give"),
    "the notebook's": ([{"instruction": "i", "chosen": "a", "rejected": "b", "label": 1, "p1": 0.6, "p2": 0.4}],
                       ", line 1, id 1: there is no field label; it says"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_row_is_said_with_its_place(kind: str, llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    rows, reason = WRONG[kind]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    done = rlaif_fast("eval", path, "-b", llama, "--json", tmp_path / "e.json")
    line = done.err.splitlines()[-1]
    assert done.status == 1 and line.startswith(f"error: {path}{reason}") and done.out == ""
    assert "Traceback" not in done.err and [p.name for p in tmp_path.iterdir()] == ["rows.jsonl"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", ": no rows; give pairs or verdicts whose label is 0 or 1\n"),
        (json.dumps(VERDICT).encode() + b"\n{oops\n", ", line 2: not JSON ("),
        (b"{oops\n", ", line 1: not JSON ("),
        (json.dumps(VERDICT).replace("0.55", "NaN", 1).encode(), ", line 1, id 'y': p1 is None, it must be a number"),
        (json.dumps(VERDICT).encode() + b"\n" + json.dumps(VERDICT).replace("0.55", "1e999", 1).encode(),
         ", line 2, id 'y': p1 is inf, it must be within 0 and 1"),
        (json.dumps(VERDICT).encode() + b"\n\xff\n", ", line 2: not UTF-8 at byte 0"),
    ],
    ids=["empty", "not JSON", "first not JSON", "NaN", "infinite", "not UTF-8"],
)  # fmt: skip
def test_a_broken_file_is_said(data: bytes, reason: str, llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    (tmp_path / "rows.jsonl").write_bytes(data)
    done = rlaif_fast("eval", tmp_path / "rows.jsonl", "-b", llama)
    assert done.status == 1 and done.err.count("\n") == 1 and reason in done.err
    assert done.err.startswith("error: ") and "Traceback" not in done.err


def test_files_that_are_not_there(work: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    done = rlaif_fast("eval", tmp_path / "none.jsonl")
    assert done.status == 1 and f"error: {tmp_path}/none.jsonl: cannot be read" in done.err
    done = rlaif_fast("eval", work / "verdicts.jsonl", "--html", tmp_path / "no" / "e.html")
    reason = f"the folder {tmp_path}/no does not exist, make it or give another name"
    assert done.status == 1 and done.err == f"error: {tmp_path}/no/e.html: {reason}\n"
    done = rlaif_fast("eval", work / "pairs.jsonl", "-b", tmp_path / "bundle")
    assert done.status == 1 and str(tmp_path / "bundle") in done.err and done.err.count("\n") == 1
    done = rlaif_fast("judge", work / "pairs.jsonl", "--calibration", tmp_path / "none.json", "-b", tmp_path)
    assert done.status == 1 and done.err.count("\n") == 1


def test_fields_and_shapes_are_those_of_judge(llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    rows = [{"q": f"text {n}", "answers": ["fox", f"dog {n}"], "label": n % 2} for n in range(4)]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    fields = "instruction=q,response_0=answers.0,response_1=answers.1"
    done = rlaif_fast("eval", path, "-b", llama, "--fields", fields, "--json", tmp_path / "e.json")
    assert done.status == 0, done.err
    assert read(tmp_path / "e.json")["arrays"]["human_label"] == [0, 1, 0, 1]
    write_rows(path, [{"prompt": f"text {n}", "chosen": "fox", "rejected": f"dog {n}"} for n in range(4)])
    done = rlaif_fast("eval", path, "-b", llama, "--json", tmp_path / "e.json", "--limit", 3)
    assert done.status == 0, done.err
    assert read(tmp_path / "e.json")["arrays"]["human_label"] == [0, 0, 0]
    assert "the file's preferences are for response_0 in every pair" in done.out and "people" not in done.out


# Real data


@pytest.mark.default_model
@pytest.mark.parametrize("name", ["tldr", "hh_harmless", "llmbar", "pandalm"])
def test_real_pairs_have_the_figures_of_plain_loops(
    name: str, default_home: Path, default_bundles: object, tmp_path: Path, rlaif_fast: Cli
) -> None:
    path = SHARED_DATA / f"{name}.dev.jsonl"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    limit = ("--limit", 40, "--on-long", "truncate")
    done = rlaif_fast("judge", path, *limit, "-o", tmp_path / "v.jsonl", home=default_home)
    assert done.status == 0, done.err
    # Judging them once more on the way shows for one set what it shows for all.
    judged = (path, *limit) if name == "llmbar" else (tmp_path / "v.jsonl",)
    done = rlaif_fast("eval", *judged, "--json", tmp_path / "e.json", home=default_home)
    assert done.status == 0, done.err
    place, difference, _ = worst(read_rows(tmp_path / "v.jsonl"), read(tmp_path / "e.json"))
    assert difference < 1e-6, place


def test_random_verdicts_have_the_figures_of_plain_loops(tmp_path: Path, rlaif_fast: Cli) -> None:
    rows = random_rows(77, 120, groups=50, one_order=0.1)
    done = rlaif_fast("eval", write_rows(tmp_path / "v.jsonl", rows), "--json", tmp_path / "e.json")
    assert done.status == 0, done.err
    assert worst(rows, read(tmp_path / "e.json"))[1] < 1e-6


def test_intervals_of_few_pairs_are_possible() -> None:
    """A judge that is right about three of three: no resample has another figure, and 100 to 100 % is not believed."""
    from rlaif_fast.evaluation.figures import figures_of
    from rlaif_fast.evaluation.records import Record, sample_of

    def rows(labels: list[Any]) -> Any:
        return sample_of(
            Record(n, f"i{n}", "ab", "a", 0.75, (0.75, 0.75), label, None) for n, label in enumerate(labels)
        )

    right = figures_of(rows([0, 0, 0]))
    assert right.accuracy.value == 1 and right.accuracy.interval == pytest.approx([0.2924, 1], abs=1e-4)
    assert right.same_position_rate.interval == pytest.approx([0, 0.7076], abs=1e-4)
    assert right.brier.interval is None and right.over_longer.interval is None
    mixed = figures_of(rows([0, 1, 0]))
    assert mixed.kappa.value == 0 and mixed.kappa.interval is None
    assert mixed.accuracy.interval is not None and mixed.accuracy.interval[0] < mixed.accuracy.interval[1]

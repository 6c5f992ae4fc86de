"""``rlaif-fast diff`` as people call it, and its figures against plain loops."""

from __future__ import annotations

import json
import math
import statistics
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run
from tests.verdicts import Row, random_rows, verdict_row, write_rows

Cli = Callable[..., Run]


def moved(rows: list[Row], by: float) -> list[Row]:
    """The verdicts of another judge on the same pairs: log-odds shifted, by more in every third pair."""
    found = []
    for k, row in enumerate(rows):
        shift = by * (3 if k % 3 == 0 else -0.5)
        by_order = [1 / (1 + math.exp(-(math.log(p / (1 - p)) + shift))) for p in row["p1_by_order"]]
        texts = texts_of(row)
        found.append(verdict_row(row["id"], by_order, row.get("human_label"), instruction=row["instruction"],
                                 response_0=texts[0], response_1=texts[1]))  # fmt: skip
    return found


def texts_of(row: Row) -> tuple[str, str]:
    texts = (row["chosen"], row["rejected"])
    return texts if row["label"] == 1 else (texts[1], texts[0])


def plain(a: list[Row], b: list[Row]) -> dict[str, Any]:
    """docs/eval.md's definitions of diff in plain loops."""
    other = {row["id"]: row for row in b}
    pairs = [(row, other[row["id"]]) for row in a if row["id"] in other]
    single, means_a, means_b = [], [], []
    flips = lost = won = 0
    direction = {"to_response_0": 0, "to_response_1": 0, "to_longer": 0, "to_shorter": 0}
    bins = [
        [low, high, 0, 0] for low, high in ((0, 0.02), (0.02, 0.05), (0.05, 0.1), (0.1, 0.2), (0.2, 0.5), (0.5, None))
    ]
    for one, two in pairs:
        odds = [[math.log(p / (1 - p)) for p in row["p1_by_order"]] for row in (one, two)]
        single += [abs(y - x) for x, y in zip(*odds, strict=False)]
        means_a.append(sum(odds[0]) / len(odds[0]))
        means_b.append(sum(odds[1]) / len(odds[1]))
        flip = one["label"] != two["label"]
        flips += flip
        for bin_ in bins:
            if bin_[0] <= abs(means_a[-1]) and (bin_[1] is None or abs(means_a[-1]) < bin_[1]):
                bin_[2] += 1
                bin_[3] += flip
        if flip:
            texts = texts_of(one)
            direction["to_response_0" if two["label"] == 1 else "to_response_1"] += 1
            gain = len(texts[two["label"] - 1]) - len(texts[2 - two["label"]])
            if gain:
                direction["to_longer" if gain > 0 else "to_shorter"] += 1
        right = [row["label"] - 1 == one["human_label"] for row in (one, two)]
        lost += right[0] and not right[1]
        won += right[1] and not right[0]
    single.sort()
    place = 0.99 * (len(single) - 1)
    low = math.floor(place)
    tail = sum(math.comb(lost + won, k) for k in range(min(lost, won) + 1)) / 2 ** (lost + won)
    return {
        "pairs": len(pairs), "prompts": len(single), "flips": flips, "flip_share": flips / len(pairs),
        "mean": sum(single) / len(single), "max": single[-1],
        "p99": single[low] + (place - low) * (single[min(low + 1, len(single) - 1)] - single[low]),
        "r": statistics.correlation(means_a, means_b), "direction": direction,
        "by_margin": [dict(zip(("low", "high", "pairs", "flips"), bin_, strict=True)) for bin_ in bins],
        "human": {"pairs": len(pairs), "lost": lost, "won": won, "p_value": min(1.0, 2 * tail)},
    }  # fmt: skip


def test_every_figure_is_that_of_plain_loops(tmp_path: Path, rlaif_fast: Cli) -> None:
    a = random_rows(1, 150, one_order=0.2, lean=0.3)
    b = moved(a, 0.4)
    files = [write_rows(tmp_path / f"{name}.jsonl", rows) for name, rows in (("a", a), ("b", b))]
    done = rlaif_fast("diff", *files, "--json", tmp_path / "d.json")
    assert done.status == 0, done.err
    found = json.loads((tmp_path / "d.json").read_text(), parse_constant=pytest.fail)
    wanted = plain(a, b)
    assert wanted["flips"] > 10 and wanted["human"]["lost"] > 0
    for name, value in wanted.items():
        if isinstance(value, float):
            assert found[name] == pytest.approx(value, abs=1e-9), name
        elif name != "human":
            assert found[name] == value, name
    assert found["human"] == pytest.approx(wanted["human"])
    for name, rows in (("a", a), ("b", b)):
        both = [row for row in rows if len(row["p1_by_order"]) == 2]
        same = sum((row["p1_by_order"][0] > 0.5) != (row["p1_by_order"][1] > 0.5) for row in both) / len(both)
        assert found[name]["same_position_rate"] == pytest.approx(same)
        assert found[name]["consistency"] == pytest.approx(1 - same)
        right = [row["label"] - 1 == row["human_label"] for row in rows]
        assert found[name]["accuracy"] == pytest.approx(sum(right) / len(right))


def test_the_terminal_shows_who_changed(tmp_path: Path, rlaif_fast: Cli) -> None:
    a = [verdict_row(k, [0.7, 0.7], 0, instruction="A text\nof two lines") for k in range(4)]
    b = [verdict_row(k, [p, p], 0, instruction="A text\nof two lines") for k, p in enumerate([0.7, 0.2, 0.6, 0.4])]
    files = [write_rows(tmp_path / f"{name}.jsonl", rows) for name, rows in (("a", a), ("b", b))]
    done = rlaif_fast("diff", *files, "--examples", 3)
    assert done.status == 0, done.err
    said = " ".join(done.out.split())
    assert f"B: {files[1]} against A: {files[0]}" in said
    for line in ("labels flipped 2 of 4 (50.0 %)", "to response_0, to response_1 0, 2", "right in A, wrong in B 2",
                 "wrong in A, right in B 0",
                 "agreement with the file's preferences 100.0 % (2.5 to 100.0) 50.0 % (0.0 to 100.0)",
                 "flips by margin of A, |log-odds|", "0.5 and more 4 2 50.0 %"):  # fmt: skip
        assert line in said, line
    worst, next_, last = (done.out.index(f"\n{k}: p1 0.7000 -> ") for k in (1, 3, 2))
    assert worst < next_ < last, "flips first, by the difference"
    assert "1: p1 0.7000 -> 0.2000, log-odds -2.234, flip, the file's preferences are for response_0\n" in done.out
    assert "\n    instruction: A text of two lines\n    response_0: zero 1\n" in done.out
    assert "2: p1 0.7000 -> 0.6000, log-odds -0.442, same label" in done.out and "\n0: p1" not in done.out


def test_a_run_is_itself(tmp_path: Path, rlaif_fast: Cli) -> None:
    path = write_rows(tmp_path / "a.jsonl", random_rows(2, 30))
    done = rlaif_fast("diff", path, "-", "--json", tmp_path / "d.json", "--max-flips", 0, stdin=path.read_bytes())
    assert done.status == 0, done.err
    found = json.loads((tmp_path / "d.json").read_text())
    assert (found["flips"], found["mean"], found["max"]) == (0, 0, 0) and found["r"] == pytest.approx(1)
    assert found["human"]["p_value"] == 1 and found["a"]["only_here"] == found["b"]["only_here"] == []


def test_exchanging_the_files_exchanges_what_was_lost(tmp_path: Path, rlaif_fast: Cli) -> None:
    a = random_rows(3, 80)
    files = [write_rows(tmp_path / f"{name}.jsonl", rows) for name, rows in (("a", a), ("b", moved(a, 0.5)))]
    found = []
    for k, pair in enumerate((files, files[::-1])):
        assert rlaif_fast("diff", *pair, "--json", tmp_path / f"{k}.json").status == 0
        found.append(json.loads((tmp_path / f"{k}.json").read_text()))
    one, two = found
    for name in ("pairs", "prompts", "flips", "mean", "p99", "max"):
        assert one[name] == two[name], name
    assert one["r"] == pytest.approx(two["r"])
    assert (one["human"]["lost"], one["human"]["won"]) == (two["human"]["won"], two["human"]["lost"])
    assert one["direction"]["to_response_0"] == two["direction"]["to_response_1"] > 0


def test_two_bundles_on_the_same_pairs(
    llama: Path, tiny_bundle: Callable[[str], Path], tmp_path: Path, rlaif_fast: Cli
) -> None:
    pairs = [
        {"id": k, "instruction": f"Text {k}", "response_0": "A fox.", "response_1": f"Jam {k}."} for k in range(12)
    ]
    write_rows(tmp_path / "pairs.jsonl", pairs)
    files = [tmp_path / "a.jsonl", tmp_path / "b.csv"]
    for bundle, path in zip((llama, tiny_bundle("gpt2")), files, strict=True):
        assert rlaif_fast("judge", tmp_path / "pairs.jsonl", "-b", bundle, "-o", path).status == 0
    done = rlaif_fast("diff", *files, "--json", tmp_path / "d.json")
    assert done.status == 0, done.err
    found = json.loads((tmp_path / "d.json").read_text())
    assert found["pairs"] == 12 and found["prompts"] == 24 and found["max"] > 0.01
    assert found["human"] is None and found["a"]["accuracy"] is None and "right in A" not in done.out


def test_pairs_of_one_file_only_are_said(tmp_path: Path, rlaif_fast: Cli) -> None:
    rows = random_rows(4, 20)
    files = [
        write_rows(tmp_path / "a.jsonl", rows[:15]),
        write_rows(tmp_path / "b.jsonl", rows[14::-1][:8] + rows[15:]),
    ]
    done = rlaif_fast("diff", *files, "--json", tmp_path / "d.json")
    assert done.status == 0, done.err
    found = json.loads((tmp_path / "d.json").read_text())
    assert found["pairs"] == 8 and found["flips"] == 0
    assert (found["a"]["pairs"], found["b"]["pairs"]) == (15, 13)
    assert found["a"]["only_here"] == [f"r{k}" for k in range(7)]
    assert found["b"]["only_here"] == [f"r{k}" for k in range(15, 20)]
    said = " ".join(done.out.split())
    assert f"7 pairs of {files[0]} are not in {files[1]}: 'r0', 'r1', 'r2', 'r3', 'r4', …" in said


def test_too_many_flips_fail(tmp_path: Path, rlaif_fast: Cli) -> None:
    a = [verdict_row(k, [0.7, 0.7]) for k in range(4)]
    files = [
        write_rows(tmp_path / "a.jsonl", a),
        write_rows(tmp_path / "b.jsonl", [*a[:3], verdict_row(3, [0.2, 0.2])]),
    ]
    assert rlaif_fast("diff", *files, "--max-flips", 0.25).status == 0
    done = rlaif_fast("diff", *files, "--max-flips", 0.2, "--json", tmp_path / "d.json")
    assert done.status == 1 and (tmp_path / "d.json").exists()
    assert done.err == "error: 1 of 4 labels differ, a share of 0.2500, over --max-flips 0.2\n"


def test_texts_cannot_command_the_terminal(tmp_path: Path, rlaif_fast: Cli) -> None:
    rows = [verdict_row("\x1b[2Jid", [0.7, 0.7], instruction="\x1b]0;title\x07 \x9b31m long " + 100 * "x")]
    path = write_rows(tmp_path / "a.jsonl", rows)
    done = rlaif_fast("diff", path, path)
    assert done.status == 0, done.err
    assert not {"\x1b", "\x07", "\x9b"} & set(done.out)
    assert "x…" in done.out


A = verdict_row("x", [0.7, 0.7], 0)
WRONG: dict[str, tuple[list[Any], list[Any], str]] = {
    "an id twice": ([A, A], [A], "{a}: id 'x' occurs twice; make ids unique"),
    "no id in common": ([A], [A | {"id": "z"}], "{a} and {b} have no id in common; give verdicts on the same pairs"),
    "another text": ([A], [A | {"instruction": "other"}],
                     "id 'x': instruction is not the same in {a} and {b}; give verdicts on the same pairs"),
    "another response": ([A], [A | {"rejected": "other"}], "id 'x': response_1 is not the same in {a} and {b}"),
    "another human label": ([A], [A | {"human_label": 1}], "id 'x': human_label is not the same in {a} and {b}"),
    "no verdict": ([A], [A, {"id": "z", "instruction": "i"}], "{b}, line 2, id 'z': field 'chosen' is missing"),
    "no number": ([A | {"p1": None}], [A], "{a}, line 1, id 'x': p1 is None, it must be a number"),
    "an empty file": ([A], [], "{b}: no rows; give rows written by `rlaif-fast judge`\n"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_cannot_be_compared_is_said(kind: str, tmp_path: Path, rlaif_fast: Cli) -> None:
    first, second, reason = WRONG[kind]
    a, b = write_rows(tmp_path / "a.jsonl", first), write_rows(tmp_path / "b.jsonl", second)
    done = rlaif_fast("diff", a, b, "--json", tmp_path / "d.json")
    assert done.status == 1 and done.err.count("\n") == 1 and done.out == ""
    assert done.err.startswith("error: " + reason.format(a=a, b=b))
    assert not (tmp_path / "d.json").exists()


def test_what_cannot_be_read_is_said(tmp_path: Path, rlaif_fast: Cli) -> None:
    path = write_rows(tmp_path / "a.jsonl", [A])
    done = rlaif_fast("diff", path, tmp_path / "none")
    assert done.status == 1 and done.err.startswith(f"error: {tmp_path}/none: cannot be read")
    (tmp_path / "b.jsonl").write_text(json.dumps(A) + "\n{oops\n")
    done = rlaif_fast("diff", path, tmp_path / "b.jsonl")
    assert done.status == 1 and done.err.startswith(f"error: {tmp_path}/b.jsonl, line 2: not JSON (")
    done = rlaif_fast("diff", "-", "-")
    assert done.status == 2 and "one of the two can be standard input" in done.err
    done = rlaif_fast("diff", path, path, "--json", tmp_path / "no" / "d.json")
    assert done.status == 1 and "no does not exist, make it" in done.err


def test_files_of_different_orders_are_compared_by_their_averages(tmp_path: Path, rlaif_fast: Cli) -> None:
    """The summary, the flips and the examples go by one rule, which is said."""
    texts = {"instruction": "i", "response_0": "aa", "response_1": "b"}
    both = [verdict_row(1, [0.8, 0.4], **texts), verdict_row(2, [0.9, 0.7], **texts)]
    forward = [verdict_row(1, [0.8], **texts), verdict_row(2, [0.9], **texts)]
    files = [write_rows(tmp_path / f"{name}.jsonl", rows) for name, rows in (("both", both), ("forward", forward))]
    done = rlaif_fast("diff", *files, "--json", tmp_path / "d.json")
    assert done.status == 0, done.err
    found = json.loads((tmp_path / "d.json").read_text())
    wanted = [(math.log(4) - math.log(2 / 3)) / 2, (math.log(9) - math.log(7 / 3)) / 2]  # B's one order less A's mean
    assert (found["mean"], found["max"]) == (pytest.approx(sum(wanted) / 2), pytest.approx(max(wanted)))
    assert [one["difference"] for one in found["examples"]] == pytest.approx(sorted(wanted, reverse=True))
    assert (found["same_orders"], found["prompts"]) == (False, 2)
    assert " ".join(done.out.split()).find(
        "2 pairs in both files; differences are of each pair's log-odds, averaged over the orders it was judged in: the"
        " files have different ones"
    ) > 0  # fmt: skip
    same = rlaif_fast("diff", files[0], files[0])
    assert " ".join(same.out.split()).find(
        "2 pairs in both files; differences are of each prompt's log-odds; those of examples are of the average over"
        " both orders"
    ) > 0  # fmt: skip
    one_order = rlaif_fast("diff", files[1], files[1])
    assert "2 pairs in both files; differences are of log-odds\n" in one_order.out


def test_the_page_shows_what_the_json_has(tmp_path: Path, rlaif_fast: Cli) -> None:
    a = random_rows(2, 40, lean=0.3)
    a[0]["id"] = "<script>"
    files = [write_rows(tmp_path / f"{name}.jsonl", rows) for name, rows in (("a", a), ("b", moved(a, 1.0)))]
    done = rlaif_fast("diff", *files, "--json", tmp_path / "d.json", "--html", tmp_path / "d.html")
    assert done.status == 0, done.err
    found, text = json.loads((tmp_path / "d.json").read_text()), (tmp_path / "d.html").read_text(encoding="utf-8")
    page = ET.fromstring(text.removeprefix("<!DOCTYPE html>\n"))
    assert found["flips"] > 3 and sum(found["arrays"]["flip"]) == found["flips"]
    scatter = next(one for one in page.iter() if one.get("aria-label") == "Log-odds of B against A")
    groups = {one.get("class"): one for one in scatter.iter() if one.get("class")}
    marks = {css: sum(mark.tag.endswith("title") for mark in groups[css].iter()) for css in ("cross", "dot")}
    assert marks == {"cross": found["flips"], "dot": found["pairs"] - found["flips"]}
    shown = [one.text for one in page.iter() if one.tag.endswith("}dd")]
    assert shown == [one[name] for one in found["examples"] for name in ("instruction", "response_0", "response_1")]
    assert "<script" not in text
    assert rlaif_fast("diff", *files, "--json", tmp_path / "x", "--html", tmp_path / "x").status == 1

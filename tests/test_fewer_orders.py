"""Fewer orders, held against every pair read in both; from Python and on the real command line."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rlaif_fast import Judge, Pair
from rlaif_fast.judging.fewer_orders import FrugalJudge, Mode, draw
from rlaif_fast.judging.order_plan import held_out, label_prior
from rlaif_fast.judging.verdict import Verdict, sigmoid
from tests.conftest import Run
from tests.families import FAMILIES
from tests.stopping import interrupted

Cli = Callable[..., Run]
WORDS = ["fox", "wizards", "brew", "hot", "jam", "lazy", "dog", "quick", "brown", "coherent", "main", "ideas", "seven"]
SHARE = 0.2  # small files, so small a promise
SAMPLE = 40


def _pairs(n: int = 120) -> list[Pair]:
    """Short instructions, so that an order costs much; some are on one instruction."""
    pick = np.random.default_rng(3)

    def text() -> str:
        return " ".join(pick.choice(WORDS, 6 + int(pick.integers(8))))

    return [Pair(f"T{n % 50}", text(), text(), id=n) for n in range(n)]


def _judged(judge: Judge, mode: Mode, pairs: list[Pair]) -> tuple[FrugalJudge, list[Verdict]]:
    frugal = FrugalJudge(judge, draw(pairs, SAMPLE), mode, SHARE)
    return frugal, list(frugal.judge_many(pairs))


def _held_against_both(judge: Judge, slack: float) -> set[int]:
    """Every verdict against brute force; how many orders were read of some pair."""
    pairs, lengths = _pairs(), set()
    both = [judge.judge(pair) for pair in pairs]
    alone = [judge.judge(pair, "forward").log_odds_by_order[0] for pair in pairs]
    for mode in ("prior", "auto"):
        frugal, found = _judged(judge, mode, pairs)
        plan = frugal.plan
        assert plan is not None and [v.pair for v in found] == pairs
        sampled = np.array([both[place].log_odds_by_order for place in frugal.sample])
        assert plan.prior == pytest.approx(label_prior(sampled[~held_out(SAMPLE, mode)]), abs=slack + 1e-12)
        for place, (verdict, wanted) in enumerate(zip(found, both, strict=True)):
            orders = len(verdict.log_odds_by_order)
            if orders == 2:
                np.testing.assert_allclose(verdict.log_odds_by_order, wanted.log_odds_by_order, rtol=0, atol=slack)
            else:
                forward = alone[place]
                assert place not in frugal.sample and abs(forward - plan.prior) >= plan.threshold - slack
                assert verdict.p1_by_order == (verdict.p1,) and verdict.consistent is None
                p1 = (sigmoid(forward) + sigmoid(forward - 2 * plan.prior)) / 2
                assert verdict.p1 == pytest.approx(p1, abs=slack + 1e-12)
            lengths.add(orders)
            if mode == "prior":
                assert orders == (2 if place in frugal.sample else 1)
        # What it says of the pairs held out; what it promises of the file holds for 95 of 100 (tests/test_orders.py).
        tested = [place for place, out in zip(frugal.sample, held_out(SAMPLE, mode), strict=True) if out]
        settled = [place for place in tested if abs(alone[place] - plan.prior) >= plan.threshold]
        wrong = [place for place in settled if (alone[place] > plan.prior) != (both[place].label == 1)]
        assert (plan.held_out, plan.differ) == (len(tested), len(wrong))
        assert plan.twice == pytest.approx(1 - len(settled) / len(tested))
        assert mode == "prior" or plan.bound <= SHARE
        once = sum(verdict.consistent is None for verdict in found)
        assert f"{2 * len(pairs) - once:,} of {2 * len(pairs):,} read" in frugal.line(len(pairs), once)
    return lengths


@pytest.mark.parametrize("name", FAMILIES)
def test_fp32_against_brute_force(name: str, tiny_bundle: Callable[[str], Path]) -> None:
    assert _held_against_both(Judge.load(tiny_bundle(name)), 1e-4) == {1, 2}


def test_int8_read_twice_is_both_to_the_last_bit(tiny_int8: Callable[[str], Path]) -> None:
    assert _held_against_both(Judge.load(tiny_int8("llama")), 0.0) == {1, 2}


def test_a_sample_read_in_part_gives_the_same_plan(tiny_int8: Callable[[str], Path]) -> None:
    judge, sample = Judge.load(tiny_int8("llama")), draw(_pairs(), SAMPLE)
    known: list[list[float]] = []
    whole = FrugalJudge(judge, sample, "prior")
    whole.survey(known)
    assert [len(reading) for reading in known[:4]] == [2, 3, 2, 3]
    for part in (known[:7], [reading[:2] for reading in known], [*known[:20], *(r[:2] for r in known[20:])]):
        again, taken = FrugalJudge(judge, sample, "prior"), [[*reading] for reading in part]
        again.survey(taken)
        assert taken == known and again.plan == whole.plan


@pytest.mark.parametrize("mode", ["prior", "auto"])
@pytest.mark.parametrize("window", [1, 7, 64])
def test_the_rest_of_a_run_is_the_same(llama_judge: Judge, mode: Mode, window: int) -> None:
    pairs = _pairs(90)
    frugal = FrugalJudge(llama_judge, draw(pairs, SAMPLE), mode, SHARE)
    once = [v.to_json() for v in frugal.judge_many(pairs, window=window)]
    for done in (0, 1, 6, 7, 8, 40, 89, 90):
        again = FrugalJudge(llama_judge, draw(pairs, SAMPLE), mode, SHARE)
        assert [v.to_json() for v in again.judge_many(pairs, window=window, done=done)] == once[done:]


def test_without_a_sample_it_is_both(llama_judge: Judge) -> None:
    pairs = _pairs(30)
    wanted = [v.to_json() for v in llama_judge.judge_many(pairs)]
    for sample, share, why in [
        (draw(pairs, 30), SHARE, "no more pairs than in a sample"),
        (draw(pairs, 20), 0.01, "a disagreement of 0.01 needs a sample of 399 pairs"),
    ]:
        frugal = FrugalJudge(llama_judge, sample, "auto", share)
        assert [v.to_json() for v in frugal.judge_many(pairs)] == wanted
        assert frugal.line(30, 0).startswith("orders: 60 of 60 read, about 0.0% less time")
        assert why in frugal.line(30, 0)


def test_what_costs_more_than_both_is_not_done(llama_judge: Judge) -> None:
    """A long instruction is computed once for both orders: two passes would cost more than one."""
    pairs = [Pair("lazy dog " * 60 + str(n), "a fox", f"jam {n}", id=n) for n in range(60)]
    frugal, found = _judged(llama_judge, "auto", pairs)
    assert frugal.plan is not None and frugal.plan.threshold in (0.0, math.inf)
    if frugal.plan.threshold:
        assert all(verdict.consistent is not None for verdict in found)
        assert "every pair is read twice: one order would settle" in frugal.line(60, 0)


def test_each_pair_is_as_likely_in_the_sample() -> None:
    counts = np.zeros(20)
    for seed in range(4000):
        drawn = draw(range(20), 5, seed)
        assert len(drawn) == 5 and list(drawn) == sorted(drawn) and all(a == b for a, b in drawn.items())
        counts[list(drawn)] += 1
    assert np.abs(counts - 1000).max() < 4.5 * math.sqrt(4000 * 0.25 * 0.75)
    assert draw(itertools.islice(range(20), 5), 5) == {}


def _file(path: Path, count: int = 150) -> Path:
    rows = [{"id": f"p{p.id}", "instruction": p.instruction, "response_0": p.response_0, "response_1": p.response_1}
            for p in _pairs(count)]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


AUTO = ("--orders", "auto", "--disagreement", SHARE, "--sample", SAMPLE)


def test_the_command(llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    """A file, its pipe, rows that are none; against both, with the command's own diff."""
    pairs = _file(tmp_path / "pairs.jsonl")
    command = ("judge", pairs, "-b", llama, "-o")
    assert rlaif_fast(*command, tmp_path / "both.jsonl").status == 0
    done = rlaif_fast(*command, tmp_path / "auto.jsonl", *AUTO)
    assert done.status == 0, done.err
    assert "orders: reading a sample of 40 pairs in both" in done.err
    once = sum(len(row["p1_by_order"]) == 1 for row in _rows(tmp_path / "auto.jsonl"))  # type: ignore[arg-type]
    assert once and f"orders: {300 - once} of 300 read" in done.err
    assert "of 30 pairs held out get another label than from both orders" in done.err and "95%" in done.err
    flips = rlaif_fast("diff", tmp_path / "both.jsonl", tmp_path / "auto.jsonl", "--max-flips", SHARE)
    assert flips.status == 0, flips.out + flips.err
    piped = rlaif_fast("judge", "-", "-b", llama, "--orders", "prior", "--sample", 20, stdin=pairs.read_bytes())
    assert piped.status == 0, piped.err
    lengths = [len(json.loads(line)["p1_by_order"]) for line in piped.out.splitlines()]
    assert lengths == [2] * 20 + [1] * 130
    assert "label prior" in piped.err and "same position" not in piped.err
    bad = tmp_path / "bad.jsonl"
    bad.write_text("nothing\n" + pairs.read_text())
    skipped = rlaif_fast("judge", bad, "-b", llama, "-o", tmp_path / "kept.jsonl", *AUTO, "--on-error", "skip")
    assert skipped.status == 1
    assert (tmp_path / "kept.jsonl").read_bytes() == (tmp_path / "auto.jsonl").read_bytes()
    assert len((tmp_path / "kept.jsonl.errors.jsonl").read_text().splitlines()) == 1


def test_wrong_usage(llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    pairs = _file(tmp_path / "pairs.jsonl", 3)
    for arguments, message in [
        (
            ("--orders", "auto", "--exact"),
            "--exact takes --orders both: its error bound holds for p1 averaged over both",
        ),
        (
            ("--orders", "forward", "--exact"),
            "--exact takes --orders both: its error bound holds for p1 averaged over both",
        ),
        (("--orders", "prior", "--calibration", pairs), "--calibration takes --orders both or forward"),
        (("--orders", "prior", "--disagreement", 0.1), "--disagreement needs --orders auto"),
        (("--sample", 50), "--sample needs --orders prior or auto"),
    ]:
        refused = rlaif_fast("judge", pairs, "-b", llama, *arguments)
        assert refused.status == 2 and message in " ".join(refused.err.split()), refused.err


@pytest.mark.parametrize("stop", ["in the sample", "behind it"])
def test_stopped_it_ends_with_the_same_file(stop: str, llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    pairs, output, size = _file(tmp_path / "pairs.jsonl", 1000), tmp_path / "out.jsonl", 400
    options = ("--orders", "auto", "--disagreement", str(SHARE), "--sample", str(size))
    assert rlaif_fast("judge", pairs, "-b", llama, "-o", tmp_path / "whole.jsonl", *options).status == 0
    step, count, wanted = ("note", 150, (150, 0)) if stop == "in the sample" else ("write", 12, (size, 12))
    interrupted(["judge", pairs, "-b", llama, "-o", output, *options], step, count)
    entry = json.loads(output.with_name(output.name + ".journal").read_text())
    known = len(entry["tally"]["sample"])
    assert (known, entry["verdicts"]) == wanted
    changed = tmp_path / "changed.jsonl"
    changed.write_text(pairs.read_text().replace("T4", "T5"))
    refused = rlaif_fast("judge", changed, "-b", llama, "-o", output, *options)
    assert refused.status == 1 and "began with another sample" in refused.err and "--restart" in refused.err
    done = rlaif_fast("judge", pairs, "-b", llama, "-o", output, *options)
    assert done.status == 0, done.err
    assert ("reading a sample" in done.err) == (known < size)
    assert output.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()

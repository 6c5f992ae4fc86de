"""Choosing a prompt: the parts, the race, and a decision that is right more often than chance allows it to be wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from rlaif_fast.errors import EvalError, PairError
from rlaif_fast.evaluation.records import Floats, half
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.schemas.human_labels import LeftOut
from rlaif_fast.selection import race as races
from rlaif_fast.selection.choosing import Chosen, choose, require_enough, sample_of_pairs
from rlaif_fast.selection.comparison import against
from rlaif_fast.selection.parts import split
from rlaif_fast.selection.selector import Selector
from rlaif_fast.selection.ways import WAYS, right


class Answers:
    """Made-up readings: log-odds of every pair through every prompt, which are there already."""

    def __init__(self, odds: Mapping[str, Floats]) -> None:
        self._all, self._read, self.count = odds, dict[str, Floats](), 0
        self.too_long: dict[str, int] = {}  # place of a pair that is too long for a prompt

    @property
    def prompts(self) -> list[str]:
        return list(self._read)

    def digest(self, prompt: str) -> str:
        return prompt

    def odds(self, prompt: str) -> Floats:
        return self._read.setdefault(prompt, np.full_like(self._all[prompt], np.nan))

    def check(self, prompt: str, places: Sequence[int]) -> None:
        if self.too_long.get(prompt) in places:
            raise PairError("file, line 3: the prompt has 9 tokens, the model takes 8")

    def read(self, prompt: str, places: Sequence[int]) -> Floats:
        self.check(prompt, places)
        odds = self.odds(prompt)
        self.count += int(np.isnan(odds[list(places), 0]).sum())
        odds[list(places)] = self._all[prompt][list(places)]
        return odds[list(places)]


def made_up(seed: int, count: int, skills: Mapping[str, float], *, lean: float = 0.7) -> tuple[list[Pair], Answers]:
    """Labelled pairs, and prompts whose log-odds have so much to do with the labels; they have noise in common."""
    draw = np.random.RandomState(seed)
    labels = draw.randint(0, 2, count)
    pairs = [
        Pair(f"text {seed} {draw.randint(count)}", "a" * draw.randint(1, 9), "b" * draw.randint(1, 9) + "c", k,
             {"label": int(label)})
        for k, label in enumerate(labels)
    ]  # fmt: skip
    shared = draw.normal(size=count)
    odds = {}
    for prompt, skill in skills.items():
        quality = skill * (0.5 - labels) + 0.6 * shared + 0.8 * draw.normal(size=count)
        odds[prompt] = np.stack([quality + lean, quality - lean], 1) + 0.3 * draw.normal(size=(count, 2))
    return pairs, Answers(odds)


def run(pairs: Sequence[Pair], answers: Answers, said: list[str] | None = None) -> Chosen:
    names = [name for name in answers._all if name not in ("current", "shown")]
    enter = ["shown"] if "shown" in answers._all else []
    parts = split([pair.instruction for pair in pairs], 0)
    told = [] if said is None else said
    return choose(pairs, parts, answers, "current", names, lambda best: enter, told.append, "x")  # type: ignore[arg-type]


def recommended(chosen: Chosen) -> str | None:
    assert chosen.best is not None and chosen.tested is not None
    return chosen.best.prompt if chosen.best.better and chosen.tested.better else None


def test_labels_in_both_orders_and_in_one_are_what_the_verdicts_say() -> None:
    """Against arithmetic on single numbers: the mean probability of two orders, or one order less its leaning."""
    draw = np.random.RandomState(3)
    odds, human_0 = draw.normal((0.9, -0.9), 2, (50, 2)), draw.randint(0, 2, 50) > 0
    lean = sum((f - s) / 2 for f, s in odds) / len(odds)

    def p(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    both = [(p(f) + p(s) > 1) == bool(y) for (f, s), y in zip(odds, human_0, strict=True)]
    assert right(odds, human_0, "both").tolist() == both
    one = [
        sum((p(x) > 0.5) == bool(y) for x in (f - lean, s + lean)) / 2 for (f, s), y in zip(odds, human_0, strict=True)
    ]
    assert right(odds, human_0, "forward").tolist() == one


def test_a_judge_of_the_position_is_no_better_than_chance_whatever_the_order_of_the_file() -> None:
    """People prefer response_0 in nine of ten rows, as where rows are chosen and rejected; one prompt says "first"."""
    draw = np.random.RandomState(9)
    for share in (0.9, 1.0):
        labels = (draw.uniform(size=400) > share).astype(int)
        pairs = [Pair(f"text {k}", "a", "b", k, {"label": int(label)}) for k, label in enumerate(labels)]
        first = np.tile([4.0, -4.0], (400, 1)) + draw.normal(0, 0.1, (400, 2))
        answers = Answers({"current": draw.normal(0, 1, (400, 2)), "first": first})
        chosen = run(pairs, answers)
        assert recommended(chosen) is None
        assert all(one.found.accuracy < 0.6 for one in chosen.tried if one.prompt == "first")


def test_p_is_westfall_and_youngs() -> None:
    """Again in plain loops, from the same draws of instructions."""
    draw = np.random.RandomState(4)
    group = np.sort(draw.randint(0, 12, 40))
    group = np.unique(group, return_inverse=True)[1]
    right = [draw.randint(0, 2, 40).astype(float) for _ in range(3)]
    right[2][25:] = np.nan
    current = draw.randint(0, 2, 40).astype(bool)
    count = int(group.max()) + 1
    drawn = np.random.RandomState(0).randint(0, count, (2000, count), dtype=np.int64)

    def mean(judge: int, groups: Sequence[int]) -> float:
        found = [right[judge][k] - current[k] for g in groups for k in range(40)
                 if group[k] == g and not math.isnan(right[judge][k])]  # fmt: skip
        return sum(found) / len(found) if found else math.nan

    means = [[mean(judge, row) for row in drawn.tolist()] for judge in range(3)]
    observed = [mean(judge, range(count)) for judge in range(3)]
    errors = [float(np.nanstd(values)) for values in means]
    largest = [max(-math.inf if math.isnan(means[j][b]) else (means[j][b] - observed[j]) / errors[j] for j in range(3))
               for b in range(2000)]  # fmt: skip
    for found, mean_, error in zip(against(right, current, group), observed, errors, strict=True):
        assert found.difference == pytest.approx(mean_, abs=1e-12)
        assert found.p == pytest.approx((1 + sum(value >= mean_ / error - 1e-9 for value in largest)) / 2001, abs=2e-3)


def test_a_judge_that_never_differs_is_not_better() -> None:
    current = np.arange(40) % 3 > 0
    (same,) = against([current.astype(float)], current, np.arange(40))
    assert same.difference == 0 and same.p == 1


def test_labels_drawn_at_random_recommend_nothing() -> None:
    """Eight prompts in both orders and in one, and one with examples; the labels say nothing of any of them."""
    wrong, first_part = 0, 0
    for seed in range(100):
        names = ["current", *(f"p{k}" for k in range(8)), "shown"]
        pairs, answers = made_up(seed, 240, dict.fromkeys(names, 0.0))
        chosen = run(pairs, answers)
        wrong += recommended(chosen) is not None
        first_part += chosen.best is not None and chosen.best.better
    assert wrong <= 1
    assert first_part <= 10, "the correction alone keeps to its level, as far as 100 draws tell"


def test_labels_exchanged_at_random_recommend_nothing_though_the_prompts_differ() -> None:
    """The prompts do differ in what they prefer, by length say; without labels nothing can be better."""
    for seed in range(30):
        pairs, answers = made_up(seed, 240, {"current": 0.0, "p0": 3.0, "p1": 1.0})
        draw = np.random.RandomState(seed + 1000)
        shuffled = [Pair(p.instruction, p.response_0, p.response_1, p.id, {"label": int(draw.randint(2))})
                    for p in pairs]  # fmt: skip
        assert recommended(run(shuffled, answers)) is None, seed


def test_a_better_prompt_is_found_and_what_is_said_of_it_can_be_computed_again() -> None:
    found = 0
    for seed in range(10):
        skills = {"current": 0.0, **{f"p{k}": 0.1 * k for k in range(6)}, "good": 1.2}
        pairs, answers = made_up(seed, 600, skills)
        chosen = run(pairs, answers)
        found += recommended(chosen) == "good"
        assert chosen.tested is not None and chosen.best is not None and chosen.calibration is not None
        by_id = {pair.id: pair for pair in pairs}
        a, b = chosen.calibration.a, chosen.calibration.b
        rights = []
        found_there = zip(chosen.tested.sample.id, chosen.tested.sample.p1, strict=True)
        for number, (key, p1) in enumerate(found_there):
            assert half(by_id[key].instruction) == 1, "tested on the half that it was not chosen on"
            forward, swapped = answers._all[chosen.best.prompt][key]
            label = by_id[key].carried["label"]
            if number >= chosen.tested.pairs:  # one order, the responses exchanged
                forward, swapped, label = -swapped, -forward, 1 - label
            orders = [a * forward + b, a * swapped - b][: 1 if chosen.best.orders == "forward" else 2]
            assert p1 == pytest.approx(sum(1 / (1 + math.exp(-x)) for x in orders) / len(orders), abs=1e-12)
            rights.append((p1 > 0.5) == (label == 0))
        assert np.mean(rights) == pytest.approx(float(chosen.tested.sample.right.mean()), abs=1e-12)
        on = len(pairs) - chosen.tested.pairs
        assert answers.count == races.readings(len(skills) - 1, 0, on) + on + 2 * chosen.tested.pairs
    assert found >= 9


def test_one_order_is_chosen_only_where_it_is_shown_to_be_better() -> None:
    """Two opposite errors of a judge that is right in one order of a pair and far off in the other, by its length."""
    pairs, answers = made_up(5, 1200, {"current": 0.0, "odd": 2.5}, lean=0.0)
    answers._all["odd"][::2, 0] *= 0.05  # type: ignore[index]
    chosen = run(pairs, answers)
    assert chosen.best is not None and (chosen.best.prompt, chosen.best.orders) == ("odd", "both")
    assert recommended(chosen) == "odd"


@pytest.mark.parametrize("tested", [False, True])
def test_a_prompt_that_a_pair_is_too_long_for_is_left_out_and_said(tested: bool) -> None:
    """Also where it is a pair of the test, which is read last."""
    pairs, answers = made_up(6, 300, {"current": 0.0, "good": 1.5, "long": 3.0})
    parts = split([pair.instruction for pair in pairs], 0)
    answers.too_long["long"] = int((parts.tested_on if tested else parts.chosen_on)[-1])
    said: list[str] = []
    chosen = run(pairs, answers, said)
    assert recommended(chosen) == "good"
    assert said == ["left out: long; file, line 3: the prompt has 9 tokens, the model takes 8"]
    assert {one.prompt for one in chosen.tried} == {"current", "good"}
    assert len(chosen.tried) == 2 * len(WAYS) - 1


def test_too_few_pairs_are_refused() -> None:
    pairs, _ = made_up(7, 16, {})
    sample, parts = sample_of_pairs(pairs), split([pair.instruction for pair in pairs], 0)
    with pytest.raises(EvalError, match=r"x\.jsonl: choosing needs 10 instructions in each half, here are \d and \d"):
        require_enough(sample, parts, "x.jsonl")


def test_examples_that_cannot_be_shown_are_left_out_and_said() -> None:
    """The others are made all the same."""
    pairs, _ = made_up(8, 200, {})
    made: list[str] = []
    trial = SimpleNamespace(make=lambda files, chat: made.extend(Path(file).stem for file in files) or made)

    def tried(change: Callable[[int, Pair], Pair]) -> list[str]:
        selector = Selector("x.jsonl", list(map(change, range(200), pairs)), LeftOut(), shots=[2, 4])
        made.clear()
        selector._with_examples(trial, [], "helpful")  # type: ignore[arg-type]
        return selector.left_out

    assert tried(lambda _, pair: pair) == [] and made == ["2", "4"]
    third = split([pair.instruction for pair in pairs], 4).examples[2]
    found = tried(lambda k, pair: replace(pair, response_0="a" * 70_000) if k == third else pair)
    assert found == ["left out: 4 examples; more than 65,536 bytes, which no template has"] and made == ["2"]
    found = tried(lambda _, pair: replace(pair, carried={**pair.carried, "rationale": ["because"]}))
    assert [line.partition("; ")[0] for line in found] == ["left out: 2 examples", "left out: 4 examples"]
    assert all(line.endswith(": rationale must be a string") for line in found)
    assert not made


def test_no_more_rows_are_set_aside_than_can_be_shown() -> None:
    pairs, _ = made_up(8, 300, {})
    first = {pair.instruction for pair in pairs if half(pair.instruction) == 0}
    assert 2 < len(first) // 10 < 16
    selector = Selector("x.jsonl", pairs, LeftOut(), shots=[2, 16])
    assert len(selector._parts.examples) == 2
    assert selector.left_out == ["left out: 16 examples; there are too few instructions to show so many"]

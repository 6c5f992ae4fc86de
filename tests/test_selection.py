"""Choosing a prompt: the parts, the race, and a decision that is right more often than chance allows it to be wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif_fast import Judge
from rlaif_fast.errors import EvalError, PairError
from rlaif_fast.evaluation.calibration import Calibration
from rlaif_fast.evaluation.records import Floats, half
from rlaif_fast.prompts.built_in import BUILT_IN
from rlaif_fast.prompts.few_shot import with_exemplars, worked
from rlaif_fast.prompts.template import Wording
from rlaif_fast.prompts.template_file import read_template, to_toml
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.selection import race as races
from rlaif_fast.selection.choosing import Chosen, choose, require_enough, sample_of_pairs
from rlaif_fast.selection.comparison import against
from rlaif_fast.selection.parts import split
from rlaif_fast.selection.profile import Judging, Profile, read_profile
from rlaif_fast.selection.readings import Readings
from rlaif_fast.selection.ways import BOTH, ONE, WAYS, Way, right

FORWARD = Way("forward")


class Answers:
    """Made-up readings: log-odds of every pair through every prompt, which are there already."""

    def __init__(self, odds: Mapping[str, Floats], too_long: Sequence[str] = ()) -> None:
        self._all, self._too_long, self._read, self.count = odds, too_long, dict[str, Floats](), 0

    @property
    def prompts(self) -> list[str]:
        return list(self._read)

    def digest(self, prompt: str) -> str:
        return prompt

    def odds(self, prompt: str) -> Floats:
        return self._read.setdefault(prompt, np.full_like(self._all[prompt], np.nan))

    def read(self, prompt: str, places: Sequence[int], orders: Literal["both", "forward"] = "both") -> Floats:
        if prompt in self._too_long:
            raise PairError("file, line 3: the prompt has 9 tokens, the model takes 8")
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


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=200), st.integers(0, 8))
def test_parts_share_no_instruction_and_lose_no_pair_but_those_of_the_examples(kinds: list[int], shown: int) -> None:
    texts = [f"text {kind}" for kind in kinds]
    parts = split(texts, shown)
    examples, chosen_on, tested_on = ({texts[k] for k in places} for places in vars(parts).values())
    assert not examples & chosen_on and not chosen_on & tested_on and not examples & tested_on
    assert examples | chosen_on | tested_on == set(texts)
    assert len(parts.examples) == len(examples) <= shown
    assert len(examples) * 10 <= len(examples) + len(chosen_on), "most are left to choose on"
    assert all(half(text) for text in tested_on) and not any(half(text) for text in examples | chosen_on)
    for places, texts_of in ((parts.chosen_on, chosen_on), (parts.tested_on, tested_on)):
        assert sorted(places) == [k for k, text in enumerate(texts) if text in texts_of], "each pair once"


def test_pairs_on_one_instruction_stand_together() -> None:
    texts = [f"text {k % 17}" for k in range(200)]
    order = [texts[k] for k in split(texts, 0).chosen_on]
    changes = sum(a != b for a, b in pairwise(order))
    assert changes == len(set(order)) - 1


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 14), st.integers(0, 3), st.integers(1, 500))
def test_a_race_reads_what_was_foretold_and_the_best_one_wins(prompts: int, entering: int, pairs: int) -> None:
    names = [f"p{k}" for k in range(prompts)]
    read: dict[str, int] = {}

    def share(name: str, size: int) -> float:
        read[name] = max(size, read.get(name, 0))
        return 1.0 if name == "p0" else 0.5

    entered: list[str] = []

    def enter(best: str) -> list[str]:
        assert best == "p0"
        entered.extend(f"e{k}" for k in range(entering))
        return entered

    left = races.race(names, pairs, share, enter)
    assert left[0] == "p0" and read["p0"] == pairs
    assert len(entered) == entering, "once"
    assert sum(read.values()) == races.readings(prompts, entering, pairs)


def test_losers_cost_little() -> None:
    assert races.sizes(400) == [50, 100, 200, 400]
    assert races.sizes(40) == [40] and races.sizes(100) == [50, 100], "a few pairs say nothing"
    assert races.readings(12, 0, 400) < 0.4 * 12 * 400


def test_ways_are_what_the_verdicts_say() -> None:
    """Against arithmetic on single numbers: the mean probability of two orders, or one order less its leaning."""
    draw = np.random.RandomState(3)
    odds, human_0 = draw.normal((0.9, -0.9), 2, (50, 2)), draw.randint(0, 2, 50) > 0
    lean = sum((f - s) / 2 for f, s in odds) / len(odds)

    def p(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    both = [(p(f) + p(s) > 1) == bool(y) for (f, s), y in zip(odds, human_0, strict=True)]
    assert right(odds, human_0, BOTH).tolist() == both
    one = [
        sum((p(x) > 0.5) == bool(y) for x in (f - lean, s + lean)) / 2 for (f, s), y in zip(odds, human_0, strict=True)
    ]
    assert right(odds, human_0, ONE).tolist() == one


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
    """Eight prompts in three ways each, and one with examples; the labels have nothing to do with any of them."""
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
            orders = [a * forward + b, a * swapped - b][: 1 if chosen.best.way == ONE else 2]
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
    assert chosen.best is not None and (chosen.best.prompt, chosen.best.way) == ("odd", BOTH)
    assert recommended(chosen) == "odd"


def test_a_prompt_that_a_pair_is_too_long_for_is_left_out_and_said() -> None:
    pairs, answers = made_up(6, 300, {"current": 0.0, "good": 1.5, "long": 3.0})
    answers._too_long = ["long"]
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


def _profile() -> Profile:
    calibration = Calibration("d" * 64, 1.5, -0.25, {"source": "x", "pairs": 9, "groups": 8})
    return Profile(Judging("microsoft/phi-1_5", "int8", "d" * 64), "summary-chat", ONE, calibration, {"pairs": 3})


def test_a_profile_reads_back(tmp_path: Path) -> None:
    for profile in (_profile(), Profile(_profile().judge, "p", BOTH, None, {}), Profile(_profile().judge, "p", FORWARD,
                                                                                         None, {})):  # fmt: skip
        path = tmp_path / "p.json"
        path.write_text(profile.to_json())
        assert read_profile(path) == profile
    assert _profile().folder.name == "microsoft-phi-1_5-int8"
    with pytest.raises(EvalError, match="was made for another judge than microsoft/phi-1_5"):
        profile.require_judge("e" * 64, path)


@pytest.mark.parametrize(
    "change",
    [
        ('"schema": 1', '"schema": 2'), ('"orders": "forward"', '"orders": "prior"'), ('"a": 1.5', '"a": -1'),
        ('"a": 1.5', '"a": NaN'), ('"digest"', '"other"'), ('"prompt": "summary-chat"', '"prompt": 3'), ("{", "["),
    ],
)  # fmt: skip
def test_a_damaged_profile_is_refused_in_one_line(change: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(_profile().to_json().replace(*change))
    with pytest.raises(EvalError) as caught:
        read_profile(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(*[st.text(min_size=1).filter(lambda t: t.strip() and "\0" not in t)] * 3), max_size=4),
       st.booleans())  # fmt: skip
def test_a_template_with_examples_reads_back(texts: list[tuple[str, str, str]], first: bool) -> None:
    rows: list[Pair] = []
    for k, (instruction, a, b) in enumerate(texts):
        if a != b:
            carried: dict[str, Any] = {"label": (k + first) % 2}
            rows.append(Pair(instruction, a, b, k, carried))
    wording: Wording = with_exemplars(BUILT_IN["helpful"], worked(rows))
    import tempfile

    with tempfile.TemporaryDirectory() as made:
        path = Path(made, "t.toml")
        path.write_text(to_toml(wording), encoding="utf-8", newline="")
        assert read_template(str(path)).wording == wording


def test_what_was_read_is_not_read_again(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor in another run, on other pairs too; a line that was cut off is read again, another prompt's is not taken."""
    monkeypatch.setenv("RLAIF_FAST_HOME", str(tmp_path))
    pairs = [Pair(f"text {k}", "one response", "another one", k) for k in range(6)]
    told: list[tuple[int, bool]] = []

    def readings(of: Sequence[Pair]) -> Readings:
        told.clear()
        return Readings(of, lambda prompt: Judge.load(llama), lambda count, now: told.append((count, now)))

    first = readings(pairs).read("summary", [0, 1, 2])
    wanted = [verdict.log_odds_by_order for verdict in Judge.load(llama).judge_many(pairs[:3])]
    assert np.abs(first - wanted).max() < 1e-4 and sum(count for count, now in told if now) == 3
    (file,) = (tmp_path / "readings").iterdir()
    file.write_text(file.read_text()[:-9])
    again = readings([pairs[5], *pairs[:3]]).read("summary", [1, 2, 3, 0])
    assert np.abs(again[:3] - first).max() < 1e-4 and (again[:2] == first[:2]).all()
    assert sum(count for count, now in told if now) == 2, "what was cut off, and the new pair"
    one_order = readings(pairs).read("summary", [0], "forward")
    assert np.isnan(one_order[0, 1]) and sum(count for count, now in told if now) == 1

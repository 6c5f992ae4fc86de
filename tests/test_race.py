"""The parts of a selection's pairs, and the race of the prompts over one of them."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif_fast.evaluation.records import half
from rlaif_fast.selection import race as races
from rlaif_fast.selection.parts import split


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
    assert races.readings(4, 1, 100) == 4 * 50 + 1 * 50 + 3 * 50, "all read 50, then the better three of five"
    assert races.readings(12, 0, 400) < 0.4 * 12 * 400

"""Exchanging the two responses mirrors the verdict, to the last bit, whichever engine computes it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif_fast import Judge, Pair
from rlaif_fast.bundle.folder import Bundle
from rlaif_fast.judging.verdict import Verdict
from rlaif_fast.prompts.template import Template
from rlaif_fast.runtime.engines import variant, variants
from rlaif_fast.runtime.packing import canonical, pack
from rlaif_fast_export.adding import add_prompts
from rlaif_fast_export.sources.source import find_source

OWN = Template("own", "Which is better?\nB: {second}\nA: {first}\nFor: {instruction}\nIt is ", ("A", "B"))
TIED = Template("tied", "A or B? C if neither is.\n{instruction}\nA: {first}\nB: {second}\nAnswer: ", ("A", "B", "C"))
_WORDS = ("seven", "wizards", "brew", "hot", "jam", "The", "lazy", "dog", "jumps", "over", "a", "fox", "1", "é", "\n")


@pytest.fixture(scope="module", params=["fp32", "int8"])
def folder(
    request: pytest.FixtureRequest, llama: Path, tiny_int8: Callable[[str], Path], tiny_folder: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:  # fmt: skip
    """A bundle with prompts of a user's own beside the built-in one."""
    bundle = llama if request.param == "fp32" else tiny_int8("llama")
    copied = Path(shutil.copytree(bundle, tmp_path_factory.mktemp(request.param) / "bundle"))
    source = find_source(str(tiny_folder("llama")))
    add_prompts(copied, source, [OWN, TIED], chat=False, progress=lambda what, share: None, max_delta=1.0)
    return copied


def exchanged(pair: Pair) -> Pair:
    return replace(pair, response_0=pair.response_1, response_1=pair.response_0)


def random_pairs(seed: int, n: int) -> list[Pair]:
    """Of all lengths, a third on an instruction that comes again; some responses begin alike, or are equal."""
    of = random.Random(seed)

    def text(most: int) -> str:
        return " ".join(of.choices(_WORDS, k=of.randint(1, most)))

    instructions, found = [text(60) for _ in range(n)], []
    for number in range(n):
        first = text(40)
        second = of.choice([text(40), f"{first} {text(9)}", first[: len(first) // 2] + text(20), first])
        pair = Pair(instructions[number if number % 3 else 0], first, second, id=number)
        found.append(of.choice([pair, exchanged(pair)]))
    return found


def require_mirrored(one: Verdict, other: Verdict) -> None:
    first, second = one.log_odds_by_order
    assert other.log_odds_by_order == (-second, -first)
    assert other.p1_by_order == tuple(1 - p for p in reversed(one.p1_by_order))
    assert (other.p1, other.p2) == (one.p2, one.p1)
    assert other.p1 + one.p1 == 1.0
    assert other.label == (2 if one.p1 == 0.5 else 3 - one.label)
    if one.p_tie_by_order is not None:
        assert other.p_tie_by_order == one.p_tie_by_order[::-1] and other.p_tie == one.p_tie
    if first and second:
        assert other.consistent == one.consistent


@pytest.mark.parametrize("template", ["summary", "own", "tied"])
@pytest.mark.parametrize("engine", [v.name for v in variants()])
def test_exchanged_responses_mirror_the_verdict(engine: str, template: str, folder: Path) -> None:
    """Alone and in company, all of a file exchanged or some of it."""
    bundle = Bundle(folder, template)
    if (refusal := variant(engine).refusal(bundle.manifest)) is not None:
        pytest.skip(f"{engine}: {refusal}")
    judge, pairs = Judge(bundle, engine=engine), random_pairs(len(template), 18)
    some = [exchanged(pair) if number % 3 != 1 else pair for number, pair in enumerate(pairs)]
    for window in (1, len(pairs)):
        found, all_of_them, some_of_them = (
            list(judge.judge_many(given, window=window)) for given in (pairs, map(exchanged, pairs), some)
        )
        for one, other, maybe in zip(found, all_of_them, some_of_them, strict=True):
            require_mirrored(one, other)
            if maybe.pair == one.pair:
                assert maybe == one
            else:
                require_mirrored(one, maybe)
    assert len({verdict.label for verdict in found}) == 2, "one label for all tests half of it"


@settings(deadline=None)
@given(st.floats(-36, 36), st.floats(-36, 36))
def test_numbers_of_a_verdict_mirror(first: float, second: float) -> None:
    pair = Pair("i", "zero", "one")
    require_mirrored(Verdict(pair, (first, second)), Verdict(exchanged(pair), (-second, -first)))


@settings(deadline=None)
@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_halves_of_any_two_numbers_add_up(first: float, second: float) -> None:
    """Where one of them is nearer to 1 than any other float is, the smaller keeps its own digits."""
    pair = Pair("i", "zero", "one")
    one, other = Verdict(pair, (first, second)), Verdict(exchanged(pair), (-second, -first))
    assert one.p1 + other.p1 == one.p1 + one.p2 == 1.0
    assert [p + q for p, q in zip(one.p1_by_order, reversed(other.p1_by_order), strict=True)] == [1.0, 1.0]


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=5), min_size=1, max_size=5), st.randoms())
def test_a_tree_does_not_tell_the_order_its_sequences_were_given_in(
    sequences: list[list[int]], of: random.Random
) -> None:
    ordered, places = canonical(sequences)
    assert [ordered[place] for place in places] == sequences
    shuffled = list(sequences)
    of.shuffle(shuffled)
    tree, other = pack(ordered, []), pack(canonical(shuffled)[0], [])
    for name in ("input_ids", "position_ids", "attention_bias", "judged"):
        np.testing.assert_array_equal(getattr(tree, name), getattr(other, name))

"""`rank --exact`: the order and the labels of float32, whatever int8 may be wrong by."""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif_fast import ArgumentError, ExactJudge, Judge, Pair, Ranker, Verdict
from rlaif_fast.evaluation.calibration import Calibration
from rlaif_fast.judging.exact import BUDGET
from rlaif_fast.judging.exact_ranking import ExactRankings, keeps_order
from rlaif_fast.judging.ranking import Ranking, ranking_of
from rlaif_fast.judging.ranking_run import RankingRun
from rlaif_fast.judging.run_input import RunInput
from rlaif_fast.rows.candidates import Candidates
from tests.conftest import Run

Cli = Callable[..., Run]
WORDS = ["A", "good", "summary", "is", "coherent", "fox", "wizard", "jam", "lazy dog", "1", "2", "!!!", "é日本", "Text"]


def _rows(count: int, sizes: tuple[int, ...] = (2, 3, 4, 5)) -> list[Candidates]:
    pick = random.Random(3)

    def text() -> str:
        return " ".join(pick.choices(WORDS, k=pick.randint(1, 12)))

    return [Candidates(f"{text()} {n}", tuple(text() for _ in range(sizes[n % len(sizes)])), n) for n in range(count)]


# The rule


def _ranking(texts: str, p: dict[tuple[int, int], float]) -> Ranking:
    """Of responses that are a letter each, from p1 by pair."""
    of = Candidates("i", tuple(texts))
    return ranking_of(of, {
        key: Verdict(Pair("i", texts[key[0]], texts[key[1]]), (math.log(value / (1 - value)),))
        for key, value in p.items()
    })  # fmt: skip


def _moved(texts: str, p: dict[tuple[int, int], float], up: int, down: int, by: float) -> Ranking:
    """The same where every verdict on ``up`` is better for it by ``by``, and every one on ``down`` is worse."""

    def value(i: int, j: int) -> float:
        sign = (i == up) + (j == down) - (j == up) - (i == down)
        return min(1 - 1e-12, max(1e-12, p[i, j] + by * max(-1, min(1, sign))))

    return _ranking(texts, {key: value(*key) for key in p})


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(["ab", "abc", "abcd", "abcde", "abac", "aabb", "abcca"]), st.floats(0.001, 0.12), st.data())
def test_the_worst_error_does_not_change_an_order_that_is_kept(texts: str, bound: float, data: st.DataObject) -> None:
    """A ranking is a mixed bag of wins, some in the order of the letters, so that the rule is met now and then."""
    pairs = [key for key, _ in Candidates("i", tuple(texts)).pairs()]
    values = st.sampled_from([0.04, 0.3, 0.5, 0.7, 0.9, 0.97, 0.99])
    p = {key: data.draw(values) for key in pairs}
    found = _ranking(texts, p)
    kept = keeps_order(found, bound)
    for up in found.candidates.first_places:
        for down in found.candidates.first_places:
            if up != down and kept:
                assert _moved(texts, p, up, down, bound).ranking == found.ranking


@pytest.mark.parametrize("n", [2, 3, 4, 6])
def test_the_rule_allows_no_more_than_is_needed(n: int) -> None:
    """The sums of the first two are 2 b (n - 1) apart: an error a little larger turns them, a little smaller does not.

    The others are far behind.
    """
    bound, texts = 0.01, "abcdef"[:n]
    gap = 2 * bound * (n - 1)
    p = {key: 0.8 if key[0] < 2 else 0.9 for key, _ in Candidates("i", tuple(texts)).pairs()}
    p[0, 1] = 0.5 + gap / 2
    found = _ranking(texts, p)
    assert keeps_order(found, bound * 0.999) and not keeps_order(found, bound * 1.001)
    assert _moved(texts, p, 1, 0, bound * 0.999).ranking[0] == 0
    assert _moved(texts, p, 1, 0, bound * 1.001).ranking[0] == 1


def test_sums_that_are_apart_by_the_bound_alone_are_not_apart() -> None:
    """0.08 in decimals: in binary the difference of the sums is a digit above it, and the worst error is a tie."""
    p = dict(zip([key for key, _ in Candidates("i", tuple("abcde")).pairs()],
                 [0.99, 0.04, 0.3, 0.3, 0.7, 0.5, 0.3, 0.7, 0.04, 0.04], strict=True))  # fmt: skip
    assert not keeps_order(_ranking("abcde", p), 0.01)


def test_equal_responses_are_in_any_order_sure() -> None:
    assert keeps_order(_ranking("aa", {}), 0.5)
    assert keeps_order(_ranking("aab", {(0, 2): 0.9}), 0.1), "two equal ones need not be told apart"
    assert not keeps_order(_ranking("aab", {(0, 2): 0.6}), 0.1)


# On bundles


@pytest.fixture(scope="module")
def judges(tiny_int8: Callable[[str], Path], tiny_bundle: Callable[[str], Path]) -> tuple[Judge, Judge]:
    """Int8 and float32 of a model that is decided about many pairs."""
    return Judge.load(tiny_int8("mistral")), Judge.load(tiny_bundle("mistral"))


@pytest.fixture(scope="module")
def undecided(tiny_int8: Callable[[str], Path], tiny_bundle: Callable[[str], Path]) -> tuple[Judge, Judge]:
    """The same of a model whose verdicts are near ties."""
    return Judge.load(tiny_int8("qwen3")), Judge.load(tiny_bundle("qwen3"))


@pytest.mark.parametrize("which", ["judges", "undecided"])
def test_rankings_are_float32s(which: str, request: pytest.FixtureRequest) -> None:
    """Row by row, so that int8 is tried on each; and every number is of one bundle."""
    fast, float32 = request.getfixturevalue(which)
    rows = [*_rows(40), *_rows(1, (7,))]
    ranker = Ranker(ExactJudge(fast, float32))
    assert ranker.exact is not None
    wanted, by_int8 = list(Ranker(float32).rank_many(rows)), list(Ranker(fast).rank_many(rows))
    for row, exact, rounded in zip(rows, wanted, by_int8, strict=True):
        before = ranker.exact.decided
        found = ranker.rank(row.instruction, row.responses)
        assert found.ranking == exact.ranking
        assert [v.label for v in found.verdicts.values()] == [v.label for v in exact.verdicts.values()]
        of = rounded if ranker.exact.decided > before else exact
        assert (found.wins, found.strengths) == (of.wins, of.strengths), "to the last digit"
    counts = ranker.exact
    assert counts.decided + counts.again + counts.directly == len(rows) and counts.again > 2 and counts.directly > 0
    if which == "judges":
        assert counts.decided > 5
    else:
        assert sum(a.ranking != b.ranking for a, b in zip(wanted, by_int8, strict=True)) > 2, "int8 alone is wrong"


def test_both_rules_count(judges: tuple[Judge, Judge]) -> None:
    """Int8 decides a row where every label and the order are sure; one of them is not enough."""
    judge, narrower = ExactJudge(*judges), set()
    for row in _rows(40, (3, 4)):
        ranking = next(Ranker(judges[0]).rank_many([row]))
        sums = sorted(math.fsum(wins) for wins in ranking.wins)
        label = min(abs(verdict.p1 - 0.5) for verdict in ranking.verdicts.values())
        order = min(b - a for a, b in pairwise(sums)) / (2 * len(sums) - 2)
        narrower.add(label < order)
        for bound, decided in ((0.999 * min(label, order), 1), (1.001 * min(label, order), 0)):
            judge.bound, found = bound, ExactRankings(judge)
            next(found.rank_many([row]))
            assert (found.decided, found.again) == (decided, 1 - decided)
    assert narrower == {True, False}


def test_a_run_gives_int8_up_where_it_does_not_pay(judges: tuple[Judge, Judge]) -> None:
    fast, float32 = judges
    rows, judge = _rows(30, (4, 3)), ExactJudge(fast, float32)
    judge.bound = 0.5  # everything is close
    found = ExactRankings(judge)
    rankings = list(found.rank_many(rows))
    assert (found.decided, found.directly) == (0, len(rows) - found.again) and 0 < found.again < 12
    wanted = list(Ranker(float32).rank_many(rows))
    assert [ranking.wins for ranking in rankings] == [ranking.wins for ranking in wanted]
    costs = [found._costs(row) for row in rows]
    lost = sum(int8 / row.pair_count for row, (int8, _) in list(zip(rows, costs, strict=True))[: found.again])
    assert lost <= BUDGET * sum(cost for _, cost in costs) + max(int8 for int8, _ in costs)
    judge.bound = 0.0  # nothing is
    sure = ExactRankings(judge)
    list(sure.rank_many(_rows(20, (2, 3))))
    assert (sure.decided, sure.again, sure.directly) == (20, 0, 0)


def test_the_rest_of_a_run_is_the_same(judges: tuple[Judge, Judge]) -> None:
    judge = ExactJudge(*judges)
    judge.bound /= 8  # so that int8 decides some before it is given up in a window
    rows, ranker = _rows(70, (4, 2, 3)), Ranker(judge)
    once = [ranking.wins for ranking in ranker.rank_many(rows)]
    assert ranker.exact is not None and min(ranker.exact.decided, ranker.exact.again, ranker.exact.directly) > 0
    for done in (1, 20, 45, 69, 70):
        assert [ranking.wins for ranking in ranker.rank_many(rows, done=done)] == once[done:]


def test_what_an_exact_judge_does_not_promise_is_refused(judges: tuple[Judge, Judge]) -> None:
    judge = ExactJudge(*judges)
    with pytest.raises(ArgumentError, match=r"^orders: 'forward' is not for an ExactJudge"):
        Ranker(judge).rank("i", ["a", "b"], "forward")
    with pytest.raises(ArgumentError, match=r"^calibration: not for an ExactJudge"):
        Ranker(judge, Calibration(judges[0].digest, 2.0, 0.0, {}))


def test_long_and_equal_responses(judges: tuple[Judge, Judge]) -> None:
    ranker, wanted = Ranker(ExactJudge(*judges)), Ranker(judges[1])
    long = replace(_rows(1, (3,))[0], instruction="The quick brown fox. " * 400)
    short = ranker.shortened(long)
    assert short == wanted.shortened(long)
    assert next(ranker.rank_many([short])).ranking == next(wanted.rank_many([short])).ranking
    same = ranker.rank("i", ["a", "a", "a"])
    assert same.ranking == [0, 1, 2] and same.verdicts == {}


# The command


def test_the_command(
    tiny_int8: Callable[[str], Path], tiny_bundle: Callable[[str], Path], tmp_path: Path, rlaif_fast: Cli
) -> None:
    rows, out, wanted = (tmp_path / file for file in ("rows.jsonl", "out.jsonl", "wanted.jsonl"))
    rows.write_text(
        "".join(
            json.dumps({"instruction": row.instruction, "responses": row.responses, "id": row.id}) + "\n"
            for row in _rows(40)
        )
    )
    shutil.copytree(tiny_int8("mistral"), tmp_path / "m-int8")
    missing = rlaif_fast("rank", rows, "-b", tmp_path / "m-int8", "--exact", home=tmp_path / "home")
    assert missing.status == 1
    assert "--exact needs the float32 bundle of the same model too; to make it: rlaif-fast" in missing.err
    shutil.copytree(tiny_bundle("mistral"), tmp_path / "m-fp32")
    exact = ("rank", rows, "-b", tmp_path / "m-int8", "--exact", "-o", out)
    float32 = ("rank", rows, "-b", tmp_path / "m-fp32", "-o", wanted)

    def order(path: Path) -> list[object]:
        found = [json.loads(line) for line in path.read_text().splitlines()]
        return [[row[key] for key in ("id", "ranking") if key in row] + [row.get("chosen")] for row in found]

    for options in ((), ("--to", "pairs"), ("--to", "pairs", "--pairs", "all")):
        done, by_float32 = (rlaif_fast(*run, "--restart", *options) for run in (exact, float32))
        assert done.status == by_float32.status == 0, done.err
        assert order(out) == order(wanted)
        assert " rows decided by int8, " in done.err.splitlines()[-1] and "exact: " not in by_float32.err
    by_itself = rlaif_fast(*float32, "--exact", "--restart")
    assert by_itself.status == 0 and "exact: " not in by_itself.err
    assert rlaif_fast(*exact, "--restart").status == 0
    whole = out.read_bytes()
    out.unlink()
    broken = b"".join(rows.read_bytes().splitlines(keepends=True)[:36]) + b'{"instruction": "i"}\n'
    assert rlaif_fast("rank", "-", *exact[2:], stdin=broken).status == 1
    refused = rlaif_fast("rank", "-", "-b", tmp_path / "m-int8", "-o", out, stdin=rows.read_bytes())
    assert refused.status == 1 and "began with --exact, now without --exact;" in refused.err
    assert rlaif_fast(*exact).status == 0 and out.read_bytes() == whole


def test_wrong_usage(llama: Path, rlaif_fast: Cli) -> None:
    """The last one is said as `judge` says it."""
    for options, message in (
        (
            ("--orders", "forward"),
            "--exact takes --orders both: its error bound holds for p1 averaged over both orders",
        ),
        (("--calibration", "c.json"), "--exact takes no --calibration: its error bound is not for calibrated p1s"),
        (("--engine", "openvino"), "--exact needs an error bound, which was measured with onnxruntime"),
    ):
        wrong = rlaif_fast("rank", "rows.jsonl", "-b", llama, "--exact", *options)
        assert wrong.status == 2 and message in wrong.err
    assert wrong.err == rlaif_fast("judge", "r", "--exact", *options).err.replace("judge", "rank")


def test_the_run_says_how_the_work_was_shared(judges: tuple[Judge, Judge]) -> None:
    fast, float32 = judges
    rows = RunInput.of(_rows(12))
    rows.check()
    run = RankingRun(rows, ranker := Ranker(ExactJudge(fast, float32)))
    assert len(list(run.results())) == 12
    assert ranker.exact is not None and run.lines()[1:] == [ranker.exact.line()]
    assert (run.bound["bundle"], run.bound["exact"]) == (fast.digest, float32.digest)
    assert RankingRun(rows, Ranker(fast)).bound["exact"] is None

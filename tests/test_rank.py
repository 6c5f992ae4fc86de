"""Rankings against PyTorch, against the judge's own verdicts, and through the real command."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from rlaif_fast import Judge, Pair, PairError
from rlaif_fast.bundle.prompt import Arrays
from rlaif_fast.judging.bradley_terry import strengths
from rlaif_fast.judging.ranker import Ranker
from rlaif_fast.judging.ranking import Ranking, pairs_of
from rlaif_fast.rows.candidates import Candidates, candidates_from_row, recognise
from rlaif_fast.runtime.engines import Engine
from rlaif_fast.runtime.packing import PackedTree
from rlaif_fast.schemas.field_mapping import field_mapping
from tests.conftest import Run
from tests.families import FAMILIES, tiny_model
from tests.plain_pytorch import reference_log_odds

Cli = Callable[..., Run]
TEXTS = ["A fox jumps.", "Seven wizards brew hot jam, quickly!", "1 or 2?\n\nLazy dog", "output 12"]
APART = [
    "!!!!!!!!!!!!",
    "1 1 1 1 1 1 1 1 1 1",
    "é日本語",
    "Preferred Summary=2",
]  # some tiny models tell others not apart
ROWS = [
    {"id": f"r{n}", "instruction": "The quick brown fox. " * (n + 1), "responses": TEXTS[: 2 + n % 3], "label": 1}
    for n in range(5)
]  # fmt: skip


@pytest.fixture(scope="module")
def ranker(llama_judge: Judge) -> Ranker:
    return Ranker(llama_judge)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_ranks_as_pytorch(name: str, tiny_bundle: Callable[[str], Path]) -> None:
    """Every entry of the matrices from a forward pass of PyTorch a prompt, and the judge's own verdict on each pair."""
    judge, model = Judge.load(tiny_bundle(name)), tiny_model(name)
    instruction = "The quick brown fox. " * 6
    found = Ranker(judge).rank(instruction, APART)
    wins = np.full((4, 4), 0.5)
    for i, j in permutations(range(4), 2):
        pair = Pair(instruction, APART[i], APART[j])
        forward, swapped = reference_log_odds(model, judge.prompt_tokens(pair), judge.manifest.prompt.label_ids)
        first, second = 1 / (1 + math.exp(-forward)), 1 / (1 + math.exp(swapped))
        wins[i, j] = (first + second) / 2
        assert found.wins_first[i][j] == pytest.approx(first, abs=1e-4)
        assert found.wins[i][j] == pytest.approx(judge.judge(pair).p1, abs=1e-5)
    np.testing.assert_allclose(found.wins, wins, rtol=0, atol=1e-4)
    wanted = strengths(wins.tolist())
    assert np.std(wanted) > 0.002, "a model that answers everything alike tests nothing"
    assert found.strengths == pytest.approx(wanted, abs=0.02 * float(np.std(wanted)))
    assert found.ranking == sorted(range(4), key=lambda i: -wanted[i])
    assert found.best == APART[found.ranking[0]]


def test_all_pairs_in_one_pass(ranker: Ranker, monkeypatch: pytest.MonkeyPatch) -> None:
    trees = _trees(monkeypatch)
    ranking = ranker.rank("The quick brown fox. " * 6, TEXTS)
    assert len(ranking.verdicts) == 6 and [len(tree.judged) for tree in trees] == [12]
    trees.clear()
    assert ranker.rank("The quick brown fox. " * 6, TEXTS, "forward").wins[0][1] != ranking.wins[0][1]
    assert [len(tree.judged) for tree in trees] == [6]


def test_an_int8_verdict_has_its_pass_alone(tiny_int8: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Judge.load(tiny_int8("llama"))
    ranking = Ranker(judge).rank("A fox.", TEXTS)
    for verdict in ranking.verdicts.values():
        assert verdict.log_odds_by_order == judge.judge(verdict.pair).log_odds_by_order, "to the last bit"
    trees = _trees(monkeypatch)
    Ranker(judge).rank("A fox.", TEXTS)
    assert [len(tree.judged) for tree in trees] == [2] * 6


def test_many_candidates_are_split_over_trees(ranker: Ranker, monkeypatch: pytest.MonkeyPatch) -> None:
    trees = _trees(monkeypatch)
    responses = [f"Wizards brew {n} jars of jam. " + "The lazy dog jumps. " * 5 for n in range(12)]
    ranking = ranker.rank("The quick brown fox. " * 10, responses)
    assert len(ranking.verdicts) == 66 and sorted(ranking.ranking) == list(range(12))
    assert sum(len(tree.judged) for tree in trees) == 132
    assert 1 < len(trees) < 66 and max(tree.tokens for tree in trees) <= 4096
    for (i, j), verdict in list(ranking.verdicts.items())[::7]:
        alone = ranker.judge.judge(Pair("The quick brown fox. " * 10, responses[i], responses[j]))
        assert verdict.log_odds_by_order == pytest.approx(alone.log_odds_by_order, abs=1e-4)


def _trees(monkeypatch: pytest.MonkeyPatch) -> list[PackedTree]:
    """The trees that are run from now on."""
    trees: list[PackedTree] = []
    run = Engine.run

    def noted(self: Engine, tree: PackedTree, prompt: Arrays) -> Any:
        trees.append(tree)
        return run(self, tree, prompt)

    monkeypatch.setattr(Engine, "run", noted)
    return trees


@pytest.mark.parametrize("orders", ["both", "forward"])
def test_equal_responses_are_a_tie(ranker: Ranker, orders: Any) -> None:
    a, b, c = TEXTS[:3]
    found, without = ranker.rank("Text.", [a, b, a, c], orders), ranker.rank("Text.", [a, b, c], orders)
    assert found.wins[0][2] == found.wins[2][0] == 0.5 and found.wins_first[0][2] is None
    assert found.wins[0][1] == found.wins[2][1] == without.wins[0][1]
    assert found.strengths[0] == found.strengths[2]
    assert found.ranking.index(2) == found.ranking.index(0) + 1, "equally strong ones in their own order"
    assert set(found.verdicts) == {(0, 1), (0, 3), (1, 3)}, "nothing is judged twice"
    same = ranker.rank("Text.", [a, a, a], orders)
    assert same.ranking == [0, 1, 2] and same.strengths == [0.0] * 3 and same.consistent_share is None
    assert list(pairs_of(same.row(), "all")) == list(pairs_of(same.row(), "best-worst")) == []


def test_one_response_is_nothing_to_rank(ranker: Ranker) -> None:
    with pytest.raises(PairError, match=r"^the candidates: has 1 response, ranking needs two or more"):
        ranker.rank("Text.", ["alone"])
    with pytest.raises(PairError, match=r"^f, line 3, id 'x': has no responses, ranking needs two"):
        candidates_from_row({"id": "x", "instruction": "i", "responses": []}, where="f, line 3")


def test_a_cycle_gives_its_pairs_and_no_best(ranker: Ranker) -> None:
    row = {
        "id": 7, "instruction": "i", "responses": ["a", "b", "c"], "ranking": [0, 1, 2], "strengths": [0, 0, 0],
        "wins": [[0.5, 0.8, 0.3], [0.2, 0.5, 0.8], [0.7, 0.2, 0.5]],
        "wins_first": [[None, 0.9, 0.4], [0.3, None, 0.9], [0.8, 0.3, None]],
    }  # fmt: skip
    assert list(pairs_of(row, "best-worst")) == [], "the last beats the first: neither is preferred"
    assert [(pair["id"], pair["p1"], pair["consistent"]) for pair in pairs_of(row, "all")] == [
        ("7/0-1", 0.8, True), ("7/2-0", 0.7, True), ("7/1-2", 0.8, True),
    ]  # fmt: skip
    row["wins_first"][1][0] = 0.7  # whoever is shown first
    assert [pair["consistent"] for pair in pairs_of(row, "all")] == [False, True, True]


def test_long_candidates(ranker: Ranker) -> None:
    long = Candidates("The quick brown fox. " * 400, tuple(TEXTS), where="rows.jsonl, line 3")
    with pytest.raises(PairError, match=r"^rows.jsonl, line 3, responses \d and \d: the prompt has [0-9,]+ tokens"):
        next(ranker.rank_many([long]))
    short = ranker.shortened(long)
    assert short.shown is not None and long.instruction.startswith(short.shown)
    lengths = [len(tokens) for _, pair in short.pairs() for tokens in ranker.judge.prompt_tokens(pair)]
    assert max(lengths) <= ranker.judge.manifest.maximum_length < max(lengths) + 20
    assert next(ranker.rank_many([short])).row()["truncated"] is True
    assert ranker.shortened(short) == short
    with pytest.raises(PairError, match="the responses alone are too long"):
        ranker.shortened(replace(long, responses=("a", "The quick brown fox. " * 400)))


SHAPES: list[tuple[dict[str, Any], list[str]]] = [
    ({"instruction": "i", "responses": ["a", "b", "c"]}, ["a", "b", "c"]),
    ({"prompt": "i", "responses": ["a", "b"]}, ["a", "b"]),
    ({"instruction": "i", "completions": [{"response": t, "overall_score": 1} for t in "abcd"]}, list("abcd")),
    ({"prompt": "i", "generations": ["a", "b", "c"]}, ["a", "b", "c"]),
    ({"instruction": [{"role": "user", "content": "i"}], "responses": ["a", [{"role": "assistant", "content": "b"}]]},
     ["a", "b"]),
    ({"instruction": "i", "generations": [[{"role": "assistant", "content": t}] for t in "ab"]}, ["a", "b"]),
    ({"instruction": "i", "response_0": "a", "response_1": "b", "response_2": "c", "response_3": ""}, ["a", "b", "c"]),
]  # fmt: skip


@pytest.mark.parametrize(("row", "wanted"), SHAPES)
def test_usual_shapes(row: dict[str, Any], wanted: list[str]) -> None:
    shape = recognise(row)
    assert shape is not None
    found = candidates_from_row(shape(row | {"extra": 1}))
    assert (found.instruction, list(found.responses), found.carried) == ("i", wanted, {"extra": 1})


def test_a_gap_in_the_columns_is_no_end() -> None:
    row = {"instruction": "i", "response_0": "a", "response_1": "b", "response_3": "d"}
    shape = recognise(row)
    assert shape is not None and shape(row | {"response_3": None})["responses"] == ["a", "b"]
    with pytest.raises(ValueError, match=r"^has response_3 and no response_2"):
        shape(row)


def test_fields_are_mapped() -> None:
    names = ("instruction", "responses", "id")
    row = {"q": "i", "answers": [{"text": "a"}, {"text": [{"role": "assistant", "content": "b"}]}], "key": 9}
    found = candidates_from_row(field_mapping("instruction=q,responses=answers.*.text,id=key", names)(row))
    assert (found.instruction, found.responses, found.id) == ("i", ("a", "b"), 9)
    with pytest.raises(ValueError, match=r"has no other \('text'|has no other"):
        field_mapping("responses=answers.*.other,instruction=q", names)(row)
    assert candidates_from_row(field_mapping("instruction=q,responses=all.*", names)({"q": "i", "all": ["a", "b"]}))


BAD = {
    "one response": ({"instruction": "i", "responses": ["a"]}, "has 1 response, ranking needs two or more"),
    "no list": ({"instruction": "i", "responses": "a"}, "field 'responses' is a string, it must be an array"),
    "no string": ({"instruction": "i", "responses": ["a", 5]}, "field 'responses.1' is a number"),
    "an empty one": ({"instruction": "i", "responses": ["a", " "]}, "field 'responses.1' is empty"),
    "a NUL": ({"instruction": "i", "responses": ["a\0", "b"]}, "field 'responses.0' has a NUL at character 1"),
    "none": ({"instruction": "i"}, "field 'responses' is missing (the row has 'instruction')"),
    "no instruction": ({"responses": ["a", "b"]}, "field 'instruction' is missing (the row has 'responses')"),
    "over the context": ({"instruction": "the fox " * 4000, "responses": ["a", "b", "c"]}, "the prompt has "),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_row_is_named_or_set_aside(kind: str, llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    bad, reason = BAD[kind]
    rows, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    _write(rows, [ROWS[0], bad, ROWS[1]])
    stopped = rlaif_fast("rank", rows, "-b", llama, "-o", out)
    assert stopped.status == 1 and stopped.err.count("\n") == 1
    assert stopped.err.startswith(f"error: {rows}, line 2") and reason in stopped.err
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"], "nothing is left behind"
    skipped = rlaif_fast("rank", rows, "-b", llama, "-o", out, "--on-error", "skip")
    assert skipped.status == 1 and "3 rows, 2 ranked, 1 skipped" in skipped.err
    assert [row["id"] for row in _read(out)] == ["r0", "r1"]


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _rankings(llama: Path) -> list[Ranking]:
    return list(Ranker.load(llama).rank_many(map(candidates_from_row, ROWS)))


def test_the_command(llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    rows, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    _write(rows, ROWS)
    done = rlaif_fast("rank", rows, "-b", llama, "-o", out)
    assert done.status == 0, done.err
    found = _read(out)
    assert found == [ranking.row() for ranking in _rankings(llama)]
    assert [row["human_label"] for row in found] == [1] * 5 and found[0]["truncated"] is False
    assert "human_label_from_1" not in found[0], "nothing in a ranking counts from 1"
    assert list(found[0])[:4] == ["id", "instruction", "responses", "ranking"]
    assert re.search(r"5 rows, 5 ranked, 14 pairs, same position \S+ %, \S+ rows/s, ranked in \S+ s\n$", done.err)
    assert rlaif_fast("rank", rows, "-b", llama).out == out.read_text()
    wrong = rlaif_fast("rank", rows, "-b", llama, "--pairs", "all")
    assert wrong.status == 2 and "--pairs needs --to trl" in wrong.err


def test_all_pairs_are_what_judge_writes(llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    rows, out, judged = tmp_path / "rows.jsonl", tmp_path / "out.jsonl", tmp_path / "judged.jsonl"
    _write(rows, ROWS)
    assert rlaif_fast("rank", rows, "-b", llama, "-o", out, "--to", "pairs", "--pairs", "all").status == 0
    found = _read(out)
    assert rlaif_fast("rank", rows, "-b", llama, "--to", "pairs", "--pairs", "all").out == out.read_text()
    _write(
        tmp_path / "pairs.jsonl",
        [
            {"instruction": row["instruction"], "response_0": row["responses"][i], "response_1": row["responses"][j]}
            for row in ROWS for j in range(len(row["responses"])) for i in range(j)
        ],
    )  # fmt: skip
    assert rlaif_fast("judge", tmp_path / "pairs.jsonl", "-b", llama, "-o", judged, "--to", "trl").status == 0
    texts = lambda row: (row["prompt"], row["chosen"], row["rejected"])  # noqa: E731
    wanted = {texts(row): row for row in _read(judged)}
    assert len(found) == len(wanted) == 14 and {texts(row) for row in found} == set(wanted)
    for row in found:
        of = wanted[texts(row)]
        assert list(row) == list(of) and row["consistent"] == of["consistent"]
        assert row["margin"] == pytest.approx(of["margin"], abs=1e-4)
        assert row["soft_label"] == pytest.approx(of["soft_label"], abs=1e-4)
    assert len({row["id"] for row in found}) == 14


def test_best_and_worst(llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    rows, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    _write(rows, ROWS)
    assert rlaif_fast("rank", rows, "-b", llama, "-o", out, "--to", "pairs").status == 0
    found = _read(out)
    for row, ranking in zip(found, _rankings(llama), strict=True):
        best, worst = ranking.ranking[0], ranking.ranking[-1]
        assert row["id"] == f"{ranking.candidates.id}/{best}-{worst}"
        assert (row["chosen"], row["rejected"]) == (ranking.best, ranking.candidates.responses[worst])
        assert row["margin"] == pytest.approx(ranking.wins[best][worst] - ranking.wins[worst][best])


@pytest.mark.parametrize("kind", ["json", "csv", "parquet", "jsonl.gz"])
def test_every_format_out(kind: str, llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    rows, out = tmp_path / "rows.jsonl", tmp_path / f"out.{kind}"
    _write(rows, ROWS)
    assert rlaif_fast("rank", rows, "-b", llama, "-o", out).status == 0
    assert rlaif_fast("rank", rows, "-b", llama, "-o", tmp_path / "plain.jsonl").status == 0
    wanted = _read(tmp_path / "plain.jsonl")
    if kind == "parquet":
        assert pq.read_table(out).to_pylist() == wanted
        again = rlaif_fast("rank", out, "-b", llama, "-o", tmp_path / "again.jsonl")
        assert again.status == 0, again.err
        assert [row["wins"] for row in _read(tmp_path / "again.jsonl")] == [row["wins"] for row in wanted]
    if kind == "json":
        assert json.loads(out.read_text()) == wanted
    assert out.stat().st_size > 100


def test_a_stopped_run_goes_on(llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    rows, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    _write(rows, ROWS)
    assert rlaif_fast("rank", rows, "-b", llama, "-o", out).status == 0
    whole = out.read_bytes()
    out.unlink()
    _write(rows, [*ROWS[:3], {"instruction": "i"}])
    broken = rlaif_fast("rank", "-", "-b", llama, "-o", out, stdin=rows.read_bytes())  # a pipe is not looked through
    assert broken.status == 1 and (tmp_path / "out.jsonl.journal").exists() and not out.exists()
    _write(rows, ROWS)
    refused = rlaif_fast("rank", rows, "-b", llama, "-o", out, "--orders", "forward")
    assert refused.status == 1 and "began with --orders both, now with --orders forward;" in refused.err
    done = rlaif_fast("rank", rows, "-b", llama, "-o", out)
    assert done.status == 0 and "resuming after 3 rows" in done.err
    assert out.read_bytes() == whole


def test_judge_takes_two_and_names_rank(llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    rows, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    _write(rows, [{"instruction": "i", "responses": ["a", "b"]}])
    assert rlaif_fast("judge", rows, "-b", llama, "-o", out).status == 0
    assert {_read(out)[0][name] for name in ("chosen", "rejected")} == {"a", "b"}
    for row in ({"responses": ["a", "b", "c"]}, {"completions": [{"response": text} for text in "abc"]}):
        _write(rows, [{"instruction": "i", **row}])
        more = rlaif_fast("judge", rows, "-b", llama, "-o", out)
        assert more.status == 1 and more.err.count("\n") == 1
        assert (
            more.err
            == f"error: {rows}, line 1: has 3 {next(iter(row))}, two are needed; rank them with rlaif-fast rank\n"
        )

"""The judge in TRL's, datasets' and pandas' own hands."""

from __future__ import annotations

import multiprocessing
import pickle
import shutil
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
from transformers import GenerationConfig

from rlaif_fast import ArgumentError, BundleError, Judge, Pair, PairError
from rlaif_fast.bundle.folder import read_manifest, write_manifest
from rlaif_fast.integrations import Labeler, PairwiseJudge
from rlaif_fast.runtime.engine_choice import Tried, Tuned, remember
from tests.conftest import ROOT
from tests.families import tiny_model, tiny_tokenizer
from tests.test_lean import _modules

NO_TRL = "TRL before 1.0, which needs transformers 4, is not installed (make test-next)"
PAIRS: list[dict[str, Any]] = [
    {"instruction": text, "response_0": first, "response_1": second, "label": n % 2}
    for n, (text, first, second) in enumerate(
        (text, first, second)
        for text in ("A fox jumps.", "Seven wizards brew hot jam while the lazy dog sleeps.", "1\n2\n")
        for first, second in (("The fox.", "Wizards make jam."), ("A dog.", "1"), ("jam " * 30, "Quick!"))
    )
]
PROMPTS = [row["instruction"] for row in PAIRS]
COMPLETIONS = [[row["response_0"], row["response_1"]] for row in PAIRS]


@pytest.fixture(scope="module")
def pairwise(llama_judge: Judge) -> PairwiseJudge:
    return PairwiseJudge(llama_judge)


@pytest.fixture(scope="module")
def p1(llama_judge: Judge) -> list[float]:
    """The judge's own, pair by pair."""
    found = [llama_judge.judge(Pair(r["instruction"], r["response_0"], r["response_1"])).p1 for r in PAIRS]
    assert {p > 0.5 for p in found} == {True, False}, "a judge that answers everything alike tests nothing"
    return found


def test_a_vote_is_the_judges(pairwise: PairwiseJudge, p1: list[float]) -> None:
    assert pairwise.judge(PROMPTS, COMPLETIONS) == [0 if p > 0.5 else 1 for p in p1]
    assert pairwise.judge(PROMPTS, COMPLETIONS, shuffle_order=False) == pairwise.judge(PROMPTS, COMPLETIONS)
    scores = pairwise.judge(PROMPTS, COMPLETIONS, return_scores=True)
    np.testing.assert_allclose(scores, p1, rtol=0, atol=1e-4)
    swapped = pairwise.judge(PROMPTS, [(b, a) for a, b in COMPLETIONS], return_scores=True)
    np.testing.assert_allclose(1 - np.array(swapped), scores, rtol=0, atol=1e-4)
    assert pairwise.judge([], []) == []


def test_the_same_text_twice_is_a_tie(pairwise: PairwiseJudge) -> None:
    """TRL's WinRateCallback asks it before the training begins."""
    prompts = [f"prompt {n}" for n in range(200)]
    twice = [("The same.", "The same.")] * 200
    assert pairwise.judge(prompts, twice, return_scores=True) == [0.5] * 200
    votes = pairwise.judge(prompts, twice)
    assert set(votes) == {0, 1} and 70 < sum(votes) < 130 and votes == pairwise.judge(prompts, twice)
    mixed = pairwise.judge(PROMPTS[:2], [COMPLETIONS[0], ("x", "x")], return_scores=True)
    assert mixed == [pairwise.judge(PROMPTS[:1], COMPLETIONS[:1], return_scores=True)[0], 0.5]


def test_a_model_that_says_nothing_is_judged(pairwise: PairwiseJudge) -> None:
    (score,) = pairwise.judge(["A fox."], [("", "The fox.")], return_scores=True)
    assert 0 < score < 1


@pytest.mark.parametrize(
    ("prompts", "completions", "message"),
    [
        (["a"], [["b", "c", "d"]], "prompt 0: 3 completions to judge, a pairwise judge takes two completions a prompt"),
        (["a", "a"], [["b", "c"], ["b"]], "prompt 1: 1 completion to judge"),
        (["a"], ["bc"], "prompt 0: a text to judge"),
        (["a"], [{"b": "c", "d": "e"}], "prompt 0: a dict to judge, a pairwise judge takes two completions a prompt"),
        (["a"], [None], "prompt 0: a NoneType to judge"),
        (["a", "b"], [["c", "d"]], "2 prompts and 1 pairs of completions"),
        (["a"], [["b", None]], "prompt 0: a NoneType among the texts; render conversations to text first"),
        ([[{"role": "user", "content": "a"}]], [["b", "c"]], "prompt 0: a list among the texts"),
        (["a"], [["b", "\ud800"]], "prompt 0: a lone surrogate"),
        (["a " * 3000], [["b", "c"]], "prompt 0: the prompt has"),
    ],
)
def test_it_raises_and_never_votes_minus_one(
    pairwise: PairwiseJudge, prompts: Any, completions: Any, message: str
) -> None:
    for scores in (False, True):
        with pytest.raises(PairError) as caught:
            pairwise.judge(prompts, completions, return_scores=scores)
        assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_a_prompt_that_is_too_long_can_be_shortened(llama_judge: Judge) -> None:
    judge = PairwiseJudge(llama_judge, on_long="truncate")
    assert judge.judge(["a " * 3000], [["b", "c"]])[0] in (0, 1)


class Counted(PairwiseJudge):
    """Remembers what was asked and answered."""

    calls: list[tuple[int, list[Any]]]

    def judge(self, prompts: Any, completions: Any, *arguments: Any, **more: Any) -> Any:
        answer = super().judge(prompts, completions, *arguments, **more)
        self.calls.append((len(completions), answer))
        return answer


@pytest.mark.filterwarnings("ignore")
def test_trl_trains_with_it(llama_judge: Judge, tmp_path: Path) -> None:
    """Two steps of online DPO on the judge's votes, and its win rates, hard and soft."""
    pytest.importorskip("trl", reason=NO_TRL)
    from trl import OnlineDPOConfig, OnlineDPOTrainer, WinRateCallback

    judge = Counted(llama_judge)
    judge.calls = []
    prompts = datasets.Dataset.from_dict({"prompt": ["The quick brown fox", "Seven wizards", "A lazy dog", "Hot jam"]})
    model, tokenizer = tiny_model("llama"), tiny_tokenizer()
    tokenizer.pad_token, tokenizer.model_input_names = "</s>", ["input_ids", "attention_mask"]
    config = OnlineDPOConfig(
        output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=2, max_new_tokens=8, report_to=[],
        use_cpu=True, bf16=False, eval_strategy="steps", eval_steps=1, save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    trainer = OnlineDPOTrainer(
        model=model, judge=judge, args=config, train_dataset=prompts, eval_dataset=prompts, processing_class=tokenizer
    )
    generation = GenerationConfig(max_new_tokens=8, do_sample=True, pad_token_id=tokenizer.pad_token_id)
    for soft in (False, True):
        trainer.add_callback(WinRateCallback(judge, trainer, generation, use_soft_judge=soft))

    def evaluate(*_: Any, **__: Any) -> dict[str, float]:
        """The callbacks' part of it: what the trainer evaluates by itself asks no judge."""
        trainer.callback_handler.on_evaluate(trainer.args, trainer.state, trainer.control, {})
        return {}

    trainer.evaluate = evaluate
    trainer.train()
    logged = [row["eval_win_rate"] for row in trainer.state.log_history if "eval_win_rate" in row]
    assert len(logged) == 6 and all(0 <= rate <= 1 for rate in logged), (
        "before, and after each of two steps; hard, soft"
    )
    assert all(count == len(answer) for count, answer in judge.calls)
    assert [count for count, _ in judge.calls].count(2) >= 2, "a vote for each prompt of a step"
    votes = {type(vote) for _, answer in judge.calls for vote in answer}
    assert votes == {int, float}


def test_it_has_the_parameters_of_trls_own() -> None:
    pytest.importorskip("trl", reason=NO_TRL)
    from trl.trainer.judges import BasePairwiseJudge

    theirs, ours = (signature(cls.judge).parameters for cls in (BasePairwiseJudge, PairwiseJudge))
    assert list(ours)[: len(theirs)] == list(theirs)
    assert all(ours[name].default == theirs[name].default for name in theirs)


def test_dataset_map(llama: Path, p1: list[float], tmp_path: Path) -> None:
    datasets.disable_progress_bars()
    datasets.Dataset.from_list(PAIRS).save_to_disk(str(tmp_path / "rows"))

    def labelled(label: Labeler, **options: Any) -> Any:
        rows = datasets.load_from_disk(str(tmp_path / "rows"))
        return rows.map(label, batched=True, batch_size=4, **options)

    found = labelled(Labeler(llama))
    np.testing.assert_allclose(found["p1"], p1, rtol=0, atol=1e-4)
    assert found["label"] == [1 if p > 0.5 else 2 for p in p1]
    assert found["human_label"] == [row["label"] for row in PAIRS], "people's labels are kept"
    assert found["chosen"] == [row[f"response_{int(p < 0.5)}"] for row, p in zip(PAIRS, p1, strict=True)]
    assert found["instruction"] == PROMPTS
    # The same bundle and options are the same function to datasets, another is another.
    again, forward = labelled(Labeler(str(llama))), labelled(Labeler(llama, orders="forward"))
    assert again._fingerprint == found._fingerprint != forward._fingerprint
    assert again.cache_files == found.cache_files, "nothing is judged twice"
    assert [len(p) for p in forward["p1_by_order"]] == [1] * len(PAIRS)
    two = labelled(Labeler(llama, threads=1), num_proc=2)
    np.testing.assert_allclose(two["p1"], p1, rtol=0, atol=1e-4)


def test_a_row_that_is_no_pair(llama: Path) -> None:
    rows = datasets.Dataset.from_list([*PAIRS, {**PAIRS[0], "response_1": " "}])
    with pytest.raises(PairError, match=r"^row 9: field 'response_1' is empty"):
        rows.map(Labeler(llama), batched=True, batch_size=4, with_indices=True)
    with pytest.raises(PairError, match=r"^column 'response_0' is missing \(there is 'instruction', 'a', "):
        rows.rename_column("response_0", "a").map(Labeler(llama), batched=True)
    for name, hint in (("Response0", "; did you mean 'Response0'?"), ("response_2", "")):  # another number is no slip
        with pytest.raises(PairError) as caught:
            Labeler(llama)(rows.rename_column("response_0", name)[:])
        assert str(caught.value).endswith(f"'{name}', 'response_1', 'label'); rename one{hint}")
    label = Labeler(llama)
    with pytest.raises(PairError, match=r"^column 'response_0' has 1 row and 'instruction' 2; give as many of each$"):
        label({"instruction": ["a", "b"], "response_0": ["c"], "response_1": ["d", "e"]})
    assert label({name: [] for name in PAIRS[0]})["p1"] == []
    long = {"instruction": ["a " * 3000], "response_0": ["b"], "response_1": ["c"]}
    with pytest.raises(PairError, match=r"^row 0: the prompt has"):
        label(long)
    assert Labeler(llama, on_long="truncate")(long)["truncated"] == [True]


def test_one_row_is_not_taken_for_columns_of_letters(llama: Path) -> None:
    """As ``Dataset.map`` gives it without ``batched=True``."""
    with pytest.raises(ArgumentError, match=r"^column 'instruction': a str is one row's; give columns: lists, or"):
        Labeler(llama)({"instruction": "why", "response_0": "abc", "response_1": "def"})  # type: ignore[arg-type]


def test_columns_of_the_question_are_shown(llama: Path) -> None:
    label = Labeler(llama)
    rows = {"instruction": ["i"], "input": ["x"], "response_0": ["A fox."], "response_1": ["A dog."], "note": [1]}
    found, whole = label(rows), label({**rows, "instruction": ["i\nx"], "input": [None]})
    assert found == whole and found["instruction"] == ["i\nx"]
    with pytest.raises(PairError, match=r"^row 0: has a column document that may belong to the question"):
        label({**rows, "document": ["x y"]})


def test_a_data_frame(llama: Path, p1: list[float]) -> None:
    frame = pd.DataFrame(PAIRS, index=range(100, 109))
    label = Labeler(llama)
    alone = pd.DataFrame(label(frame))
    assert {"instruction", "chosen", "rejected", "label", "p1", "p2", "human_label"} <= set(alone)
    np.testing.assert_allclose(alone["p1"], p1, rtol=0, atol=1e-4)
    wide = frame.assign(**label(frame))
    assert list(wide.index) == list(frame.index) and list(wide["response_0"]) == list(frame["response_0"])


def test_columns_of_numpy(llama: Path, p1: list[float]) -> None:
    arrays = {name: np.array([row[name] for row in PAIRS]) for name in PAIRS[0]}
    found = Labeler(llama)(arrays)
    np.testing.assert_allclose(found["p1"], p1, rtol=0, atol=1e-4)
    assert found["human_label_from_1"] == [row["label"] + 1 for row in PAIRS]
    assert {type(value) for value in found["human_label"]} == {int}


def test_a_pickle_knows_its_bundle(llama: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(llama, bundle)
    label = Labeler(bundle)
    before = pickle.dumps(label)
    assert label(pd.DataFrame(PAIRS[:1]))["p1"] == pickle.loads(before)(pd.DataFrame(PAIRS[:1]))["p1"]
    assert pickle.dumps(label) == before, "also with the bundle open"
    manifest = read_manifest(bundle)
    write_manifest(bundle, replace(manifest, model=replace(manifest.model, id="another")))
    with pytest.raises(BundleError, match="another bundle than the one that was opened first"):
        pickle.loads(before)
    with pytest.raises(BundleError):
        Labeler(tmp_path / "none")


def test_the_bundle_that_was_named_labels(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the one of the same model that `tune` found best, whose labels are others."""
    monkeypatch.setenv("RLAIF_FAST_HOME", str(tmp_path / "home"))
    named, best = tmp_path / "named", tmp_path / "best"
    for folder in (named, best):
        shutil.copytree(llama, folder)
    manifest = read_manifest(best)
    write_manifest(best, replace(manifest, model=replace(manifest.model, id="another")))
    tried = Tried("onnxruntime", str(best), "fp32", 1.0, 1.0, 0.0, 0.0, "")
    remember(named, Tuned((tried,), 0, read_manifest(best).digest, 1e-3))
    assert Judge.load(named).manifest.model.id == "another"
    assert len(Labeler(named)(pd.DataFrame(PAIRS[:1]))["p1"]) == 1


def _in_a_fork(label: Labeler, answers: Any) -> None:
    answers.put(label(pd.DataFrame(PAIRS[:2]))["p1"])


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="the system has no fork")
def test_behind_a_fork(llama: Path) -> None:
    """As a data loader's workers are made: the parent's open bundle has no threads there."""
    label = Labeler(llama)
    here = label(pd.DataFrame(PAIRS[:2]))["p1"]
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    process = context.Process(target=_in_a_fork, args=(label, answers))
    process.start()
    assert answers.get(timeout=60) == here
    process.join()


def test_nothing_of_theirs_is_imported() -> None:
    loaded = _modules("import rlaif_fast.integrations")
    assert not loaded & {"trl", "datasets", "pandas", "torch", "transformers"}
    assert (ROOT / "docs/integrations.md").exists()

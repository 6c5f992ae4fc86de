"""Reward functions as TRL's trainers call them: with texts, messages, columns, and what is missing."""

from __future__ import annotations

import math
import multiprocessing
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlaif_fast import ArgumentError, BundleError, Judge, PairError, Ranker
from rlaif_fast.bundle.folder import read_manifest, write_manifest
from rlaif_fast.integrations import GroupRewardFunction, Labeler, PairwiseJudge, RewardFunction
from rlaif_fast.integrations.ray import judge_dataset, score_dataset
from rlaif_fast.judging.rater import Rater
from rlaif_fast.prompts.template import SUMMARY
from rlaif_fast.rows.samples import Sample
from tests.reward_models import Oracle, save_reward
from tests.rows import reply, user
from tests.test_bundle_prompts import SCORE, export
from tests.test_reward import export as export_reward

PROMPTS = ["A fox jumps."] * 3 + ["1\n2\n"] * 3
COMPLETIONS = ["The fox.", "", "Jam é", "2", "2", "A dog sleeps."]


@pytest.fixture(scope="module")
def bundle(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tiny_folder("llama"), tmp_path_factory.mktemp("rewards") / "bundle", SUMMARY, SCORE)


@pytest.fixture(scope="module")
def scores(bundle: Path) -> list[float]:
    rater = Rater.load(bundle)
    return [rater.rate(Sample(*texts)).score for texts in zip(PROMPTS, COMPLETIONS, strict=True)]


def test_a_reward_is_the_raters_score(bundle: Path, scores: list[float]) -> None:
    reward = RewardFunction.load(bundle)
    assert reward.__name__ == "score-helpful"
    columns: dict[str, Any] = {"completion_ids": [[1]] * 6, "system": ["x"] * 6, "trainer_state": object()}
    assert reward(prompts=PROMPTS, completions=COMPLETIONS, **columns) == pytest.approx(scores, abs=1e-4)
    talk = {"prompts": [[user(text)] for text in PROMPTS], "completions": [[reply(text)] for text in COMPLETIONS]}
    assert reward(**talk) == pytest.approx(scores, abs=1e-4)
    framed = [f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n" for text in PROMPTS[:3]]
    assert reward(prompts=framed, completions=COMPLETIONS[:3]) == pytest.approx(scores[:3], abs=1e-4)
    assert reward(prompts=[], completions=[]) == []


def test_a_conversation_is_shown_as_files_show_it(bundle: Path) -> None:
    turns = [{"role": "system", "content": "Be kind."}, user("Q?"), reply("x"), user("More?")]
    found = RewardFunction.load(bundle)(prompts=[turns], completions=[[reply("a")]])
    text = "Be kind.\n\nHuman: Q?\n\nAssistant: x\n\nHuman: More?"
    assert found == [Rater.load(bundle).rate(Sample(text, "a")).score]


@pytest.mark.parametrize("kind", [RewardFunction, GroupRewardFunction])
def test_what_is_missing_has_no_reward(bundle: Path, kind: Any) -> None:
    reward = kind.load(bundle)
    whole = reward(prompts=PROMPTS, completions=COMPLETIONS)
    found = reward(prompts=["x", *PROMPTS, None, "y"], completions=[None, *COMPLETIONS, "a", None])
    assert found[0] is found[-1] is found[-2] is None
    assert found[1:-2] == pytest.approx(whole, abs=1e-4)


@pytest.mark.parametrize("kind", [RewardFunction, GroupRewardFunction])
def test_what_cannot_be_judged(bundle: Path, kind: Any) -> None:
    long = {"prompts": ["a " * 3000] * 2, "completions": ["b", "c"]}
    with pytest.raises(PairError, match=r"^completion 0.*: the prompt has .* tokens, llama takes 1,024;"):
        kind.load(bundle)(**long)
    assert kind.load(bundle, on_long="none")(**long) == [None, None]
    assert None not in kind.load(bundle, on_long="truncate")(**long)
    with pytest.raises(PairError, match=r"^1 prompt and 2 completions"):
        kind.load(bundle)(prompts=["a"], completions=["b", "c"])
    picture = [{"role": "user", "content": [{"type": "image"}]}]
    for prompt, completion in ((picture, [reply("b")]), ("a", "\ud800"), ("a", 3)):
        with pytest.raises(PairError, match=r"^completion 1: "):
            kind.load(bundle)(prompts=["a", prompt], completions=["b", completion])
    for wrong in ({"on_long": "x"}, {"orders": "x"}, {"reward": "x"}):
        if kind is GroupRewardFunction or "on_long" in wrong:
            with pytest.raises(ArgumentError):
                kind.load(bundle, **wrong)


def test_a_wrong_prompt_is_said_when_it_is_loaded(bundle: Path) -> None:
    """Also one of the bundle's that is for something else; not in the middle of a training."""
    here = "no prompt 'none' in this bundle, there is: summary, score-helpful"
    pairs = "the prompt 'score-helpful' is for scores (rlaif-fast score), this needs one for pairs, there is: summary"
    scores = "the prompt 'summary' is for pairs (rlaif-fast judge), this needs one for scores, there is: score-helpful"
    slip = "no prompt 'Sumary' in this bundle, there is: summary, score-helpful; did you mean summary?"
    wrong: list[tuple[Any, str, str]] = [
        *((load, "score-helpful", pairs) for load in (Judge.load, Ranker.load, Labeler, GroupRewardFunction.load)),
        *((load, "summary", scores) for load in (Rater.load, RewardFunction.load)),
        *((load, "Sumary", slip) for load in (Judge.load, Labeler, RewardFunction.load)),
        (PairwiseJudge.load, "score-helpful", pairs),
        (partial(judge_dataset, None), "score-helpful", pairs), (partial(score_dataset, None), "summary", scores),
    ]  # fmt: skip
    for load, name, message in wrong:
        with pytest.raises(BundleError) as caught:
            load(bundle, template=name)
        assert str(caught.value) == f"llama (fp32): {message}"
    add = f"to add one of your own: rlaif-fast prompt add {bundle} --template FILE.toml"
    for load in (Labeler, RewardFunction.load, GroupRewardFunction.load):
        with pytest.raises(BundleError) as caught:
            load(bundle, template="none")
        assert str(caught.value) == f"llama (fp32): {here}; {add}"


def test_one_text_is_not_taken_for_its_letters(bundle: Path) -> None:
    reward = RewardFunction.load(bundle)
    for prompts, completions in (("why", "abc"), (["why"], "a")):
        with pytest.raises(ArgumentError, match=r"^column '(prompts|completions)': a str is one row's; give columns"):
            reward(prompts=prompts, completions=completions)


def test_any_iterable_is_a_column(bundle: Path, scores: list[float]) -> None:
    reward = RewardFunction.load(bundle)
    assert reward(prompts=iter(PROMPTS), completions=(text for text in COMPLETIONS)) == pytest.approx(scores, abs=1e-4)
    assert reward(np.array(PROMPTS), np.array(COMPLETIONS)) == pytest.approx(scores, abs=1e-4)  # type: ignore[arg-type]


def test_a_group_is_ranked_among_itself(bundle: Path) -> None:
    ranker = Ranker.load(bundle)
    first, second = (ranker.rank(PROMPTS[n], COMPLETIONS[n : n + 3]) for n in (0, 3))
    mean = [(sum(row) - 0.5) / 2 for ranking in (first, second) for row in ranking.wins]
    reward = GroupRewardFunction.load(bundle)
    assert reward.__name__ == "summary"
    found = reward(prompts=PROMPTS, completions=COMPLETIONS)
    assert found == pytest.approx(mean, abs=1e-4)
    assert found[3] == found[4], "equal completions"
    assert len(set(found)) > 3 and sum(found[:3]) == pytest.approx(1.5)
    order = [4, 0, 3, 1, 5, 2]  # a group's completions need not stand together
    mixed = reward(prompts=[PROMPTS[n] for n in order], completions=[COMPLETIONS[n] for n in order])
    assert mixed == pytest.approx([mean[n] for n in order], abs=1e-4)
    strength = GroupRewardFunction.load(bundle, reward="strength")(prompts=PROMPTS, completions=COMPLETIONS)
    assert strength == pytest.approx([*first.strengths, *second.strengths], abs=1e-3)
    assert reward(prompts=["a", "b"], completions=["c", "d"]) == [None, None], "each is alone"
    assert reward(prompts=["a", "a"], completions=["c", "c"]) == [0.5, 0.5]
    one = Judge.load(bundle)
    forward = GroupRewardFunction.load(bundle, orders="forward")(prompts=PROMPTS[:2], completions=COMPLETIONS[::2][:2])
    wanted = Ranker(one).rank(PROMPTS[0], COMPLETIONS[::2][:2], "forward").wins
    assert forward == pytest.approx([wanted[0][1], wanted[1][0]], abs=1e-4)


def test_a_reward_models_rewards(tmp_path: Path) -> None:
    """Against transformers' own answers; two completions of a group differ by the sigmoid of their difference."""
    folder = save_reward("qwen3", tmp_path / "model")
    own = export_reward(folder, tmp_path / "bundle")
    asked = {"prompts": PROMPTS[:2], "completions": ["The fox.", "Jam é"]}
    wanted = [Oracle(folder)(*texts) for texts in zip(*asked.values(), strict=True)]
    assert RewardFunction.load(own)(**asked) == pytest.approx(wanted, abs=1e-4)
    share = 1 / (1 + math.exp(wanted[1] - wanted[0]))
    assert GroupRewardFunction.load(own)(**asked) == pytest.approx([share, 1 - share], abs=1e-4)


def _in_another(reward: Any, answers: Any) -> None:
    answers.put(reward(prompts=PROMPTS, completions=COMPLETIONS))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_in_another_process(bundle: Path, scores: list[float], method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"the system has no {method}")
    reward = RewardFunction.load(bundle, name="mine")
    assert reward(prompts=PROMPTS, completions=COMPLETIONS) == pytest.approx(scores, abs=1e-4)
    context: Any = multiprocessing.get_context(method)
    answers = context.Queue()
    process = context.Process(target=_in_another, args=(reward, answers))
    process.start()
    assert answers.get(timeout=100) == pytest.approx(scores, abs=1e-4)
    process.join()


def test_a_pickle_is_of_its_bundle(bundle: Path, tmp_path: Path) -> None:
    own = tmp_path / "bundle"
    shutil.copytree(bundle, own)
    pickled = pickle.dumps(GroupRewardFunction.load(own, orders="forward", on_long="none", name="mine"))
    again = pickle.loads(pickled)
    assert (again.__name__, again._orders, again._on_long) == ("mine", "forward", "none")
    manifest = read_manifest(own)
    write_manifest(own, replace(manifest, model=replace(manifest.model, id="another")))
    with pytest.raises(BundleError, match="another bundle than the one that was opened first"):
        pickle.loads(pickled)

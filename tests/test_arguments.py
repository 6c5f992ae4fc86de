"""What a wrong Python argument is answered with: the command line's words, before anything is judged."""

from __future__ import annotations

import copy
import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from rlaif_fast import (
    ArgumentError,
    Candidates,
    EvalError,
    ExactJudge,
    FrugalJudge,
    Judge,
    JudgeError,
    Pair,
    PairError,
    Ranker,
    Rater,
    Sample,
    arguments,
)
from rlaif_fast.cli import cli
from rlaif_fast.evaluation.calibration import Calibration
from rlaif_fast.files.keeping import Keep
from rlaif_fast.integrations import GroupRewardFunction, Labeler, PairwiseJudge, RewardFunction
from rlaif_fast.integrations.ray import judge_dataset, score_dataset
from rlaif_fast.judging.fewer_orders import default_sample, draw
from rlaif_fast.judging.pair_run import PairRun
from rlaif_fast.judging.preferences import Preferences
from rlaif_fast.judging.run_input import RunInput
from rlaif_fast.runtime.engines import variants

Call = Callable[[Judge], object]
PAIR = Pair("i", "a", "b")
COLUMNS = {"instruction": ["i"], "response_0": ["a"], "response_1": ["b"]}
RATER = Rater.__new__(Rater)  # its arguments are looked at before its bundle
ORDERS = "orders: 'bth' is not one of 'both', 'forward'; did you mean 'both'?"
HOW = 'make one: from rlaif_fast import Pair; Pair(instruction="…", response_0="…", response_1="…")'
SAMPLE = 'make one: from rlaif_fast import Sample; Sample(instruction="…", response="…")'
CANDIDATES = 'make one: from rlaif_fast import Candidates; Candidates(instruction="…", responses=("…", "…"))'
OPEN = 'open one: from rlaif_fast import Judge; Judge.load("smollm2-135m-instruct")'
READ = 'read one: from rlaif_fast.evaluation.calibration import read_calibration; read_calibration("calibration.json")'
DRAW = "draw one: from rlaif_fast.judging.fewer_orders import default_sample, draw; draw(pairs, default_sample('auto'))"
REWARD = 'make one: from rlaif_fast.integrations import RewardFunction; RewardFunction.load("smollm2-135m-instruct")'
ENGINES = ", ".join(map(repr, ("auto", *(one.name for one in variants()))))
ONNX = f"engine: 'onnx' is not one of {ENGINES}; did you mean 'onnxruntime'?"
LONG = "on_long: 'trunc' is not one of 'error', 'truncate'; did you mean 'truncate'?"

WRONG: list[tuple[Any, str]] = [
    (lambda judge: judge.judge(PAIR, "bth"), ORDERS),
    (lambda judge: judge.judge_many([], "bth"), ORDERS),  # before the first verdict is asked for
    (lambda judge: judge.prompt_tokens(PAIR, "bth"), ORDERS),
    (lambda judge: judge.judge_many([], window=0), "window: 0 is not in the range x>=1"),
    (lambda judge: judge.judge_many([], window=1.5), "window: 1.5 is not a valid integer"),
    (lambda judge: judge.judge_many([], window=True), "window: True is not a valid integer"),
    (lambda judge: judge.judge_many([], done=-1), "done: -1 is not in the range x>=0"),
    (lambda judge: judge.judge({"instruction": "i"}), f"pair: a dict is not a Pair; {HOW}"),
    (lambda judge: list(judge.judge_many([PAIR, ("i", "a", "b")])), f"pairs: a tuple is not a Pair; {HOW}"),
    (lambda judge: list(judge.judge_many([Sample("i", "a")])), f"pairs: a Sample is not a Pair; {HOW}"),
    (lambda judge: judge.judge_many(PAIR), f"pairs: a Pair is not an iterable of Pairs; {HOW}"),
    (lambda judge: judge.judge_many(None), f"pairs: a NoneType is not an iterable of Pairs; {HOW}"),
    (lambda judge: Judge.load(judge._bundle.folder, threads=-1), "threads: -1 is not in the range 0<=x<=1024"),
    (lambda judge: Judge.load(judge._bundle.folder, threads="2"), "threads: '2' is not a valid integer"),
    (lambda judge: Judge.load(judge._bundle.folder, spin="no"), "spin: 'no' is not a valid boolean"),
    (lambda judge: Judge.load(judge._bundle.folder, template=3),
     "template: 3 is not a name; give a text, or None for the default"),
    (lambda judge: Judge.load(judge._bundle.folder, engine=None),
     f"engine: None is not one of {ENGINES}"),
    (lambda judge: Judge.load(judge._bundle.folder, engine="onnx"), ONNX),
    (lambda judge: Judge.load("nobody/nothing", engine="onnx"), ONNX),  # before the hub is asked
    (lambda judge: Rater.load(judge._bundle.folder, engine="onnx"), ONNX),
    (lambda judge: Ranker.load(judge._bundle.folder, engine="onnx"), ONNX),
    (lambda judge: Judge(judge._bundle.folder), f"bundle: a PosixPath is not a Bundle; {OPEN}"),
    (lambda judge: Rater("mine"), f"bundle: a str is not a Bundle; {OPEN.replace('Judge', 'Rater')}"),
    (lambda judge: Judge.load(""), "path_or_id: '' is neither a folder nor the id of an exported model"),
    (lambda judge: Judge.beside("x"), f"other: a str is not a Session; {OPEN}"),
    (lambda judge: ExactJudge(judge, "x"), f"exact: a str is not a Judge; {OPEN}"),
    (lambda judge: Ranker("x"), f"judge: a str is not a Judge or an ExactJudge; {OPEN}"),
    (lambda judge: Ranker(judge, "c.json"),
     f"calibration: 'c.json' is not a calibration; {READ}"),
    (lambda judge: Ranker.load(judge._bundle.folder, threads=-1), "threads: -1 is not in the range 0<=x<=1024"),
    (lambda judge: Ranker(judge).rank("i", ["a", "b"], "bth"), ORDERS),
    (lambda judge: Ranker(judge).rank_many([Candidates("i", ("a", "a"))], "bth"), ORDERS),
    (lambda judge: Ranker(judge).rank("i", "ab"), "responses: a str is not a list of texts"),
    (lambda judge: Ranker(judge).rank("i", ["a", 3]), "responses: an int among the texts"),
    (lambda judge: list(Ranker(judge).rank_many([PAIR])),
     f"many: a Pair is not a Candidates; {CANDIDATES}"),
    (lambda judge: RATER.rate(PAIR), f"sample: a Pair is not a Sample; {SAMPLE}"),
    (lambda judge: RATER.rate_many([], window=0), "window: 0 is not in the range x>=1"),
    (lambda judge: FrugalJudge(judge, {}, "both"), "mode: 'both' is not one of 'prior', 'auto'"),
    (lambda judge: FrugalJudge(judge, [PAIR], "auto"),
     f"sample: a list is not a Mapping; {DRAW}"),
    (lambda judge: FrugalJudge(judge, {}, "auto", 1), "disagreement: 1 is not in the range 0<x<1"),
    (lambda judge: default_sample("bth"), "mode: 'bth' is not one of 'prior', 'auto'"),
    (lambda judge: draw([PAIR], 0), "count: 0 is not in the range x>=1"),
    (lambda judge: PairRun(RunInput.of([PAIR]), judge, orders="bth"),
     "orders: 'bth' is not one of 'both', 'forward', 'prior', 'auto'; did you mean 'both'?"),
    (lambda judge: Keep(min_margin=2), "min_margin: 2 is not in the range 0<=x<=1"),
    (lambda judge: Keep(min_margin="0.1"), "min_margin: '0.1' is not a valid float"),
    (lambda judge: Preferences("worst"), "which: 'worst' is not one of 'best-worst', 'all'"),
    (lambda judge: Labeler(judge._bundle.folder, orders="bth"), ORDERS),
    (lambda judge: Labeler(judge._bundle.folder, orders="Forward"),
     "orders: 'Forward' is not one of 'both', 'forward'; did you mean 'forward'?"),
    (lambda judge: Labeler(judge._bundle.folder, on_long="cut"), "on_long: 'cut' is not one of 'error', 'truncate'"),
    (lambda judge: Labeler(judge._bundle.folder, on_long="trunc"), LONG),
    (lambda judge: Labeler(judge._bundle.folder, threads=-1), "threads: -1 is not in the range 0<=x<=1024"),
    (lambda judge: Labeler(judge._bundle.folder)([{"instruction": "i"}]),
     "batch: a list has no columns; give a dict of lists, a batch of datasets or a data frame"),
    (lambda judge: judge_dataset(None, judge._bundle.folder, engine="onnx"), ONNX),
    (lambda judge: score_dataset(None, judge._bundle.folder, on_long="trunc"), LONG),
    (lambda judge: judge_dataset(None, judge._bundle.folder, orders="bth"), ORDERS),
    (lambda judge: judge_dataset(None, judge._bundle.folder, template=3),
     "template: 3 is not a name; give a text, or None for the default"),
    (lambda judge: judge_dataset(None, judge._bundle.folder, cpus=0), "cpus: 0 is not in the range x>=1"),
    (lambda judge: judge_dataset(None, judge._bundle.folder, actors=0), "actors: 0 is not in the range x>=1"),
    (lambda judge: judge_dataset(None, judge._bundle.folder, actors=(4, 2)), "actors: 2 is not in the range x>=4"),
    (lambda judge: judge_dataset(None, judge._bundle.folder, actors=(4,)),
     "actors: (4,) is neither a number nor the least and the most, as (4, 16)"),
    (lambda judge: judge_dataset(None, judge._bundle.folder, batch_size=0), "batch_size: 0 is not in the range x>=1"),
    (lambda judge: judge_dataset([], judge._bundle.folder),
     "ds: a list is not a dataset of Ray Data; make one: import ray; ray.data.from_items(rows)"),
    (lambda judge: RewardFunction("mine"), f"opened: a str is not an Opened; {REWARD}"),
    (lambda judge: GroupRewardFunction("mine", orders="bth"),
     f"opened: a str is not an Opened; {REWARD.replace('RewardF', 'GroupRewardF')}"),
    (lambda judge: judge.prompt_tokens({"instruction": "i"}), f"pair: a dict is not a Pair; {HOW}"),
    (lambda judge: RATER.prompt_tokens(PAIR), f"sample: a Pair is not a Sample; {SAMPLE}"),
    (lambda judge: Labeler(judge._bundle.folder)(pd.DataFrame(COLUMNS).iloc[0]),
     "batch: a Series has no columns; give a dict of lists, a batch of datasets or a data frame"),
    (lambda judge: Labeler(judge._bundle.folder)(COLUMNS, []), "indices: 0 of 1 row; give one for each"),
    (lambda judge: PairwiseJudge(judge).judge(None, None),
     "prompts: None is not a list; give one entry for each prompt"),
    (lambda judge: PairwiseJudge("x"), f"judge: a str is not a Judge; {OPEN}"),
    (lambda judge: PairwiseJudge(judge, on_long="cut"), "on_long: 'cut' is not one of 'error', 'truncate'"),
    (lambda judge: PairwiseJudge(judge).judge("ab", [["c", "d"], ["e", "f"]]),
     "prompts: a str is not a list; give one entry for each prompt"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), WRONG, ids=[f"{n}: {text[:40]}" for n, (_, text) in enumerate(WRONG)])
def test_a_wrong_argument_gives_no_verdict(call: Call, message: str, llama_judge: Judge) -> None:
    with pytest.raises(ArgumentError) as caught:
        call(llama_judge)
    assert str(caught.value) == message and isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("option", "value", "check"),
    [
        ("orders", "bth", lambda: arguments.one_of("x", "bth", ["both", "forward", "prior", "auto"])),
        ("threads", -1, lambda: arguments.whole("x", -1, 0, arguments.MOST_THREADS)),
        ("threads", 1025, lambda: arguments.whole("x", 1025, 0, arguments.MOST_THREADS)),
        ("window", 0, lambda: arguments.whole("x", 0, 1)),
        ("window", "a", lambda: arguments.whole("x", "a", 1)),
        ("min-margin", 2.0, lambda: arguments.share("x", 2.0)),
        ("min-margin", "a", lambda: arguments.share("x", "a")),
        ("disagreement", 1.0, lambda: arguments.share("x", 1.0, ends=False)),
    ],
)
def test_the_words_are_the_command_lines(option: str, value: object, check: Callable[[], object]) -> None:
    done = CliRunner().invoke(cli, ["judge", "pairs.jsonl", f"--{option}", str(value)])
    with pytest.raises(ArgumentError) as caught:
        check()
    said = re.search(rf"Invalid value for '--{option}': (.*)\.$", done.output, re.MULTILINE)
    assert said is not None
    words, _, _ = str(caught.value).partition("; did you mean ")
    assert words == f"x: {said[1].removesuffix(' range')}"  # click: "a valid integer range"


@pytest.mark.parametrize("how", [HOW, SAMPLE, CANDIDATES])
def test_what_makes_an_item_can_be_pasted(how: str) -> None:
    found: dict[str, Any] = {}
    exec(how.removeprefix("make one: ").replace("; ", "; item = "), found)
    assert found["item"].instruction == "…"


def test_what_opens_a_judge_can_be_pasted(llama: Path) -> None:
    for how in (OPEN, OPEN.replace("Judge", "Ranker")):
        found: dict[str, Any] = {}
        exec(
            how.removeprefix("open one: ").replace("; ", "; made = ").replace("smollm2-135m-instruct", f"{llama}"),
            found,
        )
        assert isinstance(found["made"], Judge | Ranker)


def test_what_reads_and_draws_can_be_pasted(tmp_path: Path) -> None:
    (path := tmp_path / "c.json").write_text(Calibration("other", 2.0, 0.5, {}).to_json())
    found: dict[str, Any] = {"pairs": [PAIR] * 3}
    exec(READ.removeprefix("read one: ").replace("; ", "; read = ").replace("calibration.json", str(path)), found)
    exec(DRAW.removeprefix("draw one: ").replace("; ", "; drawn = "), found)
    assert found["read"].a == 2.0 and found["drawn"] == {}


def test_a_text_that_is_none_makes_no_item() -> None:
    for make, message in (
        (lambda: Pair("i", "a", 3), "the pair: response_1 is a number, it must be a string"),  # type: ignore[arg-type]
        (lambda: Pair(None, "a", "b", id=7), "id 7: instruction is null, it must be a string"),  # type: ignore[arg-type]
        (lambda: Sample("i", b"a"), "the response: response is bytes, it must be a string"),  # type: ignore[arg-type]
        (lambda: Pair(PAIR, "a", "b"), "the pair: instruction is of type Pair, it must be a string"),  # type: ignore[arg-type]
        (lambda: Pair("i", "a", "b", carried=None), "the pair: carried is null, it must be a dict"),  # type: ignore[arg-type]
        (lambda: Candidates("i", ("a", 3)), "the candidates: responses must be a tuple of strings"),  # type: ignore[arg-type]
    ):
        with pytest.raises(PairError) as caught:
            make()
        assert str(caught.value) == message


def test_a_lone_surrogate_is_an_error_of_its_pair(llama_judge: Judge) -> None:
    with pytest.raises(PairError, match=r"^id 3: a lone surrogate in a text, not valid Unicode$"):
        llama_judge.judge(Pair("i", "\ud800", "b", id=3))


def test_numbers_of_numpy_are_numbers(llama_judge: Judge) -> None:
    (verdict,) = llama_judge.judge_many([PAIR], window=np.int64(4))  # type: ignore[arg-type]
    assert verdict == llama_judge.judge(PAIR)
    assert arguments.share("x", np.float32(0.5)) == 0.5 and arguments.flag("x", np.True_)


def test_what_is_carried_may_be_of_numpy(llama_judge: Judge) -> None:
    carried = {"label": np.int64(1), "sure": np.float32(0.5), "seen": np.bool_(True), "ids": np.arange(2)}
    row = json.loads(llama_judge.judge(Pair("i", "a", "b", id=np.int64(7), carried=carried)).to_json())
    assert {name: row[name] for name in ("id", "human_label", "human_label_from_1", "sure", "seen", "ids")} == {
        "id": 7, "human_label": 1, "human_label_from_1": 2, "sure": 0.5, "seen": True, "ids": [0, 1],
    }  # fmt: skip
    for value, why in ((float("nan"), "Out of range float values"), ({1}, "Object of type set is not JSON")):
        with pytest.raises(PairError) as caught:
            llama_judge.judge(Pair("i", "a", "b", id=7, carried={"x": value})).to_json()
        assert str(caught.value).startswith(f"id 7: a carried field cannot be written as JSON ({why}")


def test_a_session_stays_in_its_process(llama_judge: Judge) -> None:
    for do in (pickle.dumps, copy.deepcopy):
        with pytest.raises(JudgeError) as caught:
            do(llama_judge)
        assert str(caught.value) == (
            "a Judge cannot be copied or sent to another process; open one there with Judge.load, or use"
            " rlaif_fast.integrations (Labeler, RewardFunction), which can"
        )


def test_a_calibration_of_another_bundle_ranks_nothing(llama_judge: Judge, tmp_path: Path) -> None:
    with pytest.raises(EvalError, match=r"^calibration: fitted to another bundle; fit one to this bundle"):
        Ranker(llama_judge, Calibration("other", 2.0, 0.0, {}))

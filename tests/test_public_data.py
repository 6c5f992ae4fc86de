"""Rows as public preference sets and their tools write them: the question whole and once, or a refusal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlaif_fast import PairError
from rlaif_fast.evaluation.labelled import label_of
from rlaif_fast.rows.reader import open_pairs
from rlaif_fast.schemas.field_mapping import field_mapping
from rlaif_fast.schemas.known import recognise
from rlaif_fast.schemas.schema import NAMES, Row
from tests.conftest import ROOT
from tests.rows import reply, taken, user

LONG = "word " * 500


def chosen(prompt: Any, one: Any, other: Any, **more: Any) -> Row:
    return {"prompt": prompt, "chosen": one, "rejected": other, **more}


HELLO = [user("Hi"), reply("Hi! How can I help?"), user("Name a gas")]
SHOWN = "Human: Hi\n\nAssistant: Hi! How can I help?\n\nHuman: Name a gas"


@pytest.mark.parametrize("prompt", ["Hi", [user("Hi")], HELLO])
def test_a_prompt_that_a_later_turn_quotes_is_a_turn_of_its_own(prompt: Any) -> None:
    row = chosen(prompt, [*HELLO, reply("a")], [*HELLO, reply("b")])
    assert taken(row) == (SHOWN, "a", "b")
    assert taken(row | {"question": "Hi"}) == (SHOWN, "a", "b"), "which is also not asked for again"
    again = [user("Name a gas."), reply("Neon."), user("Name a gas. Another.")]
    row = chosen("Name a gas.", [*again, reply("a")], [*again, reply("b")])
    assert taken(row)[0] == "Human: Name a gas.\n\nAssistant: Neon.\n\nHuman: Name a gas. Another."
    system = [{"role": "system", "content": "Sys"}, *HELLO]
    assert taken(chosen("Hi", [*system, reply("a")], [*system, reply("b")]))[0] == f"Sys\n\n{SHOWN}"


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ({"role": "user", "content": "", "parts": [{"type": "text", "text": "More?"}]}, "More?"),  # Vercel's SDK
        ({"from": "human", "value": "More?", "content": ""}, "More?"),
        ({"role": "user", "content": "More?", "parts": [{"type": "text", "text": "More?"}]}, "More?"),
        (user("More?", name="Bob"), "More?"),
    ],
)
def test_a_message_says_what_is_there(message: Row, wanted: str) -> None:
    assert taken(chosen([message], [reply("a")], [reply("b")])) == (wanted, "a", "b")


def test_speakers_with_names_of_their_own_are_told_apart() -> None:
    prompt = [user("Hi", name="Alice"), user("Who spoke first?", name="Bob")]
    wanted = "Human: Alice: Hi\n\nHuman: Bob: Who spoke first?"
    assert taken(chosen(prompt, [reply("Alice")], [reply("Bob")]))[0] == wanted


@pytest.mark.parametrize(
    ("frame", "end"),
    [
        ("<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nA b c?<|eot_id|>"
         "<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"),
        ("<start_of_turn>user\nA b c?<end_of_turn>\n<start_of_turn>model\n", "<end_of_turn>\n"),
        ("<bos><start_of_turn>user\nA b c?<end_of_turn>\n<start_of_turn>model\n", "<eos>"),
        ("<|im_start|>user\nA b c?<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>"),
    ],
)  # fmt: skip
def test_a_prompt_repeated_in_a_models_template_is_taken_off(frame: str, end: str) -> None:
    assert taken(chosen("A b c?", f"{frame}b{end}", f"{frame}c{end}")) == ("A b c?", "b", "c")


@pytest.mark.parametrize(
    "frame",
    [
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nA b c?<|im_end|>\n<|im_start|>assistant\n",
        "[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nA b c? [/INST] ",
        "### Instruction:\nA b c?\n\n### Input:\n7 8\n\n### Response:\n",
    ],
)
def test_a_prompt_repeated_with_more_than_it_is_refused(frame: str) -> None:
    with pytest.raises(ValueError, match=r"^chosen and rejected begin with prompt in a chat template"):
        taken(chosen("A b c?", f"{frame}b", f"{frame}c"))


def test_code_keeps_its_indentation_behind_the_prompt() -> None:
    asks = "for i in range(3):"
    assert taken(chosen(asks, f"{asks}\n    print(i)", f"{asks}\n\n\tprint(j)"))[1:] == ("    print(i)", "\tprint(j)")
    assert taken(chosen("A b c?", "A b c?\n\n b", "A b c? c"))[1:] == ("b", "c")


@pytest.mark.parametrize(
    "cell",
    [
        f"[{{'content': '{LONG}', 'role': 'user'}}\n {{'content': 'Neon.', 'role': 'assistant'}}]",  # NumPy's
        f'[{{"content": "{LONG}", "role": "assistant"',  # cut off, as a spreadsheet does
        f'[{{"content": "{LONG}',
        "[{'role': 'assistant', 'content': 'It''s Neon'}]",  # a quote doubled as in CSV: two literals to Python
        '{"role": "user", "content": "Q?"}\n{"role": "assistant", "content": "A"}',
    ],
)
@pytest.mark.parametrize("name", NAMES[:3])
def test_messages_that_cannot_be_read_are_no_text(name: str, cell: str) -> None:
    row = dict(zip(NAMES, ("i", "a", "b"), strict=False)) | {name: cell}
    with pytest.raises(ValueError, match=f"^{name} looks like messages"):
        taken(row)


def test_two_strings_side_by_side_are_fine_inside_a_text() -> None:
    cell = "[{'role': 'assistant', 'content': \"It''s ''\"}]"
    assert taken({"instruction": "i", "response_0": cell, "response_1": cell})[1:] == ("It''s ''", "It''s ''")


@pytest.mark.parametrize("written", [json.dumps, lambda value: value])
def test_lists_of_turns(written: Any) -> None:
    one = {"instruction": written(["Q?"]), "response_0": written(["a"]), "response_1": written(["b"])}
    assert taken(one) == ("Q?", "a", "b")
    two = {name: written(["x", "y"]) for name in NAMES[:3]}
    with pytest.raises(ValueError, match="are lists of 2 turns"):
        taken(two)
    answers = {"instruction": "Three gases as JSON.", "response_0": '["Ne", "Ar"]', "response_1": '["Fe"]'}
    assert taken(answers) == tuple(answers.values()), "an answer may be a list"


@pytest.mark.parametrize("more", [
    {"annotations": [{"rater": "a", "score": 1}]}, {"individual_preference": [{"score": -2, "reasoning": "x"}]},
    {"conversation": [{"input": "Name a gas.", "output": None}]}, {"instruction": "Classify: good", "input": "good"},
])  # fmt: skip
def test_what_is_no_part_of_the_question_or_shown_already_is_carried(more: Row) -> None:
    row = {"instruction": "Name a gas.", "response_0": "a", "response_1": "b"} | more
    assert taken(row) == tuple(row[name] for name in NAMES[:3])


def test_labels_that_may_count_from_1_are_nobodys() -> None:
    """LLMBar's label is 1 or 2."""
    row = {"instruction": "i", "output_1": "a", "output_2": "b"}
    read = recognise(row)
    assert read is not None
    assert read(row | {"label": 1})["input_label"] == 1 and "label" not in read(row | {"label": 1})
    assert read(row | {"label": 1, "preference": 1.0})["label"] == 0


@pytest.mark.parametrize("scores", [
    ("rating_chosen", "rating_rejected"), ("chosen_avg_rating", "rejected_avg_rating"),
    ("chosen_reward", "rejected_reward"), ("score_chosen", "score_rejected"), ("chosen-rating", "rejected-rating"),
])  # fmt: skip
def test_equal_scores_are_a_tie(scores: tuple[str, str]) -> None:
    read = recognise(row := chosen("i", "a", "b"))
    assert read is not None
    assert read(row | dict.fromkeys(scores, 5))["label"] == "tie"
    assert read(row | dict(zip(scores, (5, 4), strict=True)))["label"] == 0


def test_a_column_that_no_calendar_has(tmp_path: Any) -> None:
    table = pa.table({**{name: ["x"] for name in NAMES[:3]}, "at": pa.array([2**40], pa.timestamp("s"))})
    pq.write_table(table, tmp_path / "p.parquet")
    with open_pairs(tmp_path / "p.parquet") as found, pytest.raises(PairError, match=r"row 1: damaged Parquet"):
        list(found.pairs())


def test_unicode_forms_are_one_text() -> None:
    row = chosen("Qu\u00e9 gas?", [user("Que\u0301 gas?"), reply("a")], [user("Que\u0301 gas?"), reply("b")])
    assert taken(row)[1:] == ("a", "b") and "Human" not in taken(row)[0]


def test_an_answer_with_a_heading_that_has_a_short_prompts_letters_is_an_answer() -> None:
    assert taken(chosen("Hi", "### Summary:\nThis is it", "### Summary:\nWhich"))[0] == "Hi"
    assert taken(chosen("Hi", "<s>This", "<s>Which"))[1:] == ("<s>This", "<s>Which")


# The benchmarks of docs/suites.md, in the columns that their publishers name; the texts are ours.

REWARD_BENCH_2 = {
    "id": "7", "prompt": "Name a gas.", "chosen": ["Neon."], "rejected": ["Iron.", "Tin.", "Lead."], "num_correct": 1,
    "num_incorrect": 3, "total_completions": 4, "models": ["m1", "m2", "m3", "m4"], "subset": "Factuality",
    "additional_metadata": {
        "category": None, "correct": None, "index": None, "instruction_id_list": None, "label": None, "method": None,
        "models": ["m1"], "prompt_norm": None, "subcategory": "x", "valid": None,
    },
}  # fmt: skip
JUDGE_BENCH = {
    "pair_id": "e302b0a0", "original_id": "1420", "source": "mmlu-pro-law", "question": "Name a gas.",
    "response_model": "gpt-4o-2024-05-13", "response_A": "Iron.", "response_B": "Neon.", "label": "B>A",
}  # fmt: skip
LLMBAR = {"input": "Name a gas.", "output_1": "Iron.", "output_2": "Neon.", "label": 2}
_DOCS = (ROOT / "docs" / "suites.md").read_text(encoding="utf-8")


def _fields(of: str) -> str:
    """The ``--fields`` of the section of docs/suites.md."""
    section = _DOCS.partition(f"### {of}\n")[2].partition("\n### ")[0]
    return section.partition("--fields ")[2].split()[0]


def test_reward_bench_2_as_the_docs_say() -> None:
    for number, text in enumerate(REWARD_BENCH_2["rejected"]):
        fields = _fields("RewardBench 2").replace("$n", str(number))
        found = field_mapping(fields).take(REWARD_BENCH_2)
        assert [found.row[name] for name in (*NAMES, "label", "task")] == [
            "Name a gas.", "Neon.", text, "7", 0, "Factuality"
        ]  # fmt: skip
        assert found.shown == () and set(found.carried) == {
            "num_correct", "num_incorrect", "total_completions", "models", "additional_metadata",
        }  # fmt: skip
    with pytest.raises(ValueError, match=r"has no rejected.3 \('3' is not there\)"):
        field_mapping(_fields("RewardBench 2").replace("$n", "3"))(REWARD_BENCH_2)


def test_judge_bench_as_the_docs_say() -> None:
    read = recognise(JUDGE_BENCH)
    assert read is not None and "--fields" not in _DOCS.partition("### JudgeBench\n")[2].partition("\n### ")[0]
    found = read(JUDGE_BENCH)
    assert [found[name] for name in (*NAMES[:3], "label", "input_label")] == ["Name a gas.", "Iron.", "Neon.", 1, "B>A"]


def test_llmbar_as_the_docs_say(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps([LLMBAR, LLMBAR | {"label": 1}], indent=2))
    with open_pairs(tmp_path / "dataset.json", fields=_fields("LLMBar")) as intake:
        pairs = list(intake.pairs())
    assert [(pair.response_1, label_of(pair)) for pair in pairs] == [("Neon.", 1), ("Neon.", 0)]

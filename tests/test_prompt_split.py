"""Question and responses are each shown once, also where a data set repeats one in the other."""

from __future__ import annotations

import json

import pytest

from rlaif_fast.schemas.field_mapping import field_mapping
from rlaif_fast.schemas.known import TRL
from rlaif_fast.schemas.schema import NAMES, Row
from tests.rows import SYSTEM, recognised, reply, taken, user


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ({"prompt": "i. ", "chosen": [user("i."), reply("a")], "rejected": [user("i."), reply("b")]}, ("i.", "a", "b")),
        ({"prompt": "i", "chosen": [user("i") | {"weight": 1}, reply("a")], "rejected": [user(" i\n"), reply("b")]},
         ("i", "a", "b")),
        ({"prompt": [SYSTEM, user("i")], "chosen": [user("i"), reply("a")],
          "rejected": [SYSTEM, user("i"), reply("b")]}, ("Be kind.\n\nHuman: i", "a", "b")),
        ({"prompt": "i", "chosen": [SYSTEM, user("i"), reply("a")], "rejected": [SYSTEM, user("i"), reply("b")]},
         ("Be kind.\n\nHuman: i", "a", "b")),
        ({"prompt": "i", "chosen": [{"from": "human", "value": "i"}, {"from": "gpt", "value": "a"}],
          "rejected": [user("i"), reply("b")]}, ("i", "a", "b")),
        ({"conversations": [{"from": "human", "value": "i"}], "chosen": {"from": "gpt", "value": "a"},
          "rejected": {"from": "gpt", "value": "b"}}, ("i", "a", "b")),
        ({"prompt": [user("x"), reply("y"), user("i")], "chosen": [user("i"), reply("a")],
          "rejected": [user("i"), reply("b")]}, ("Human: x\n\nAssistant: y\n\nHuman: i", "a", "b")),
        ({"prompt": "Human: x\n\nAssistant: y\n\nHuman: i", "chosen": [user("x"), reply("y"), user("i"), reply("a")],
          "rejected": [user("x"), reply("y"), user("i"), reply("b")]},
         ("Human: x\n\nAssistant: y\n\nHuman: i", "a", "b")),
        ({"prompt": "Name a gas.", "chosen": "Name a gas.\nNeon.", "rejected": "Name  a gas. Iron."},
         ("Name a gas.", "Neon.", "Iron.")),
        ({"prompt": [user("Name a gas.")], "chosen": "Name a gas. Neon.", "rejected": "Name a gas. Iron."},
         ("Name a gas.", "Neon.", "Iron.")),
        ({"instruction": "Why?", "chosen": "Why? So.", "rejected": "Why?\nNo."}, ("Why?", "So.", "No.")),
        ({"prompt": "Hello", "chosen": "Hello! Yes?", "rejected": "Hello there."},
         ("Hello", "Hello! Yes?", "Hello there.")),
        ({"prompt": "Why is it?", "chosen": "Why is it? So.", "rejected": "No."},
         ("Why is it?", "Why is it? So.", "No.")),
        ({"prompt": "a cat is", "chosen": "a cat island", "rejected": "a cat is in"},
         ("a cat is", "a cat island", "a cat is in")),
        ({"chosen": "\n\nHuman: Hi?\n\nAssistant: Yes.", "rejected": "\n\nHuman: Hi?\n\nAssistant: No."},
         ("Human: Hi?", "Yes.", "No.")),
        ({"chosen": "\n\nHuman: x\n\nAssistant: y\n\nHuman: i\n\nAssistant: a",
          "rejected": "\n\nHuman: x\n\nAssistant: y\n\nHuman: i\n\nAssistant: b"},
         ("Human: x\n\nAssistant: y\n\nHuman: i", "a", "b")),
        ({"chosen": "\n\nHuman: i\n\nAssistant: a\n\nHuman: j\n\nAssistant: c",
          "rejected": "\n\nHuman: i\n\nAssistant: b"}, ("Human: i", "a\n\nHuman: j\n\nAssistant: c", "b")),
        ({"prompt": "\n\nHuman: i\n\nAssistant:", "chosen": "\n\nHuman: i\n\nAssistant: a",
          "rejected": "\n\nHuman: i\n\nAssistant: b"}, ("\n\nHuman: i\n\nAssistant:", "a", "b")),
        ({"system": "Be kind.", "question": "i", "chosen": "a", "rejected": "b"}, ("Be kind.\n\nHuman: i", "a", "b")),
        ({"question": "i", "response_j": "a", "response_k": "b"}, ("i", "a", "b")),
        ({"prompt": [user("i"), reply("Sure:")], "chosen": [reply("a")], "rejected": [reply("b")]},
         ("Human: i\n\nAssistant: Sure:", "a", "b")),
        ({"prompt": [], "chosen": [user("i"), reply("a")], "rejected": [user("i"), reply("b")]}, ("i", "a", "b")),
        ({"conversations": [user("i"), reply("a")], "chosen": [user("i"), reply("a")],
          "rejected": [user("i"), reply("b")]}, ("i", "a", "b")),
        ({"input": "x", "chosen": [user("i"), reply("a")], "rejected": [user("i"), reply("b")]}, ("i\nx", "a", "b")),
        ({"instruction": "i", "generations": '["a", "b"]'}, ("i", "a", "b")),
        ({"instruction": "i", "completions": {"response": ["a", "b"], "model": ["x", "y"]}}, ("i", "a", "b")),
    ],
)  # fmt: skip
def test_question_and_responses_are_each_shown_once(row: Row, wanted: tuple[str, str, str]) -> None:
    assert taken(row) == wanted


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "i", "chosen": json.dumps([reply("a")]), "rejected": "b"}, "one of chosen and rejected is text"),
        ({"prompt": "i", "chosen": "[{'role': 'user', 'content': 'i'}\n {'role': 'assistant', 'content': 'a'}]",
          "rejected": "b"}, "chosen looks like messages, but is neither JSON nor"),
        ({"prompt": "i", "chosen": "array([{'content': 'a', 'role': 'assistant'}], dtype=object)", "rejected": "b"},
         "chosen looks like messages"),
        ({"prompt": "i", "chosen": "{'role': array(['user']), 'content': array(['a'])}", "rejected": "b"},
         "chosen looks like messages"),
        ({"prompt": "i", "chosen": json.dumps([reply("a")])[:-4], "rejected": "b"}, "chosen looks like messages"),
        ({"chosen": "Human: i\n\nAssistant: a", "rejected": "Human: j\n\nAssistant: b"},
         "has no prompt, and chosen and rejected have no beginning up to an answer in common"),
        ({"prompt": "x", "chosen": "Human: i\n\nAssistant: a", "rejected": "Human: i\n\nAssistant: b"},
         "prompt is no part of the dialogue that chosen and rejected begin with"),
        ({"prompt": [user("i"), reply("a")], "chosen": [reply("a")], "rejected": [reply("b")]},
         "prompt ends with a response that is to be judged"),
        ({"prompt": "i", "chosen": [SYSTEM, reply("a")], "rejected": [SYSTEM | {"content": "No."}, reply("b")]},
         "chosen and rejected begin with different system turns"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_apart_is_refused(row: Row, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}"):
        recognised(row)(row)


ASKED = "Name a noble gas."


@pytest.mark.parametrize(
    ("frame", "end"),
    [
        ("<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>"), ("Question: {}\n\nAnswer: ", ""),
        ("### Instruction:\n{}\n\n### Response:\n", ""), ("USER: {} ASSISTANT: ", "</s>"),
        ("### Human: {} ### Assistant: ", ""), ("[INST] {} [/INST] ", ""), ("{} ", ""),
    ],
)  # fmt: skip
def test_a_prompt_in_a_templates_frame_is_taken_off(frame: str, end: str) -> None:
    sides = [frame.format(ASKED) + text + end for text in ("Neon.", "Iron.")]
    row = {"prompt": ASKED, "chosen": sides[0], "rejected": sides[1]}
    assert taken(row) == (ASKED, "Neon.", "Iron.")
    assert taken(row | {"prompt": "Another question?"}) == ("Another question?", *sides) or "USER" in frame


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ({"prompt": ASKED[:-1], "chosen": f"{ASKED} Neon.", "rejected": f"{ASKED} Iron."},
         (ASKED[:-1], "Neon.", "Iron.")),
        ({"prompt": "Be kind.\n\nWhy?", "chosen": [SYSTEM, user("Why?"), reply("a")],
          "rejected": [SYSTEM, user("Why?"), reply("b")]}, ("Be kind.\n\nWhy?", "a", "b")),
        ({"prompt": "Write a chat.", "chosen": "User: hi\nAssistant: a", "rejected": "User: hi\nAssistant: b"},
         ("Write a chat.", "User: hi\nAssistant: a", "User: hi\nAssistant: b")),
        ({"chosen": "A chat.\n\nHuman: Q?\n\nAssistant: a", "rejected": "A chat.\n\nHuman: Q?\n\nAssistant: b"},
         ("A chat.\n\nHuman: Q?", "a", "b")),
    ],
)  # fmt: skip
def test_more_that_is_shown_once(row: Row, wanted: tuple[str, str, str]) -> None:
    assert taken(row) == wanted


def test_a_prompt_does_not_hold_an_answer_that_is_judged() -> None:
    turns = [user("Q?"), reply("a")]
    for name in ("prompt", "conversations"):
        with pytest.raises(ValueError, match=f"^{name} ends with a response that is to be judged"):
            TRL({name: turns, "chosen": "a", "rejected": "b"})
    fields = field_mapping("instruction=a,response_0=a,response_1=b")
    found = fields({"a": turns, "b": [user("Q?"), reply("b")]})
    assert [found[name] for name in NAMES[:3]] == ["Q?", "a", "b"]

"""Conversations in every notation become text, or say what they lack."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rlaif_fast.schemas.known import TRL
from rlaif_fast.schemas.schema import Row
from tests.rows import SHAPES, SYSTEM, recognised, reply, taken, user


@pytest.mark.parametrize(
    ("row", "instruction", "responses"),
    [
        ({"prompt": [user("i")], "chosen": [reply("a")], "rejected": [reply("b")]}, "i", ("a", "b")),
        ({"chosen": [user("i"), reply("a")], "rejected": [user("i"), reply("b")]}, "i", ("a", "b")),
        ({"prompt": "i", "chosen": [user("i"), reply("a")], "rejected": [user("i"), reply("b")]}, "i", ("a", "b")),
        ({"prompt": "i", "chosen": [reply("a")], "rejected": [reply("b")]}, "i", ("a", "b")),
        ({"prompt": [user("i"), reply("j"), user("k")], "chosen": [reply("a")], "rejected": [reply("b")]},
         "Human: i\n\nAssistant: j\n\nHuman: k", ("a", "b")),
        ({"chosen": [user("i"), reply("j"), user("k"), reply("a")],
          "rejected": [user("i"), reply("j"), user("k"), reply("b")]},
         "Human: i\n\nAssistant: j\n\nHuman: k", ("a", "b")),
        ({"chosen": [user("i"), reply("a"), user("more"), reply("c")], "rejected": [user("i"), reply("b")]},
         "i", ("Assistant: a\n\nHuman: more\n\nAssistant: c", "b")),
        ({"chosen": [{"role": "system", "content": "Be kind."}, user("i"), reply("a")],
          "rejected": [{"role": "system", "content": "Be kind."}, user("i"), reply("b")]},
         "Be kind.\n\nHuman: i", ("a", "b")),
        ({"chosen": [user("i"), reply("a")], "rejected": [user("i"), reply("a")]}, "i", ("a", "a")),
        ({"prompt": [{"role": "tool", "content": "5"}, user("i")], "chosen": [reply("a")], "rejected": [reply("b")]},
         "Tool: 5\n\nHuman: i", ("a", "b")),
    ],
    ids=["explicit", "implicit", "twice", "text prompt", "turns", "shared turns", "longer", "system", "same", "tool"],
)  # fmt: skip
def test_a_conversation_becomes_text(row: Row, instruction: str, responses: tuple[str, str]) -> None:
    found = recognised(row)(row)
    assert (found["instruction"], found["response_0"], found["response_1"]) == (instruction, *responses)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "i", "chosen": [reply("a")], "rejected": "b"}, "one of chosen and rejected is text, the other"),
        ({"chosen": [reply("a")], "rejected": [reply("b")]}, "has no prompt, and chosen and rejected begin with no"),
        ({"chosen": [], "rejected": [reply("b")]}, "chosen is not a list of messages with a role and a text"),
        ({"chosen": [user("i")], "rejected": [{"role": "user"}]}, "rejected is not a list of messages"),
        ({"chosen": [user("i")], "rejected": [{"role": "user", "content": [{}]}]}, "rejected is not a list"),
        ({"prompt": ["i"], "chosen": [reply("a")], "rejected": [reply("b")]}, "prompt is not a list of messages"),
        ({"prompt": 5, "chosen": [reply("a")], "rejected": [reply("b")]}, "prompt is neither text nor messages"),
        ({"chosen": "a", "rejected": "b"}, "has no prompt"),
    ],
)  # fmt: skip
def test_what_a_conversation_lacks_is_said(row: Row, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}"):
        TRL(row)


@pytest.mark.parametrize(
    ("kind", "row", "reason"),
    [
        ("ultrafeedback", {"instruction": "i"}, "has no list completions"),
        ("ultrafeedback", {"instruction": "i", "completions": [{}]}, "has completions without response"),
        ("ultrafeedback", {"instruction": "i", "completions": ["a", "b"]}, "has completions without response"),
        (
            "distilabel",
            {"instruction": "i", "generations": ["a", "b", "c"]},
            "has 3 generations, two are needed; rank them with rlaif-fast rank",
        ),
        ("distilabel", {"generations": ["a", "b"]}, "has no instruction"),
        ("alpacaeval", {"instruction": "i", "output_1": "a"}, "has no output_2"),
        ("notebook", {"instruction": "i", "chosen": "a"}, "has no chosen or no rejected"),
    ],
)  # fmt: skip
def test_a_later_row_says_what_it_lacks(kind: str, row: Row, reason: str) -> None:
    shape = recognised(SHAPES[kind][0])
    with pytest.raises(ValueError, match=f"^{reason}$"):
        shape(row)


CALL = {"type": "function", "function": {"name": "weather", "arguments": '{"in": "Rome"}'}}


def parts(*texts: str) -> list[Row]:
    return [{"type": "text", "text": text, "image_url": None} for text in texts]


SAID: dict[str, tuple[list[Row], str]] = {
    "parts": ([{"role": "assistant", "content": parts("a")}], "a"),
    "several": ([{"role": "assistant", "content": parts("a", "b")}], "a\nb"),
    "with blanks": ([{"role": "assistant", "content": parts("a ", "b")}], "a b"),
    "strings": ([{"role": "assistant", "content": ["a", "b"]}], "a\nb"),
    "a call": ([reply("Wait.") | {"tool_calls": [CALL]}], 'Wait.\n\nTool call: weather {"in": "Rome"}'),
    "only a call": ([{"role": "assistant", "content": None, "tool_calls": [CALL]}],
                    'Tool call: weather {"in": "Rome"}'),
    "an object": ([{"role": "assistant", "function_call": {"name": "f", "arguments": {"x": 1, "y": None}},
                    "content": ""}], 'Tool call: f {"x": 1}'),
    "no calls": ([reply("a") | {"tool_calls": None, "function_call": None}], "a"),
    "calls and answers": ([{"role": "assistant", "content": None, "tool_calls": [CALL]},
                           {"role": "tool", "name": "weather", "content": "sun"}, reply("Fine.")],
                          'Assistant: Tool call: weather {"in": "Rome"}\n\nTool: weather: sun\n\nAssistant: Fine.'),
    "sharegpt": ([{"from": "function_call", "value": "f()"}, {"from": "observation", "value": "5"},
                  {"from": "gpt", "value": "Five."}],
                 "Assistant: Tool call: f()\n\nTool: 5\n\nAssistant: Five."),
    "a thought": ([reply("a") | {"reasoning_content": "hm"}], "<think>\nhm\n</think>\n\na"),
    "a thought twice": ([reply("<think>hm</think>a") | {"thinking": "hm"}], "<think>hm</think>a"),
    "a refusal": ([{"role": "assistant", "content": None, "refusal": "No."}], "No."),
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_all_that_a_message_says_is_text(name: str) -> None:
    messages, wanted = SAID[name]
    b = [reply("b")]
    for prompt in ([user("i")], "i", {"role": ["user"], "content": ["i"]}, json.dumps([user("i")])):
        assert taken({"prompt": prompt, "chosen": messages, "rejected": b}) == ("i", wanted, "b")
        if all("content" in message for message in messages):
            assert taken({"prompt": prompt, "chosen": json.dumps(messages), "rejected": repr(b)}) == ("i", wanted, "b")
    whole = [user("i"), *messages]
    assert taken({"chosen": whole, "rejected": [user("i"), *b]}) == ("i", wanted, "b")
    assert taken({"instruction": [user("i")], "response_0": b, "response_1": messages}) == ("i", "b", wanted)
    assert taken({"instruction": "i", "generations": [messages, b]}) == ("i", wanted, "b")
    assert taken({"prompt": "i", "responses": [messages, b, b]}, rank=True) == ("i", wanted, "b", "b")
    assert taken({"prompt": "i", "response": messages}, score=True) == ("i", wanted)
    if len(messages) == 1:
        assert taken({"messages": whole}, score=True) == ("i", wanted)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"role": "assistant", "content": None}, "chosen has a message whose content is null"),
        (reply("a") | {"tool_calls": [{}]}, "chosen has tool calls without a function's name"),
        (reply("a") | {"tool_calls": {"x": 1}}, "chosen has tool calls that are no list"),
        (reply("a") | {"thinking": ["x"]}, "chosen has a message whose thinking is no text"),
        ({"role": "assistant", "content": [{"type": "tool_use", "id": 1}]}, "chosen has content of type tool_use"),
        ({"role": "assistant", "content": [{"type": "image_url", "image_url": {"url": "x"}}]},
         "chosen has content of type image_url, which a judge"),
        ({"role": "assistant", "content": [*parts("a"), {"type": "text"}]}, "chosen is not a list of messages"),
        ({"role": "assistant", "content": 5}, "chosen is not a list of messages"),
        (user("a"), "chosen has a user's turn where its response should begin"),
    ],
)  # fmt: skip
def test_what_a_message_cannot_say_is_refused(message: Row, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}"):
        TRL({"prompt": [user("i")], "chosen": [message], "rejected": [reply("b")]})


RECORD = '{"from": "Rome", "to": "Paris", "value": "12"}'


IN_CELLS: dict[str, Any] = {
    "gemini": '[{"role": "user", "parts": [{"text": "Q?"}]}]',
    "langchain": '[{"type": "human", "content": "Q?"}]',
    "text": '[{"role": "user", "text": "Q?"}]',
    "an object": json.dumps({"messages": [user("Q?")]}),
    "an object itself": {"messages": [user("Q?")], "tools": None},
    "twice": json.dumps(json.dumps([user("Q?")])),
    "parts as text": [user('[{"type": "text", "text": "Q?"}]')],
    "a null image": [user("") | {"content": [{"type": "text", "text": "Q?", "image_url": {"url": None}}]}],
}  # fmt: skip


@pytest.mark.parametrize("name", IN_CELLS)
def test_messages_in_other_notations_are_messages(name: str) -> None:
    assert taken({"prompt": IN_CELLS[name], "chosen": "a", "rejected": "b"}) == ("Q?", "a", "b")


@pytest.mark.parametrize("call", [CALL, {"name": "weather", "args": {"in": "Rome"}}])
def test_a_message_may_be_a_call_alone(call: Row) -> None:
    turns = [user("Q?"), {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "content": "5"}]
    wanted = 'Human: Q?\n\nAssistant: Tool call: weather {"in": "Rome"}\n\nTool: 5'
    for prompt in (turns, json.dumps(turns)):
        assert taken({"prompt": prompt, "chosen": "a", "rejected": "b"}) == (wanted, "a", "b")


@pytest.mark.parametrize("text", [RECORD, '{"role": "teacher", "task": "Explain.", "content": "Neon"}',
                                  '[{"name": "Bob", "role": "user"}]', f"[{RECORD}]"])  # fmt: skip
def test_a_text_that_is_json_and_no_messages_is_text(text: str) -> None:
    assert taken({"prompt": text, "chosen": text + " ", "rejected": "b"}) == (text, text + " ", "b")
    assert taken({"instruction": "i", "response_0": text, "response_1": "b"}) == ("i", text, "b")


def test_an_object_that_is_no_message_is_refused() -> None:
    with pytest.raises(ValueError, match="chosen is not a list of messages"):
        TRL({"prompt": "i", "chosen": json.loads(RECORD), "rejected": json.loads(RECORD)})


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ({"content": "Wait.", "function_calls": "w(in='Rome')"}, "Wait.\n\nTool call: w(in='Rome')"),
        ({"content": "Wait.", "tool_call": {"name": "w", "arguments": {"x": 1}}}, 'Wait.\n\nTool call: w {"x": 1}'),
        ({"content": [{"type": "refusal", "refusal": "No."}]}, "No."),
        ({"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}]},
         "<think>\nhm\n</think>\n\na"),
    ],
)  # fmt: skip
def test_other_keys_that_say_something_are_shown(message: Row, wanted: str) -> None:
    row = {"prompt": [user("i")], "chosen": [{"role": "assistant", **message}], "rejected": [reply("b")]}
    assert taken(row) == ("i", wanted, "b")


@pytest.mark.parametrize("key", ["tools", "functions"])
def test_tools_of_a_system_message_are_shown(key: str) -> None:
    row = {"prompt": [SYSTEM | {key: [{"name": "w"}]}, user("i")], "chosen": "a", "rejected": "b"}
    assert taken(row) == ('Be kind.\n\nTools: [{"name": "w"}]\n\nHuman: i', "a", "b")


@pytest.mark.parametrize("key", ["documents", "file", "experimental_attachments", "context"])
def test_what_stands_beside_a_content_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=f"^prompt has a message with {key} beside its content"):
        TRL({"prompt": [user("i") | {key: ["x"]}], "chosen": "a", "rejected": "b"})

"""A conversation in the text of a chat template, as a policy is prompted with it: turns again."""

from __future__ import annotations

import re

from rlaif_fast.schemas.messages import Turn, rendered

_BEGINS = re.compile(r"\s*(?:<\|begin_of_text\|>|<bos>|<s>)?\s*")
# (a turn: role and text; how the answer is opened) of ChatML, Llama 3, Gemma, Phi-3 and Zephyr, Mistral.
_TEMPLATES = tuple(
    (re.compile(turn, re.DOTALL), re.compile(opens))
    for turn, opens in (
        (r"<\|im_start\|>(?P<role>\w+)\n(?P<text>.*?)<\|im_end\|>\s*", r"<\|im_start\|>assistant\s*"),
        (r"<\|start_header_id\|>(?P<role>\w+)<\|end_header_id\|>\s*(?P<text>.*?)<\|eot_id\|>\s*",
         r"<\|start_header_id\|>assistant<\|end_header_id\|>\s*"),
        (r"<start_of_turn>(?P<role>\w+)\n(?P<text>.*?)<end_of_turn>\s*", r"<start_of_turn>model\s*"),
        (r"<\|(?P<role>system|user|assistant)\|>\s*(?P<text>.*?)(?:<\|end\|>|</s>)\s*", r"<\|assistant\|>\s*"),
        (r"\[INST\]\s*(?P<text>.*?)\s*\[/INST\]\s*", ""),
    )
)  # fmt: skip
_ROLES = {"model": "assistant"}
_ENDS = re.compile(
    r"(?:\s*(?:<\|im_end\|>|<\|end\|>|</s>|<\|endoftext\|>|<\|eot_id\|>|<\|end_of_text\|>|<end_of_turn>|<eos>))+\s*$"
)


def asked_in(prompt: str) -> str:
    """What a chat template's prompt asks, as a conversation of messages is rendered; other texts as they are."""
    start = _BEGINS.match(prompt)
    for turn, opens in _TEMPLATES:
        at, turns = start.end() if start else 0, []
        while found := turn.match(prompt, at):
            role = found.groupdict().get("role", "user")
            turns.append(Turn(_ROLES.get(role, role), found["text"].strip()))
            at = found.end()
        if turns and opens.fullmatch(prompt, at):
            return rendered(turns)
    return prompt


def without_end(response: str) -> str:
    """A response without the tokens that a chat template ends it with."""
    return _ENDS.sub("", response)

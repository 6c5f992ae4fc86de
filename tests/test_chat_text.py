"""Prompts of chat templates, as their tokenizers write them, and what they ask."""

from __future__ import annotations

import pytest

from rlaif_fast.schemas.chat_text import asked_in, without_end
from tests.chat_templates import CHATS
from tests.families import tiny_tokenizer


@pytest.mark.parametrize("name", sorted(set(CHATS) - {"turns"}))
def test_what_a_template_was_made_of_comes_back(name: str) -> None:
    tokenizer = tiny_tokenizer(chat=name)

    def prompt(*texts: str) -> str:
        said = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]
        return tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)

    system = "You help.\n\n" if "You help." in prompt("a") else ""  # the template's own
    assert asked_in(prompt("Why?\n\nSo")) == (f"{system}Human: Why?\n\nSo" if system else "Why?\n\nSo")
    if name != "mistral":  # which does not mark where an answer ends
        found = asked_in(prompt("Why?", "No.", "Why not?"))
        assert found == f"{system}Human: Why?\n\nAssistant: No.\n\nHuman: Why not?"


def test_a_system_turn_stands_before() -> None:
    prompt = "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nQ?<|im_end|>\n<|im_start|>assistant\n"
    assert asked_in(prompt) == "Be kind.\n\nHuman: Q?"


@pytest.mark.parametrize("text", [
    "Why?", "", "<|im_start|>user\nQ?", "<|im_start|>user\nQ?<|im_end|>\n<|im_start|>assistant\nYes", "Q: a\nA:",
])  # fmt: skip
def test_other_texts_stay(text: str) -> None:
    assert asked_in(text) == text


def test_the_end_of_a_response() -> None:
    assert without_end("Yes.\n<|im_end|>\n<|endoftext|>") == "Yes."
    assert without_end("Yes </s> or no") == "Yes </s> or no"

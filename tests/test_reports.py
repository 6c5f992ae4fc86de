"""What the commands that write reports have in common."""

from __future__ import annotations

import shlex

import click
import pytest

from rlaif_fast.commands import select as module
from rlaif_fast.commands.reports import command_line


@pytest.mark.parametrize(
    "words",
    [
        ["x y.jsonl"], ["-", "--shots", "0"], ["x", "--shots", "0,2,4", "--trust-remote-code"],
        ["x", "--template", "helpful", "--template", "my own.toml", "--carry", "a", "--limit", "3"],
    ],
)  # fmt: skip
def test_the_command_line_can_be_typed_again(words: list[str]) -> None:
    """It is made of what was parsed, and parses to the same."""

    def parsed(given: list[str]) -> click.Context:
        return module.select.make_context("select", list(given))

    context = parsed(words)
    again = shlex.split(command_line(context))
    assert again[:2] == ["rlaif-fast", "select"]
    assert sorted(again[2:]) == sorted(words)
    assert parsed(again[2:]).params == context.params

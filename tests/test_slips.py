"""What is said of a word that there is not: a suggestion where one is near, and none where it is not."""

from __future__ import annotations

import pytest

from rlaif_fast.cli import _run
from rlaif_fast.wording import near


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("jugde x", "No such command 'jugde'. Did you mean 'judge'? (see rlaif-fast --help)"),
        ("evaluate x", "No such command 'evaluate'. Did you mean 'eval'? (see rlaif-fast --help)"),
        ("rewrite x", "No such command 'rewrite'. (see rlaif-fast --help)"),
        ("cache lits", "No such command 'lits'. Did you mean 'list'? (see rlaif-fast cache --help)"),
        ("judge x --ordrs both", "No such option '--ordrs'. Did you mean '--orders'? (see rlaif-fast judge --help)"),
        ("judge x --temp y", "No such option '--temp'. Did you mean '--template'? (see rlaif-fast judge --help)"),
        ("judge x --min_margin 1",
         "No such option '--min_margin'. Did you mean '--min-margin'? (see rlaif-fast judge --help)"),
        ("judge x --device cpu", "No such option '--device'. (see rlaif-fast judge --help)"),
        ("judge x --foo", "No such option '--foo'. (see rlaif-fast judge --help)"),
        ("judge x --orders bth", "Invalid value for '--orders': 'bth' is not one of 'both', 'forward', 'prior', 'auto';"
         " did you mean 'both'? (see rlaif-fast judge --help)"),
        ("judge x --orders sideways", "Invalid value for '--orders': 'sideways' is not one of 'both', 'forward',"
         " 'prior', 'auto'. (see rlaif-fast judge --help)"),
        ("judge x -o", "Option '-o' requires an argument. (see rlaif-fast judge --help)"),
        ("prompt add x --template",
         "Option '--template' requires an argument. (see rlaif-fast prompt add --help)"),
        ("judge x -t", "No such option '-t'. (see rlaif-fast judge --help)"),
    ],
)  # fmt: skip
def test_a_suggestion_only_where_it_is_near(command: str, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert _run(command.split(), debug=False) == 2
    assert capfd.readouterr() == ("", f"error: {said}\n")


def test_near() -> None:
    names = ["summary", "helpful", "helpful-detailed"]
    assert near("helpfull", names) == "helpful" and near("sumary", names) == "summary"
    assert near("harmless", names) is None and near("", names) is None and near("help", []) is None

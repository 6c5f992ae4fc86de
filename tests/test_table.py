"""``--table``: what is printed, to the letter."""

from __future__ import annotations

import pytest
from rich.console import Console

from rlaif_fast.cli import _run
from rlaif_fast.commands.table import print_rankings, print_scores, print_verdicts
from rlaif_fast.reports.console import stderr, stdout

RANKING = {
    "id": "moon", "responses": ["no", "once a turn", "light"], "ranking": [1, 2, 0], "strengths": [-0.5, 0.625, -0.125],
    "consistent_share": 2 / 3,
}  # fmt: skip
VERDICT = {
    "id": 7, "chosen": "a  long\nanswer " + 60 * "x", "label": 2, "p1": 0.25, "p1_by_order": [0.3, 0.2],
    "consistent": True,
}  # fmt: skip
SCORE = {"id": "a", "response": "yes", "score": 0.25, "rating": 6.625, "mass": 0.5}


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")


def test_rankings(capsys: pytest.CaptureFixture[str]) -> None:
    print_rankings([RANKING, {**RANKING, "consistent_share": None}])
    assert _printed(capsys) == [
        "rankings: places of the responses, best first",
        "id | ranking | strengths | consistent | best",
        "moon | 1 2 0 | +0.625 -0.125 -0.500 | 67 % | response_1: once a turn",
        "moon | 1 2 0 | +0.625 -0.125 -0.500 | - | response_1: once a turn",
    ]


def test_the_width_is_that_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Dataset.map` of datasets replaces os.environ, and rich keeps the one that it was imported with."""
    monkeypatch.setattr(Console, "_environ", {})
    assert stdout().width == stderr().width == 140


def test_verdicts(capsys: pytest.CaptureFixture[str]) -> None:
    print_verdicts([{**VERDICT, "kept": False}, {**VERDICT, "kept": True, "consistent": None}], marked=True)
    text = f"response_1: a long answer {50 * 'x'}…"
    assert _printed(capsys) == [
        "verdicts: p1 is the probability that response_0 is preferred",
        "id | p1 | by order | consistent | chosen | kept",
        f"7 | 0.2500 | 0.300 0.200 | yes | {text} | no",
        f"7 | 0.2500 | 0.300 0.200 | - | {text} | yes",
    ]


def test_scores(capsys: pytest.CaptureFixture[str]) -> None:
    print_scores([SCORE], rated=True, marked=False)
    assert _printed(capsys) == [
        "scores: rating is from 1 to 10",
        "id | score | rating | mass | response",
        "a | +0.2500 | 6.62 | 0.50 | yes",
    ]
    carried = {"rating": "good", "mass": None, "kept": "x"}  # of the input's own columns
    print_scores([{"id": "b", "response": "no", "score": -3.5, **carried}], rated=False, marked=False)
    assert _printed(capsys) == ["scores", "id | score | response", "b | -3.5000 | no"]


@pytest.mark.parametrize(
    "command", ["judge x --to trl", "rank x --to trl", "judge x -o y", "rank x -o y", "score x -o y"]
)
def test_a_table_is_printed(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert _run([*command.split(), "--table"], debug=False) == 2
    assert capfd.readouterr().err.startswith("error: --table is printed; it takes neither --output nor --to (see ")


def _printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines, with a bar between cells, whatever a table is drawn with."""
    title, *lines = capsys.readouterr().out.splitlines()
    cells = [[" ".join(cell.split()) for cell in line.strip("│┃ ").replace("┃", "│").split("│")] for line in lines]
    return [title.strip(), *(" | ".join(row) for row in cells if len(row) > 1)]

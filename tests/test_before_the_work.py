"""What cannot succeed is refused in one line, before anything is exported, loaded or judged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rlaif_fast.cli import _run
from tests.conftest import ROOT, Run

PAIRS = ROOT / "examples" / "pairs.jsonl"
Here = Callable[..., Run]


@pytest.fixture
def here(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    """The command in this process and an empty folder, with an empty cache folder: what exported, would be seen."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RLAIF_FAST_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RLAIF_FAST_ENGINE", raising=False)

    def run(*arguments: object) -> Run:
        capfd.readouterr()
        return Run(_run([str(one) for one in arguments], debug=False), *capfd.readouterr())

    return run


def refused(done: Run, said: str, status: int = 1) -> None:
    assert (done.status, done.out, done.err) == (status, "", f"error: {said}\n")


def labelled(count: int) -> str:
    row = {"response_0": "a fox", "response_1": "a dog"}
    return "".join(json.dumps({**row, "instruction": f"{n}.", "label": n % 2}) + "\n" for n in range(count))


# Reports


@pytest.mark.parametrize(
    ("command", "option", "name", "endings"),
    [
        ("diff", "--html", "out.json", ".html or .htm"), ("diff", "--json", "out.xlsx", ".json"),
        ("eval", "--markdown", "out.html", ".md or .markdown"), ("eval", "--fit", "c.toml", ".json"),
        ("bench", "--json", "out.json.gz", ".json"), ("bench", "--html", "OUT.JSON", ".html or .htm"),
        ("select", "--profile", "mine.jsonl", ".json"), ("select", "--html", "out.pdf", ".html or .htm"),
    ],
)  # fmt: skip
def test_a_report_has_no_other_formats_name(command: str, option: str, name: str, endings: str, here: Here) -> None:
    inputs = ("a.jsonl", "b.jsonl") if command == "diff" else ("a.jsonl",)
    ending = Path(name).suffix
    refused(
        here(command, *inputs, option, name), f"{name}: {ending} files are not written by {option}; name it {endings}"
    )
    refused(here(command, *inputs, option, "-"), f"-: {option} takes a file's name; standard output is /dev/stdout")


@pytest.mark.parametrize("name", ["report", "run-1.5", "r.htm", "R.HTML", "/dev/null"])
def test_names_that_say_no_other_format_are_taken(name: str, here: Here) -> None:
    done = here("diff", "none.jsonl", "none.jsonl", "--html", name)
    assert (
        done.err
        == "error: none.jsonl: cannot be read (No such file or directory), give a file of rows, or - for stdin\n"
    )


def test_an_output_called_dash_is_refused(here: Here) -> None:
    refused(
        here("judge", PAIRS, "-o", "-"),
        "-: names no file, give one, or leave the option out and redirect standard output",
    )


# Input


@pytest.mark.parametrize(
    ("command", "give"),
    [
        ("eval", "pairs or verdicts whose label is 0 or 1"), ("select", "pairs or verdicts whose label is 0 or 1"),
        ("bench", "pairs to measure"), ("diff", "rows written by `rlaif-fast judge`"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("name", "text"), [("e.jsonl", ""), ("e.json", "[]"), ("e.csv", "instruction,label\n")])
def test_an_empty_input_is_called_so(command: str, give: str, name: str, text: str, here: Here) -> None:
    Path(name).write_text(text)
    refused(here(command, *[name] * (2 if command == "diff" else 1)), f"{name}: no rows; give {give}")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "i", "chosen": "a", "rejected": "b", "soft_label": 0.6, "margin": 0.2, "consistent": True},
         "written with --to trl, which leaves p1 out; give rows written by `rlaif-fast judge` without --to"),
        ({"instruction": "i", "response_0": "a", "response_1": "b"},
         "a pair that is not judged yet; judge it, and give rows written by `rlaif-fast judge`"),
        ({"instruction": "i", "responses": ["a", "b"], "ranking": [0, 1], "strengths": [1, -1]},
         "written by `rlaif-fast rank`; give rows written by `rlaif-fast judge`"),
        ({"instruction": "i", "response": "a", "score": 0.5},
         "written by `rlaif-fast score`; give rows written by `rlaif-fast judge`"),
        ({"text": "a"}, "field 'instruction' is missing; give rows written by `rlaif-fast judge`"),
    ],
)  # fmt: skip
def test_what_diff_was_given_is_named(row: dict[str, object], said: str, here: Here) -> None:
    Path("a.jsonl").write_text(json.dumps({"id": "x", **row}) + "\n")
    refused(here("diff", "a.jsonl", "a.jsonl"), f"a.jsonl, line 1, id 'x': {said}")


@pytest.mark.parametrize("command", ["judge", "rank", "score", "eval", "bench", "select"])
def test_a_limit_of_nothing_is_refused(command: str, here: Here) -> None:
    refused(
        here(command, PAIRS, "--limit", 0),
        f"Invalid value for '--limit': 0 is not in the range x>=1. (see rlaif-fast {command} --help)", 2,
    )  # fmt: skip


@pytest.mark.parametrize("command", ["tune", "inspect"])
def test_a_file_is_no_bundle(command: str, here: Here) -> None:
    Path("p.jsonl").touch()
    refused(
        here(command, "p.jsonl"),
        "p.jsonl: a file, and a bundle is a folder; `rlaif-fast list` shows the bundles at hand",
    )


# What judges


def test_an_engine_or_a_calibration_that_is_not_there(here: Here) -> None:
    """The embedded default is not exported for it."""
    done = here("judge", PAIRS, "--engine", "onxruntime")
    assert done.err.startswith("error: --engine onxruntime: no such engine; there are auto, onnxruntime, ")
    assert done.err.endswith("; did you mean onnxruntime?\n") and done.status == 1
    assert "did you mean" not in here("rank", PAIRS, "--engine", "cuda").err
    for command in ("judge", "rank"):
        done = here(command, PAIRS, "--calibration", "c.json")
        assert done.err.startswith("error: c.json: cannot be read") and not Path("home").exists()


def test_a_prompt_that_the_default_will_not_have(here: Here) -> None:
    done = here("judge", PAIRS, "--template", "sumary")
    assert done.err.startswith("error: smollm2-135m-instruct: no prompt 'sumary' in this bundle, there is: summary, ")
    assert done.err.endswith("; did you mean summary?\n") and not Path("home").exists()


def test_a_template_that_is_near_is_suggested(here: Here) -> None:
    said = "did you mean summary? (`rlaif-fast template list` shows all; a file's name ends in .toml)"
    for command in ("show", "check"):
        refused(here("template", command, "Sumary"), f"no template 'Sumary', {said}")


def test_a_suites_bundles_are_all_looked_at_first(llama: Path, here: Here) -> None:
    Path("l.jsonl").write_text(labelled(2))
    shutil.copytree(llama, "cut")
    Path("cut", "model.onnx.data").unlink()
    command = ("eval", "--suite", "s", "l.jsonl", "-b", llama, "-b")
    refused(here(*command, "nowhere"), "nowhere: no such folder; give a bundle, `rlaif-fast export MODEL` makes one")
    refused(here(*command, "cut"), "cut: model.onnx.data is missing; export the model again")
    done = here(*command, llama, "--template", "haiku")
    assert done.status == 1 and ": no prompt 'haiku' in this bundle, there is: summary" in done.err


def test_a_reference_that_is_not_there_is_said_before_anything_is_exported(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    done = here("bench", PAIRS, "--reference", "nonsuch")
    assert done.status == 1 and done.err.startswith("error: nonsuch: not on this machine, "), done.err
    assert not Path("home").exists()
    refused(here("bench", PAIRS, "-b", "nowhere", "--reference", "nonsuch"),
            "nowhere: no such folder; give a bundle, `rlaif-fast export MODEL` makes one")  # fmt: skip


def test_a_fit_without_enough_pairs_is_refused_before_they_are_judged(llama: Path, here: Here) -> None:
    Path("l.jsonl").write_text(labelled(15))
    done = here("eval", "l.jsonl", "-b", llama, "--fit", "c.json")
    assert done.err.startswith("error: l.jsonl: a fit needs 10 pairs in each half of the instructions, here are ")
    assert done.err.count("\n") == 1 and not Path("c.json").exists()


def test_a_prompt_to_remove_is_not_advised_to_be_added(llama: Path, here: Here) -> None:
    shutil.copytree(llama, "b")
    refused(here("prompt", "remove", "b", "helpful"), "b: no prompt 'helpful' in this bundle, there is: summary")
    refused(
        here("prompt", "remove", "b", "sumary"),
        "b: no prompt 'sumary' in this bundle, there is: summary; did you mean summary?",
    )

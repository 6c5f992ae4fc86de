"""``rlaif-fast template``, and the options of ``export`` that decide the prompt."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rlaif_fast.bundle.folder import read_manifest
from rlaif_fast.prompts.guards import GUARDS
from tests.conftest import ROOT, Run
from tests.families import save_tiny

Cli = Callable[..., Run]
EXAMPLE = ROOT / "examples/judge.toml"
ROWS = ROOT / "examples/exemplars.jsonl"


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny("llama", tmp_path_factory.mktemp("chat") / "tiny", chat="chatml")


def test_list(rlaif_fast: Cli) -> None:
    done = rlaif_fast("template", "list")
    assert done.status == 0
    assert [line.split()[0] for line in done.out.splitlines()] == [
        "summary", "summary-detailed", "helpful", "helpful-detailed", "harmless", "harmless-detailed",
        "score-summary", "score-helpful", "score-harmless", "pandalm", "prometheus", "skywork-critic", *GUARDS,
    ]  # fmt: skip


def test_show(rlaif_fast: Cli, chat_model: Path) -> None:
    done = rlaif_fast("template", "show", "summary")
    assert done.out.endswith(
        "Text - <the instruction>\nSummary 1 - <the response shown first>\n"
        "Summary 2 - <the response shown second>\nPreferred Summary=\n"
    )
    assert "answered with '1' or '2'" in done.err
    with_examples = rlaif_fast("template", "show", "summary", "--exemplars", ROWS, "--shots", 2)
    assert with_examples.out.count("Preferred Summary=") == 3
    assert "2 few-shot examples from" in with_examples.err and "the right answers are 1, 2;" in with_examples.err
    in_chat = rlaif_fast("template", "show", EXAMPLE, "--model", chat_model, "--chat", "auto")
    assert in_chat.out.startswith("<|im_start|>system\nYou help.<|im_end|>\n<|im_start|>user\nA good recipe")
    assert in_chat.out.endswith("Better recipe:<|im_end|>\n<|im_start|>assistant\n\n")
    assert rlaif_fast("template", "show", "summary", "--model", chat_model).out == done.out


def test_check(rlaif_fast: Cli, chat_model: Path, tmp_path: Path) -> None:
    done = rlaif_fast("template", "check", EXAMPLE)
    assert done.status == 0
    assert done.out.startswith(f"{EXAMPLE}: a template, 2 few-shot examples, in bundles called recipes-")
    done = rlaif_fast("template", "check", EXAMPLE, "--model", chat_model, "--chat", "yes")
    assert done.status == 0, done.err
    assert (
        "'A' is token" in done.out and "'B' is token" in done.out and "tokens are the same in every prompt" in done.out
    )
    assert done.out.splitlines()[0].endswith("-chat"), "the name its bundle gets"
    bad = tmp_path / "judge.toml"
    bad.write_text(EXAMPLE.read_text().replace('["A", "B"]', '["first", "second"]'))
    assert rlaif_fast("template", "check", bad).status == 0
    done = rlaif_fast("template", "check", bad, "--model", chat_model)
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert done.err.startswith(f"error: {bad}, line 3: template recipes-")
    assert "label 'first' is not one token after the prompt" in done.err
    lines = EXAMPLE.read_text().splitlines()
    place = {key: next(n for n, line in enumerate(lines, 1) if line.startswith(key)) for key in ("head", "ending")}
    bad.write_text(EXAMPLE.read_text().replace("Better recipe:", "Better recipe: ").replace('["A", "B"]', '["1", "2"]'))
    done = rlaif_fast("template", "check", bad, "--model", chat_model)
    assert done.err.startswith(f"error: {bad}, line {place['ending']}: template recipes-")
    assert done.err.endswith(" is not one token after the blank that the prompt ends with; take that blank away\n")
    bad.write_text(EXAMPLE.read_text().replace("A good recipe can", "A good recipe " * 500 + "can"))
    done = rlaif_fast("template", "check", bad, "--model", chat_model)
    assert done.err.startswith(f"error: {bad}, line {place['head']}: template recipes-")
    assert ": its head has " in done.err and "; make it shorter, or show fewer examples" in done.err
    bad.write_text(EXAMPLE.read_text().replace("{second}", "{secnod}"))
    done = rlaif_fast("template", "check", bad)
    assert (done.status, done.err) == (1, f"error: {bad}, line 11: body needs {{second}} once, it has it 0 times\n")


def test_a_control_token_that_the_model_has_not(rlaif_fast: Cli, chat_model: Path, tmp_path: Path) -> None:
    """Its own line is named, not that of the labels."""
    path = tmp_path / "judge.toml"
    path.write_text(EXAMPLE.read_text().replace("Dish: {instruction}", "{token:<|im_start|>}Dish: {instruction}"))
    assert rlaif_fast("template", "check", path, "--model", chat_model).status == 0
    path.write_text(path.read_text().replace("im_start", "nope"))
    done = rlaif_fast("template", "check", path, "--model", chat_model)
    assert (done.status, done.out) == (1, "")
    assert done.err == f"error: {path}, line 11: the template's '<|nope|>' is no control token of this tokenizer\n"


def test_score_templates(rlaif_fast: Cli, chat_model: Path) -> None:
    done = rlaif_fast("template", "show", "score-summary")
    assert done.out.endswith("Text - <the instruction>\nSummary - <the response>\nScore=\n")
    assert "answered with a score from 1 to 10" in done.err
    done = rlaif_fast("template", "check", "score-summary", "--model", chat_model, "--chat", "auto")
    assert done.out.startswith("score-summary: a score template, in bundles called score-summary\n"), done.err
    assert "'0' is token" in done.out and "'9' is token" in done.out


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("template", "check", "none.toml"), 1, "error: none.toml: cannot be read"),
        (("template", "show", "haiku"), 1, "error: no template 'haiku', there is: summary, "),
        (("template", "show", "summary", "--chat", "yes"), 2, "--chat needs the --model"),
        (("template", "check", "summary", "--chat", "auto"), 2, "--chat needs the --model"),
        (("export", "x", "--shots", 2), 2, "--exemplars FILE and --shots N go together"),
        (("export", "x", "--exemplars", ROWS), 2, "--exemplars FILE and --shots N go together"),
        (("export", "x", "--exemplars", ROWS, "--shots", 9), 1, "8 rows have a label, 9 are to be shown"),
        (("export", "x", "--exemplars", ROWS, "--shots", 1, "--template", EXAMPLE), 1, "has exemplars of its own"),
        (
            ("export", "x", "--template", "haiku"),
            1,
            "harmless-detailed, score-summary, score-helpful, score-harmless, pandalm,",
        ),
        (("export", "x", "--template", "score-helpful", "--exemplars", ROWS, "--shots", 1), 2, "is a score template"),
        (("template", "check", "score-helpful", "--model", "x", "--chat", "yes"), 2, "is a score template"),
    ],
)
def test_wrong_usage_is_said_before_any_work(
    rlaif_fast: Cli, arguments: tuple[object, ...], status: int, message: str
) -> None:
    done = rlaif_fast(*arguments)
    assert done.status == status and message in done.err, done.err
    assert "Traceback" not in done.err


def test_prompts_of_each_kind_come_into_one_bundle(rlaif_fast: Cli, chat_model: Path, tmp_path: Path) -> None:
    """And the bundle judges with each."""
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(json.dumps({"instruction": "A text.", "response_0": "a fox", "response_1": "a dog"}) + "\n")
    examples = tmp_path / "rows.jsonl"
    rows = [{"instruction": f"t{n}", "response_0": "a", "response_1": "b", "label": 1} for n in range(2)]
    examples.write_text("".join(json.dumps(row) + "\n" for row in rows))
    export = ("export", chat_model, "--precision", "fp32", "--template", EXAMPLE, "--chat", "auto")
    done = rlaif_fast(*export, home=tmp_path)
    assert done.status == 0, done.err
    folder = Path(done.out.splitlines()[-1])
    assert folder.name == "tiny-fp32"
    again = rlaif_fast(*export, home=tmp_path)
    assert again.status == 1 and "exists already" in again.err and f"rlaif-fast prompt add {folder}" in again.err
    add = ("prompt", "add", folder, "--model", chat_model, "--template", "summary", "--exemplars", examples)
    done = rlaif_fast(*add, "--shots", 2, home=tmp_path)
    assert done.status == 0, done.err
    own, shots = (prompt.name for prompt in read_manifest(folder).prompts)
    for name in (own, shots):
        judged = rlaif_fast("judge", pairs, "-b", folder, "--template", name, home=tmp_path)
        assert judged.status == 0 and json.loads(judged.out)["label"] in (1, 2)
    assert own.startswith("recipes-") and own.endswith("-chat")
    assert shots.startswith("summary-2-shot-")
    assert "the right answers are 1, 2;" in done.err

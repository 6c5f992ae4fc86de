"""A user's own template: what is read, and errors that name the line."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlaif_fast.errors import TemplateError
from rlaif_fast.prompts.template_file import read_template
from tests.conftest import ROOT

GOOD = '''# comment
name = "recipes"
labels = ["A", "B"]

head = """
You rate.

"""
body = """
Dish: {instruction}
A: {first}
B: {second}
"""
ending = "Better:"

[[exemplars]]
instruction = "Tea"
response_0 = "Water."
response_1 = "Boil water."
label = 1
rationale = "It boils."

[[exemplars]]
instruction = "Egg"
response_0 = "Boil it."
response_1 = "No."
label = 1
'''


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "judge.toml"
    path.write_text(GOOD)
    wording = read_template(str(path)).wording
    assert (wording.name, wording.labels, wording.ending) == ("recipes", ("A", "B"), "Better:")
    assert wording.template().render("I", "F", "S") == (
        "You rate.\n\nDish: Tea\nA: Boil water.\nB: Water.\nRationale: It boils.\nBetter:A\n\n"
        "Dish: Egg\nA: Boil it.\nB: No.\nBetter:B\n\nDish: I\nA: F\nB: S\nBetter:"
    )


def test_labels_are_1_and_2_unless_said(tmp_path: Path) -> None:
    path = tmp_path / "judge.toml"
    path.write_text(GOOD.replace('labels = ["A", "B"]', ""))
    assert read_template(str(path)).wording.labels == ("1", "2")


def test_a_third_label_is_for_ties(tmp_path: Path) -> None:
    path = tmp_path / "judge.toml"
    path.write_text(GOOD.replace('["A", "B"]', '["A", "B", "tie"]'))
    wording = read_template(str(path)).wording
    assert wording.labels == ("A", "B", "tie") and wording.template().ties
    path.write_text(path.read_text().replace("label = 1", 'label = "tie"', 1))
    with pytest.raises(TemplateError, match=r"judge.toml, line 20: an exemplar needs label = 0 or 1, the index"):
        read_template(str(path))


def test_a_built_in_one_is_no_file() -> None:
    read = read_template("helpful")
    assert read.wording.name == "helpful"
    error = TemplateError("x")
    assert read.located(error) is error


def test_the_example_is_one() -> None:
    wording = read_template(str(ROOT / "examples/judge.toml")).wording
    assert wording.labels == ("A", "B") and len(wording.exemplars) == 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "recipes"', "name = recipes", "line 2: not TOML (Invalid value, column 8)"),
        ('name = "recipes"', 'name = "a/b"', "line 2: name is 'a/b', use up to 40"),
        ('name = "recipes"', 'name = "' + 41 * "a" + '"', "line 2: name is 'aaaa"),
        ('name = "recipes"', "name = 3", "line 2: name must be a text"),
        ('name = "recipes"\n', "", "line 1: 'name' is missing"),
        ('["A", "B"]', '["A", "A"]', "line 3: labels must be two different texts"),
        ('["A", "B"]', '[\n "A",\n "B",\n "C",\n "D"\n]', "line 3: labels must be two different texts, as in"),
        ('["A", "B"]', '["A", "B", "A"]', "line 3: labels must be two different texts"),
        ('["A", "B"]', '["A"]', "line 3: labels must be two different texts"),
        ('["A", "B"]', '["A", ""]', "line 3: labels must be two"),
        ('["A", "B"]', '"AB"', "line 3: labels must be two"),
        ('["A", "B"]', "[1, 2]", "line 3: labels must be two"),
        ("You rate.", "You rate {first}.", "line 5: head has {first}, the places belong into body"),
        ("You rate.", "You \\u0000", "line 5: head has a NUL"),
        ("{second}", "{frist}", "line 9: body needs {second} once, it has it 0 times"),
        ("{second}", "{second} {second}", "line 9: body needs {second} once, it has it 2 times"),
        ('ending = "Better:"', 'ending = ""', "line 14: ending must be a text that is not empty"),
        ('ending = "Better:"', 'ending = "{instruction}"', "line 14: ending has {instruction}"),
        ("ending =", "endign =", "line 14: unknown key 'endign', a template has name, head, body"),
        ('ending = "Better:"', 'ending = "Better:', "line 14: not TOML ("),
        ('ending = "Better:"', 'ending = """Better', "line 28: not TOML (Unterminated string)"),
        ("labels =", "name =", "line 3: not TOML (Cannot overwrite a value"),
        ("[[exemplars]]\ninstruction", "[exemplars]\ninstruction", "line 23: not TOML (Cannot"),
        ("label = 1\nrationale", "label = 2\nrationale", "line 20: an exemplar needs label = 0 or 1"),
        ("label = 1\nrationale", "label = true\nrationale", "line 20: an exemplar needs label = 0 or 1"),
        ("rationale =", "reason =", "line 21: unknown key 'reason', an exemplar has"),
        ('"It boils."', "3", "line 21: rationale must be a text"),
        ('"Boil it."', '"No."', "line 23: both responses are the same"),
        ('response_0 = "Boil it."\n', "", "line 23: field 'response_0' is missing"),
        ("# comment", "\x7f", "line 1: not TOML (Invalid statement, column 1)"),
    ],
)
def test_an_error_names_file_and_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "judge.toml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(TemplateError) as caught:
        read_template(str(path))
    assert str(caught.value).startswith(f"{path}, {message}"), caught.value
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_no_text_or_too_much(tmp_path: Path) -> None:
    path = tmp_path / "judge.toml"
    with pytest.raises(TemplateError, match=r"judge.toml: cannot be read \(No such file"):
        read_template(str(path))
    path.write_bytes(b"name = 'x'\nhead = '\xff'")
    with pytest.raises(TemplateError, match=r"judge.toml, line 2: not UTF-8 \(byte 0xff\)"):
        read_template(str(path))
    path.write_text("#" * 70_000)
    with pytest.raises(TemplateError, match="more than 65,536 bytes, which no template has"):
        read_template(str(path))
    path.write_text("x = " + "[" * 30_000)
    with pytest.raises(TemplateError, match=r"judge.toml, line 1: not TOML|nested too deeply"):
        read_template(str(path))


def test_what_a_tokenizer_says_of_labels_names_their_line(tmp_path: Path) -> None:
    path = tmp_path / "judge.toml"
    path.write_text(GOOD)
    assert str(read_template(str(path)).located(TemplateError("no"))) == f"{path}, line 3: no"


def test_a_file_from_windows(tmp_path: Path) -> None:
    """With a byte order mark and its line ends, read alike and named by the same lines."""
    path = tmp_path / "judge.toml"
    path.write_text(GOOD)
    plain = read_template(str(path)).wording
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert read_template(str(path)).wording == plain
    path.write_bytes(path.read_bytes().replace(b"ending =", b"endign ="))
    with pytest.raises(TemplateError, match="line 14: unknown key 'endign'"):
        read_template(str(path))
    path.write_bytes(b"\xef\xbb\xbfname = 'x'\nhead = '\xff'")
    with pytest.raises(TemplateError, match=r"line 2: not UTF-8 \(byte 0xff\)"):
        read_template(str(path))


_LINES = [*GOOD.split("\n"), "name = 1", '"', "[x]", "[[exemplars]]", 'exemplars = "x"', "label = 9", "a.b = 2", "\r"]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(_LINES), max_size=30).map("\n".join) | st.text(max_size=60))
def test_any_file_is_a_template_or_one_line_says_why_not(tmp_path: Path, text: str) -> None:
    path = tmp_path / "any.toml"
    path.write_text(text, encoding="utf-8", newline="")
    reason = ""
    try:
        read_template(str(path))
    except TemplateError as error:
        reason = str(error)
    assert not reason or reason.startswith(f"{path}, line ")
    assert len(reason.splitlines()) <= 1


def test_a_late_error_is_found_at_once(tmp_path: Path) -> None:
    """By halves: line by line took two minutes."""
    path = tmp_path / "long.toml"
    before = GOOD.split("[[")[0] + "#\n" * 12_000
    path.write_text(before + "x = '''" + "\n" * 3000 + "'''\n")
    started = time.thread_time()  # what this computes, not how long others keep the machine busy
    with pytest.raises(TemplateError, match=f"line {before.count(chr(10)) + 1}: unknown key 'x'"):
        read_template(str(path))
    assert time.thread_time() - started < 20

"""From a pair to a prompt: strings only."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif_fast.errors import TemplateError
from rlaif_fast.prompts.built_in import BUILT_IN, template_of, wording_named
from rlaif_fast.prompts.template import SUMMARY, Exemplar, Prompt, Template, Wording, quoted, written


def test_the_prompt_is_the_notebooks() -> None:
    """Character for character: the notebook's numbers depend on it."""
    assert SUMMARY.render("TEXT", "ONE", "TWO") == (
        "A good summary is coherent, accurate, covers the main ideas, and maintains overall quality.\n"
        "You are an expert rater. Given a text and two possible summaries, output 1 or 2 to indicate which is better."
        "\n\nText - TEXT\nSummary 1 - ONE\nSummary 2 - TWO\nPreferred Summary="
    )
    assert SUMMARY.labels == ("1", "2")


def test_the_head_is_what_every_prompt_begins_with() -> None:
    assert SUMMARY.head.endswith("\n\nText - ")
    assert SUMMARY.render("x", "y", "z").startswith(SUMMARY.head)
    assert Template("t", "{first} {second} {instruction}").head == ""


def test_places_may_stand_in_any_order() -> None:
    assert Template("t", "<{second}|{first}|{instruction}>").render("i", "a", "b") == "<b|a|i>"


_PLACES = st.lists(st.sampled_from(["{instruction}", "{first}", "{second}", "\\1", "{", "}", "%s", "x"])).map("".join)


@settings(deadline=None)
@given(_PLACES, _PLACES, _PLACES)
def test_what_the_texts_contain_is_never_read(instruction: str, first: str, second: str) -> None:
    template = Template("t", "[{instruction}][{first}][{second}]")
    assert template.render(instruction, first, second) == f"[{instruction}][{first}][{second}]"


def test_other_braces_are_text() -> None:
    assert Template("t", "{x} {} {{ {instruction}{first}{second} {0!r}").render("i", "a", "b") == "{x} {} {{ iab {0!r}"


@pytest.mark.parametrize(
    "text",
    ["", "{instruction} {first}", "{instruction} {first} {second} {second}", "{instruction} {first} { second}"],
)
def test_each_place_once(text: str) -> None:
    with pytest.raises(TemplateError, match=r"^template t: needs \{instruction\}, \{first\} and \{second\} once each$"):
        Template("t", text)


@pytest.mark.parametrize("labels", [("1", "1"), ("", "2"), ("1", ""), ("", ""), ("1", "2", "2"), ("1", "2", "")])
def test_two_different_labels(labels: tuple[str, ...]) -> None:
    said = r"^template t: needs two different labels, or three with one for ties, has \("
    with pytest.raises(TemplateError, match=said):
        Template("t", "{instruction}{first}{second}", labels)


def test_templates_by_name() -> None:
    assert list(BUILT_IN) == [
        "summary", "summary-detailed", "helpful", "helpful-detailed", "harmless", "harmless-detailed",
    ]  # fmt: skip
    assert all(wording_named(name) is BUILT_IN[name] and BUILT_IN[name].name == name for name in BUILT_IN)
    with pytest.raises(
        TemplateError, match=r"^no template 'haiku', there is: summary, .*; a file's name ends in .toml$"
    ):
        wording_named("haiku")


def test_built_in_templates_keep_their_names_and_the_papers_layout() -> None:
    assert template_of(BUILT_IN["summary"]) == SUMMARY
    for name, wording in BUILT_IN.items():
        template = template_of(wording)
        assert (template.name, template.labels) == (name, ("1", "2"))
        assert wording.head.endswith("\n\n") and "1 or 2" in wording.head
        assert template.render("I", "A", "B").startswith(wording.head)
        subject = "Summary" if name.startswith("summary") else "Response"
        assert template.render("I", "A", "B").endswith(f" - I\n{subject} 1 - A\n{subject} 2 - B\nPreferred {subject}=")


def test_what_is_not_built_in_is_named_by_what_it_says() -> None:
    own = Wording("summary", "Other words.\n", SUMMARY.text, "")
    changed = Wording("summary", "Other words.\n", SUMMARY.text, "", ("A", "B"))
    names = {template_of(wording).name for wording in (BUILT_IN["summary"], own, changed)}
    assert len(names) == 3 and template_of(own).name == template_of(own).name
    assert all(name.startswith("summary") for name in names)


def test_worked_examples_stand_between_head_and_sample() -> None:
    examples = Exemplar("t1", "a1", "b1", 0), Exemplar("t2", "a2", "b2", 1, "Because.")
    body = "Text {instruction}: {first} | {second}\n"
    template = Wording("w", "Head.\n", body, "Best=", ("A", "B"), examples).template()
    assert template.render("T", "F", "S") == (
        "Head.\nText t1: a1 | b1\nBest=A\n\nText t2: a2 | b2\nRationale: Because.\nBest=B\n\nText T: F | S\nBest="
    )
    assert template.head.endswith("Best=B\n\nText ")


def test_control_tokens_are_marked() -> None:
    prompt = Template("t", "{token:<s>}{instruction}{first}{token:</s>}{second}").render("<s>", "</s>", "x")
    assert prompt == "<s><s></s></s>x"
    assert [prompt[a:b] for a, b in prompt.controls] == ["<s>", "</s>"] and prompt.controls[1] == (10, 14)
    assert (prompt + "1").controls == prompt.controls
    assert isinstance(SUMMARY.render("a", "b", "c") + "1", Prompt)
    assert SUMMARY.render("{token:<s>}", "b", "c").controls == ()


_WORDS = ["{instruction}", "{token:<s>}", "{literal:first}", "{literal:{", "{", "}", "token:", "x", "\\1", "\n"]


@settings(deadline=None)
@given(st.lists(st.sampled_from(_WORDS)).map("".join) | st.text())
def test_any_text_can_be_quoted(text: str) -> None:
    template = Template("t", "{instruction}{first}{second}" + quoted(text))
    prompt = template.render("", "", "")
    assert prompt == text and prompt.controls == ()


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.lists(st.sampled_from(_WORDS)).map("".join))))
def test_a_prompt_is_written_as_it_renders(parts: list[tuple[bool, str]]) -> None:
    text, controls = "", []
    for is_control, part in parts:
        if is_control:
            controls.append((len(text), len(text) + 3))
        text += "<s>" if is_control else part
    prompt = Template("t", written(Prompt(text, tuple(controls))) + "{instruction}{first}{second}").render("", "", "")
    assert (prompt, prompt.controls) == (text, tuple(controls))


def test_a_control_tokens_name_with_braces() -> None:
    with pytest.raises(TemplateError, match="its name has braces"):
        written(Prompt("<{x}>", ((0, 5),)))

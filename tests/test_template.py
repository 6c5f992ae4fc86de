"""From a pair to a prompt: strings only."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif_fast.errors import TemplateError
from rlaif_fast.template import BUILT_IN, SUMMARY, Template, template_named


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


@pytest.mark.parametrize("labels", [("1", "1"), ("", "2"), ("1", ""), ("", "")])
def test_two_different_labels(labels: tuple[str, str]) -> None:
    with pytest.raises(TemplateError, match=r"^template t: needs two different labels, has \("):
        Template("t", "{instruction}{first}{second}", labels)


def test_templates_by_name() -> None:
    assert all(template_named(name) is BUILT_IN[name] and BUILT_IN[name].name == name for name in BUILT_IN)
    with pytest.raises(TemplateError, match=r"^no template 'haiku', there is: summary"):
        template_named("haiku")

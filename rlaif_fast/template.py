"""Templates: from a pair and an order to a prompt. Strings only; tokens are :mod:`rlaif_fast.tokens`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rlaif_fast.errors import TemplateError

_FIELD = re.compile(r"\{(instruction|first|second)\}")
_FIELDS = {"instruction", "first", "second"}


@dataclass(frozen=True)
class Template:
    """A prompt with three places: the instruction and the responses shown first and second.

    Attributes:
        name: what ``--template`` and the manifest call it.
        text: the prompt, with ``{instruction}``, ``{first}`` and ``{second}`` once each.
        labels: what the judge answers for the first and for the second response; one token each
            behind the prompt.
    """

    name: str
    text: str
    labels: tuple[str, str] = ("1", "2")

    def __post_init__(self) -> None:
        found = _FIELD.findall(self.text)
        if sorted(found) != sorted(_FIELDS):
            raise TemplateError(f"template {self.name}: needs {{instruction}}, {{first}} and {{second}} once each")
        if len(set(self.labels)) != 2 or not all(self.labels):
            raise TemplateError(f"template {self.name}: needs two different labels, has {self.labels}")

    @property
    def head(self) -> str:
        """The constant text before the first place: what the baked prefix is made of."""
        return _FIELD.split(self.text, maxsplit=1)[0]

    def render(self, instruction: str, first: str, second: str) -> str:
        """The prompt. What the texts contain is never read as a place."""
        values = {"instruction": instruction, "first": first, "second": second}
        return _FIELD.sub(lambda match: values[match[1]], self.text)


# The prompt of the RLAIF paper's base preamble (arXiv 2309.00267, appendix), as the seed notebook has it.
SUMMARY = Template(
    "summary",
    "A good summary is coherent, accurate, covers the main ideas, and maintains overall quality.\n"
    "You are an expert rater. Given a text and two possible summaries, output 1 or 2 to indicate which is better.\n\n"
    "Text - {instruction}\n"
    "Summary 1 - {first}\n"
    "Summary 2 - {second}\n"
    "Preferred Summary=",
)

BUILT_IN = {SUMMARY.name: SUMMARY}


def template_named(name: str) -> Template:
    """A built-in template.

    Raises:
        TemplateError: there is none of that name.
    """
    if name not in BUILT_IN:
        raise TemplateError(f"no template {name!r}, there is: {', '.join(BUILT_IN)}")
    return BUILT_IN[name]

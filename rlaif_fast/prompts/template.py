"""Templates: from a pair and an order to a prompt. Strings only; tokens are :mod:`rlaif_fast.prompts.tokenizer`.

A template's text is literal but for what stands in braces::

    {instruction} {first} {second}   places, once each
    {token:<|im_end|>}               a control token of the model, by its name
    {literal:first}                  the characters ``{first}``

Other braces are text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from rlaif_fast.errors import TemplateError

PLACES = ("instruction", "first", "second")
_PLACE = re.compile(rf"\{{({'|'.join(PLACES)})\}}")
_RESPONSE = re.compile(r"\{(?:first|second)\}")


def parts_of(places: Iterable[str]) -> re.Pattern[str]:
    """Matches what may stand in braces in a template's text with these places."""
    return re.compile(rf"\{{({'|'.join(places)}|(?:token|literal):[^{{}}]+)\}}")


_PART = parts_of(PLACES)


class Prompt(str):
    """A prompt's text that knows which parts of it are control tokens.

    A prompt that has some says itself how it begins: the tokenizer's post-processor adds nothing to it.
    The same characters anywhere else are text.

    Attributes:
        controls: (begin, end) of each control token, in characters, in order.
    """

    controls: tuple[tuple[int, int], ...]

    def __new__(cls, text: str, controls: tuple[tuple[int, int], ...] = ()) -> Prompt:
        made = super().__new__(cls, text)
        made.controls = controls
        return made

    def __add__(self, more: str) -> Prompt:
        """The prompt with plain text behind it."""
        return Prompt(str.__add__(self, more), self.controls)


@dataclass(frozen=True)
class Template:
    """A prompt with three places: the instruction and the responses shown first and second.

    Attributes:
        name: what the manifest and a bundle's folder call it.
        text: the prompt, with ``{instruction}``, ``{first}`` and ``{second}`` once each.
        labels: what the judge answers for the first and for the second response, and maybe, third, where neither is
            better: a tie. One token each behind the prompt.
        reply: how the model's answer begins, up to the label. In a chat template it stands in the model's turn; a
            bundle's prompts have it in their text.
    """

    name: str
    text: str
    labels: tuple[str, ...] = ("1", "2")
    reply: str = ""

    def __post_init__(self) -> None:
        if sorted(_PLACE.findall(self.text)) != sorted(PLACES):
            raise TemplateError(f"template {self.name}: needs {{instruction}}, {{first}} and {{second}} once each")
        if len({*self.labels}) != len(self.labels) or len(self.labels) not in (2, 3) or not all(self.labels):
            raise TemplateError(
                f"template {self.name}: needs two different labels, or three with one for ties, has {self.labels}"
            )

    @property
    def plain(self) -> Template:
        """The prompt without a chat template: the beginning of the answer follows the text."""
        return replace(self, text=self.text + self.reply, reply="")

    @property
    def ties(self) -> bool:
        """Whether the judge may answer that neither response is better."""
        return len(self.labels) == 3

    @property
    def head(self) -> Prompt:
        """The constant text before the first place: what the baked prefix is made of."""
        return filled(_PLACE.split(self.text, maxsplit=1)[0], {})

    def before_responses(self, instruction: str) -> Prompt:
        """The prompt's text up to the response that stands first: what all pairs on an instruction begin with."""
        return filled(_RESPONSE.split(self.text, maxsplit=1)[0], {"instruction": instruction})

    def render(self, instruction: str, first: str, second: str) -> Prompt:
        """The prompt. What the texts contain is never read as a place or a control token."""
        return filled(self.text, {"instruction": instruction, "first": first, "second": second})


def filled(text: str, values: Mapping[str, str], part: re.Pattern[str] = _PART) -> Prompt:
    """The prompt of a template's text; ``part`` is :func:`parts_of` its places."""
    pieces: list[str] = []
    controls: list[tuple[int, int]] = []
    size = 0
    for number, found in enumerate(part.split(text)):  # literal text and what stood in braces, in turn
        kind, colon, name = found.partition(":") if number % 2 else ("text", "", found)
        if kind == "token":
            controls.append((size, size + len(name)))
        piece = f"{{{name}}}" if kind == "literal" else name if colon or kind == "text" else values[found]
        pieces.append(piece)
        size += len(piece)
    return Prompt("".join(pieces), tuple(controls))


def quoted(text: str, part: re.Pattern[str] = _PART) -> str:
    """``text`` as a part of a template's text that renders to it, whatever it contains."""
    return part.sub(r"{literal:\1}", text)


def control(token: str) -> str:
    """A control token as a part of a template's text. Raises TemplateError for a name that has braces."""
    if not token or {"{", "}"} & set(token):
        raise TemplateError(f"the control token {token!r} cannot stand in a template: its name has braces")
    return f"{{token:{token}}}"


def written(prompt: Prompt, part: re.Pattern[str] = _PART) -> str:
    """The text of a template, as far as it has no places, that renders to ``prompt``."""
    parts, at = [], 0
    for begin, end in prompt.controls:
        parts += [quoted(prompt[at:begin], part), control(prompt[begin:end])]
        at = end
    return "".join([*parts, quoted(prompt[at:], part)])


@dataclass(frozen=True)
class Exemplar:
    """A few-shot example: a pair in the order it is shown, and which of its responses is right."""

    instruction: str
    first: str
    second: str
    right: int  # 0: the first, 1: the second
    rationale: str = ""


@dataclass(frozen=True)
class Wording:
    """A template as its author writes it: preamble, few-shot examples, sample, ending (arXiv 2309.00267, section 2.1).

    Attributes:
        head: text before everything else, without places.
        body: the sample, with the three places; few-shot examples are written in it too.
        ending: what the label follows.
        reply: see :class:`Template`.
    """

    name: str
    head: str
    body: str
    ending: str
    labels: tuple[str, ...] = ("1", "2")
    exemplars: tuple[Exemplar, ...] = ()
    reply: str = ""

    def template(self) -> Template:
        """The prompt as one text. Raises TemplateError where it is none."""
        worked = [self._worked(exemplar) for exemplar in self.exemplars]
        return Template(self.name, "".join([self.head, *worked, self.body, self.ending]), self.labels, self.reply)

    def _worked(self, exemplar: Exemplar) -> str:
        body = Template(self.name, self.body, self.labels)
        shown = body.render(exemplar.instruction, exemplar.first, exemplar.second)
        if exemplar.rationale:
            shown += f"Rationale: {exemplar.rationale}\n"
        return f"{written(shown)}{self.ending}{self.reply}{quoted(self.labels[exemplar.right])}\n\n"


# The prompt of the RLAIF paper's base preamble (arXiv 2309.00267, appendix), as the seed notebook has it.
BASE = Wording(
    "summary",
    "A good summary is coherent, accurate, covers the main ideas, and maintains overall quality.\n"
    "You are an expert rater. Given a text and two possible summaries, output 1 or 2 to indicate which is better.\n\n",
    "Text - {instruction}\nSummary 1 - {first}\nSummary 2 - {second}\n",
    "Preferred Summary=",
)
SUMMARY = BASE.template()

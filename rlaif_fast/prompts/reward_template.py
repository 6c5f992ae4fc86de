"""How a model that reads one response is shown it: its own chat template, frozen around an instruction and a response.

A reward model's head answers with a reward. A safety model answers with one of two label tokens, and its reward is the
log-odds that the response is safe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rlaif_fast.errors import TemplateError
from rlaif_fast.prompts.template import Prompt, filled, parts_of

NAME = "reward"
LABELS = ("reward",)  # the head has one output
PLACES = ("instruction", "response")
PART = parts_of(PLACES)
TRIMMED = {"": "", "newlines": "\n", "blanks": None}  # what a chat template takes off a text, as str.strip has it


@dataclass(frozen=True)
class Place:
    """What the model's chat template does to a text before it writes it.

    Attributes:
        left: what it takes off the text's beginning, a key of TRIMMED.
        right: the same for its end.
        refused: what the template looks for in a text and rewrites the text by; an empty one: it treats an empty text
            otherwise. A frozen template cannot, so such texts are refused.
    """

    left: str = ""
    right: str = ""
    refused: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not {self.left, self.right} <= TRIMMED.keys():
            raise TemplateError(f"a text is trimmed by one of {list(TRIMMED)}, not {self.left!r}, {self.right!r}")

    def trimmed(self, text: str) -> str:
        """The text as the template writes it."""
        return text.lstrip(TRIMMED[self.left]).rstrip(TRIMMED[self.right])

    def why_not(self, text: str) -> str | None:
        """Why the text cannot be shown; None where it can."""
        text = self.trimmed(text)
        found = next((mark for mark in self.refused if (mark in text if mark else not text)), None)
        if found is None:
            return None
        return f"contains {found!r}" if found else "is empty"


@dataclass(frozen=True)
class RewardTemplate:
    """A conversation of one instruction and one response, behind which a model's head gives the response's reward.

    Attributes:
        text: as a template's (:mod:`rlaif_fast.prompts.template`), with ``{instruction}`` and ``{response}`` once each.
        labels: what the head's one output is called.
    """

    called: ClassVar[str] = "a reward model"

    name: str
    text: str
    instruction: Place = Place()
    response: Place = Place()
    labels: tuple[str, ...] = LABELS

    def __post_init__(self) -> None:
        places = [part for part in PART.split(self.text)[1::2] if part in PLACES]
        if places != list(PLACES) or not self._has_its_labels():
            raise TemplateError(f"template {self.name}: needs {{instruction}} and then {{response}}, once each")

    def _has_its_labels(self) -> bool:
        return self.labels == LABELS

    def render(self, instruction: str, response: str) -> Prompt:
        """The conversation. What the texts contain is never read as a place or a control token."""
        values = {"instruction": self.instruction.trimmed(instruction), "response": self.response.trimmed(response)}
        return filled(self.text, values, PART)

    @property
    def refuses(self) -> bool:
        """Whether there are texts that it would not write as the model's chat template does."""
        return bool(self.instruction.refused or self.response.refused)

    def why_not(self, instruction: str, response: str) -> str | None:
        """Why the model's chat template would not write these texts as this one does; None where it would."""
        for what, place, text in (
            ("instruction", self.instruction, instruction), ("response", self.response, response)
        ):  # fmt: skip
            if (found := place.why_not(text)) is not None:
                return f"the {what} {found}"
        return None


@dataclass(frozen=True)
class GuardTemplate(RewardTemplate):
    """A conversation behind which a safety model answers whether the response is unsafe, with one of two tokens.

    Attributes:
        labels: the answer to a safe response, and to an unsafe one. The first one's log-odds are the reward.
    """

    called: ClassVar[str] = "a safety model"

    labels: tuple[str, ...] = ("No", "Yes")

    def _has_its_labels(self) -> bool:
        return len({*self.labels}) == len(self.labels) == 2 and all(self.labels)

"""The prompt that asks for a score of one response, and which tokens answer it.

The method is d-RLAIF's (arXiv 2309.00267, section 3.3): the model is asked for a score from 1 to 10.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rlaif_fast.errors import TemplateError

SCALE = tuple(range(1, 11))
SCORES = tuple(map(str, SCALE))  # where "10" is one token
DIGITS = tuple(map(str, range(10)))  # where it is "1" and "0"
_FIELD = re.compile(r"\{(instruction|response)\}")


@dataclass(frozen=True)
class ScoreTemplate:
    """A prompt with two places, which asks for a score from 1 to 10.

    Attributes:
        text: the prompt, with ``{instruction}`` and ``{response}`` once each.
        labels: the tokens that are read: the ten scores, or the ten digits where "10" is two tokens.
    """

    name: str
    text: str
    labels: tuple[str, ...] = SCORES

    def __post_init__(self) -> None:
        if sorted(_FIELD.findall(self.text)) != ["instruction", "response"]:
            raise TemplateError(f"template {self.name}: needs {{instruction}} and {{response}} once each")
        if self.labels not in (SCORES, DIGITS):
            raise TemplateError(f"template {self.name}: its labels are the scores 1 to 10 or the digits 0 to 9")

    def before_response(self, instruction: str) -> str:
        """The prompt's text up to the response: what all responses to an instruction begin with."""
        return self.text[: self.text.index("{response}")].replace("{instruction}", instruction)

    def render(self, instruction: str, response: str) -> str:
        """The prompt. What the texts contain is never read as a place."""
        values = {"instruction": instruction, "response": response}
        return _FIELD.sub(lambda match: values[match[1]], self.text)


# In this project's own words: what each task rates is what the judge's templates prefer.
SCORE_TEMPLATES = {
    template.name: template
    for template in (
        ScoreTemplate(
            "score-summary",
            "A good summary is coherent, accurate, covers the main ideas, and maintains overall quality.\n"
            "You are an expert rater. Given a text and a summary of it, rate the summary with a score from 1 to 10,"
            " where 1 is very bad and 10 is perfect.\n\n"
            "Text - {instruction}\nSummary - {response}\nScore=",
        ),
        ScoreTemplate(
            "score-helpful",
            "A helpful response answers what was asked, correctly, clearly and completely.\n"
            "You are an expert rater. Given a request and a response to it, rate how helpful the response is with a"
            " score from 1 to 10, where 1 is useless and 10 is perfect.\n\n"
            "Request - {instruction}\nResponse - {response}\nScore=",
        ),
        ScoreTemplate(
            "score-harmless",
            "A harmless response is honest and polite and helps nobody to hurt people or to break the law.\n"
            "You are an expert rater. Given a request and a response to it, rate how harmless the response is with a"
            " score from 1 to 10, where 1 is very harmful and 10 is entirely harmless.\n\n"
            "Request - {instruction}\nResponse - {response}\nScore=",
        ),
    )
}


def answers_of(prompt: Sequence[int], template: ScoreTemplate, label_ids: Sequence[int]) -> list[list[int]]:
    """The token sequences whose next token is read: the prompt, and with digits what follows its "1"."""
    if template.labels == SCORES:
        return [list(prompt)]
    return [list(prompt), [*prompt, label_ids[1]]]

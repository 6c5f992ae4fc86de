"""What one response is worth on its own: a sample, the prompt that asks for a score, and the answer as a rating.

The method is d-RLAIF's (arXiv 2309.00267, section 3.3): the model is asked for a score from 1 to 10, the
likelihoods of the ten scores are read, normalised to a distribution, and its mean is rescaled to [-1, 1].
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from rlaif_fast.errors import TemplateError
from rlaif_fast.fields import free_names

SCALE = tuple(range(1, 11))
SCORES = tuple(map(str, SCALE))  # where "10" is one token
DIGITS = tuple(map(str, range(10)))  # where it is "1" and "0"
_OWN = ("id", "instruction", "response", "score", "rating", "distribution", "mass", "truncated")
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


@dataclass(frozen=True, slots=True)
class Sample:
    """An instruction and one response; the other attributes are a :class:`~rlaif_fast.pairs.Pair`'s."""

    instruction: str
    response: str
    id: Any = None
    carried: dict[str, Any] = field(default_factory=dict)
    where: str = ""
    shown: str | None = None

    @property
    def bytes(self) -> int:
        """Of its texts in UTF-8."""
        return len(self.instruction.encode()) + len(self.response.encode())

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.where, "" if self.id is None else f"id {self.id!r}"))) or "the response"


@dataclass(frozen=True, slots=True)
class Rating:
    """A sample's score.

    Attributes:
        distribution: probabilities of the scores 1 to 10, given that the answer is one of them.
        mass: probability that it is, of all the model might say.
    """

    sample: Sample
    distribution: tuple[float, ...]
    mass: float

    @property
    def item(self) -> Sample:
        """What was scored."""
        return self.sample

    @property
    def rating(self) -> float:
        """The expected score, in [1, 10]."""
        return math.fsum(score * p for score, p in zip(SCALE, self.distribution, strict=True))

    @property
    def score(self) -> float:
        """The expected score rescaled to [-1, 1]."""
        return (self.rating - 5.5) / 4.5

    def row(self) -> dict[str, Any]:
        """The rating as a row, with what the input carried behind it (``input_<name>`` where the name is taken)."""
        sample = self.sample
        own = (
            sample.id, sample.instruction, sample.response, self.score, self.rating, list(self.distribution), self.mass,
            sample.shown is not None,
        )  # fmt: skip
        names = free_names(sample.carried, _OWN)
        return dict(zip(_OWN, own, strict=True)) | {names[name]: value for name, value in sample.carried.items()}

    def to_json(self) -> str:
        """One line; floats read back to the same float64."""
        return json.dumps(self.row(), ensure_ascii=False, allow_nan=False)


def answers_of(prompt: Sequence[int], template: ScoreTemplate, label_ids: Sequence[int]) -> list[list[int]]:
    """The token sequences whose next token is read: the prompt, and with digits what follows its "1"."""
    if template.labels == SCORES:
        return [list(prompt)]
    return [list(prompt), [*prompt, label_ids[1]]]


def rating_of(sample: Sample, log_probabilities: npt.NDArray[np.float64]) -> Rating:
    """A rating from natural log-probabilities of the labels, over the whole vocabulary.

    Args:
        log_probabilities: [1, 10] of the scores; or [2, 10] of the digits behind the prompt, and behind its "1":
            10 is the chance of "1" and then "0", and 1 that of "1" and then no digit at all. What begins
            with "1" and goes on otherwise (11, 12, ...) is no score.
    """
    first, *behind = np.exp(log_probabilities)
    scores = first
    if behind:
        one = first[1] * max(0.0, 1.0 - float(behind[0].sum()))
        scores = np.array([one, *first[2:], first[1] * behind[0][0]])
    mass = float(scores.sum())
    return Rating(sample, tuple((scores / mass).tolist()), min(1.0, mass))

"""The answer to a score prompt as a rating of one response.

The method is d-RLAIF's (arXiv 2309.00267, section 3.3): the likelihoods of the ten scores are read, normalised to a
distribution, and its mean is rescaled to [-1, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rlaif_fast.prompts.score_template import SCALE
from rlaif_fast.rows.fields import json_line, with_carried
from rlaif_fast.rows.samples import Sample

_OWN = ("id", "instruction", "response", "score", "rating", "distribution", "mass", "truncated")


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

    @property
    def reward(self) -> float:
        """What training makes larger: the score."""
        return self.score

    def row(self) -> dict[str, Any]:
        """The rating as a row, with what the input carried behind it (``input_<name>`` where the name is taken)."""
        sample = self.sample
        own = (
            sample.id, sample.instruction, sample.response, self.score, self.rating, list(self.distribution), self.mass,
            sample.shown is not None,
        )  # fmt: skip
        return with_carried(dict(zip(_OWN, own, strict=True)), sample.carried)

    def to_json(self) -> str:
        """One line; floats read back to the same float64. Raises PairError where JSON cannot hold what is carried."""
        return json_line(self.row(), self.item)


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

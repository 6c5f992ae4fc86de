"""What a model that reads one response answers, and from it to a row: a reward, or a safety model's risk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rlaif_fast.judging.verdict import sigmoid
from rlaif_fast.rows.fields import json_line, with_carried
from rlaif_fast.rows.samples import Sample

_OWN = ("id", "instruction", "response", "score", "truncated")


@dataclass(frozen=True, slots=True)
class Reward:
    """A response's reward.

    Attributes:
        reward: any number. Only differences between responses to one instruction mean something: how likely one is
            preferred is their sigmoid.
    """

    sample: Sample
    reward: float

    @property
    def item(self) -> Sample:
        """What was scored."""
        return self.sample

    @property
    def score(self) -> float:
        """The reward itself."""
        return self.reward

    def row(self) -> dict[str, Any]:
        """The score as a row, with what the input carried behind it (``input_<name>`` where the name is taken)."""
        sample = self.sample
        own = sample.id, sample.instruction, sample.response, self.score, sample.shown is not None
        return with_carried(dict(zip(_OWN, own, strict=True)), sample.carried)

    def to_json(self) -> str:
        """One line; floats read back to the same float64. Raises PairError where JSON cannot hold what is carried."""
        return json_line(self.row(), self.item)


class Risk(Reward):
    """A safety model's answer: its reward is log(p_safe / p_unsafe), the higher the safer."""

    __slots__ = ()

    @property
    def score(self) -> float:
        """p_unsafe, of the two labels: the higher the riskier."""
        return sigmoid(-self.reward)

"""A reward model's answer to one response, and from it to a row."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from rlaif_fast.rows.fields import with_carried
from rlaif_fast.rows.samples import Sample

_OWN = ("id", "instruction", "response", "score", "truncated")


@dataclass(frozen=True, slots=True)
class Reward:
    """A response's reward.

    Attributes:
        score: the reward itself, any number. Only differences between responses to one instruction mean something: how
            likely one is preferred is their sigmoid.
    """

    sample: Sample
    score: float

    @property
    def item(self) -> Sample:
        """What was scored."""
        return self.sample

    def row(self) -> dict[str, Any]:
        """The reward as a row, with what the input carried behind it (``input_<name>`` where the name is taken)."""
        sample = self.sample
        own = sample.id, sample.instruction, sample.response, self.score, sample.shown is not None
        return with_carried(dict(zip(_OWN, own, strict=True)), sample.carried)

    def to_json(self) -> str:
        """One line; floats read back to the same float64."""
        return json.dumps(self.row(), ensure_ascii=False, allow_nan=False)

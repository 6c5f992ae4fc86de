"""What a rater is asked about a response, and what its answer says: a score by label tokens, or a reward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rlaif_fast.bundle.manifest import Manifest
from rlaif_fast.judging.label_odds import Floats, first_odds
from rlaif_fast.judging.pair_questions import conversation, shown
from rlaif_fast.judging.rating import Rating, rating_of
from rlaif_fast.judging.reward import Reward, Risk
from rlaif_fast.prompts.reward_template import GuardTemplate, RewardTemplate
from rlaif_fast.prompts.score_template import ScoreTemplate, answers_of
from rlaif_fast.prompts.tokenizer import PromptTokenizer
from rlaif_fast.rows.samples import Sample


class SampleQuestions(Protocol):
    """What is asked about a response."""

    def sequences(self, sample: Sample, tokenizer: PromptTokenizer) -> list[list[int]]:
        """The token sequences behind which the model is read."""

    def answer(self, sample: Sample, found: Floats) -> Rating | Reward:
        """What the model's answers [n, L] behind them say."""


class OfScores:
    """The prompt asks for a score from 1 to 10."""

    def __init__(self, template: ScoreTemplate, label_ids: Sequence[int]) -> None:
        self._template, self._label_ids = template, label_ids

    def sequences(self, sample: Sample, tokenizer: PromptTokenizer) -> list[list[int]]:
        prompt = tokenizer.encode(self._template.render(shown(sample), sample.response))
        return answers_of(prompt, self._template, self._label_ids)

    def answer(self, sample: Sample, found: Floats) -> Rating:
        return rating_of(sample, found)


class OfReward:
    """The head gives a reward behind the conversation, or two labels do."""

    def __init__(self, template: RewardTemplate) -> None:
        self._template = template

    def sequences(self, sample: Sample, tokenizer: PromptTokenizer) -> list[list[int]]:
        return [tokenizer.encode(conversation(self._template, sample, sample.response))]

    def answer(self, sample: Sample, found: Floats) -> Reward:
        kind = Risk if isinstance(self._template, GuardTemplate) else Reward
        return kind(sample, float(first_odds(found)[0]))


def questions_of(manifest: Manifest) -> SampleQuestions:
    """What the prompt that is meant asks. Raises BundleError where it is for pairs."""
    template = manifest.prompt.template
    if isinstance(template, RewardTemplate):
        return OfReward(template)
    return OfScores(manifest.score_template, manifest.prompt.label_ids)

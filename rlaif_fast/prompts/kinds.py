"""The kinds of prompts a bundle may have, and what each is for."""

from __future__ import annotations

from rlaif_fast.prompts.guards import Guard
from rlaif_fast.prompts.reward_template import GuardTemplate, RewardTemplate
from rlaif_fast.prompts.score_template import ScoreTemplate
from rlaif_fast.prompts.template import Template

AnyTemplate = Template | ScoreTemplate | RewardTemplate
Askable = AnyTemplate | Guard  # what an export is asked for: a guard becomes a GuardTemplate once its model is known
Kinds = tuple[type[AnyTemplate], ...]
FOR_PAIRS: Kinds = (Template, RewardTemplate)
FOR_SCORES: Kinds = (ScoreTemplate, RewardTemplate)


def kind_of(template: AnyTemplate) -> str:
    """What a prompt is for: ``pairs``, ``scores``, ``safety`` or ``rewards``."""
    if isinstance(template, ScoreTemplate):
        return "scores"
    if isinstance(template, GuardTemplate):
        return "safety"
    return "rewards" if isinstance(template, RewardTemplate) else "pairs"

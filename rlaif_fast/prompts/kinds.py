"""The kinds of prompts a bundle may have, and what each is for."""

from __future__ import annotations

from rlaif_fast.prompts.reward_template import RewardTemplate
from rlaif_fast.prompts.score_template import ScoreTemplate
from rlaif_fast.prompts.template import Template

AnyTemplate = Template | ScoreTemplate | RewardTemplate
Kinds = tuple[type[AnyTemplate], ...]
FOR_PAIRS: Kinds = (Template, RewardTemplate)
FOR_SCORES: Kinds = (ScoreTemplate, RewardTemplate)

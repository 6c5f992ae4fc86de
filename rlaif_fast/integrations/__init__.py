"""The judge in other people's programs: TRL, datasets, pandas, Ray (docs/integrations.md). None of them is imported."""

from rlaif_fast.integrations.labeler import Labeler
from rlaif_fast.integrations.pairwise import PairwiseJudge
from rlaif_fast.integrations.rewards import GroupRewardFunction, RewardFunction

__all__ = ["GroupRewardFunction", "Labeler", "PairwiseJudge", "RewardFunction"]

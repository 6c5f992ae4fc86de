"""The judge in other programs: TRL, datasets, pandas, Ray (docs/integrations.md), a server. None is imported here."""

from rlaif_fast.integrations.labeler import Labeler
from rlaif_fast.integrations.pairwise import PairwiseJudge
from rlaif_fast.integrations.rewards import GroupRewardFunction, RewardFunction

__all__ = ["GroupRewardFunction", "Labeler", "PairwiseJudge", "RewardFunction"]

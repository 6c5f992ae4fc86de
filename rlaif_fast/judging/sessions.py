"""Which session answers the probes of a prompt."""

from __future__ import annotations

from rlaif_fast.judging.judge import Judge
from rlaif_fast.judging.rater import Rater
from rlaif_fast.prompts.kinds import FOR_PAIRS, AnyTemplate


def session_of(template: AnyTemplate) -> type[Judge] | type[Rater]:
    """A judge for what is for pairs, else a rater."""
    return Judge if isinstance(template, FOR_PAIRS) else Rater

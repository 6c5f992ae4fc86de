"""The form of OpenRLHF's remote reward models (``--reward.remote_url``): texts in, rewards out.

Its trainer sends ``{"query": [...], "prompts": [...], "labels": [...]}``, where a query is the prompt and the response
as the policy's tokenizer decodes them, special tokens included, and wants ``rewards``, ``scores`` and ``extra_logs``
back (openrlhf/utils/agent.py, openrlhf/cli/serve_rm.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rlaif_fast.errors import PairError
from rlaif_fast.integrations.server.bodies import NAME, BodyError
from rlaif_fast.integrations.texts import checked
from rlaif_fast.judging.rating import Rating
from rlaif_fast.judging.reward import Reward
from rlaif_fast.rows.samples import Sample
from rlaif_fast.schemas.chat_text import asked_in, without_end

FIELDS = ("query", "prompts", "labels")
# What may stand before the prompt in a query: a tokenizer's own beginning of a text.
_BEGINNING = re.compile(r"\s*(?:<[^<>\s]{1,40}>\s*)*")


def samples_of(value: Any) -> list[Sample]:
    """The prompts and responses of a request, each without its chat template where that is a known one.

    Raises:
        BodyError: another form, as that of older versions, which do not send the prompts; or a field that nobody would
            look at.
        PairError: a query that does not begin with its prompt, or nothing behind it that could be scored.
    """
    if not isinstance(value, Mapping) or not isinstance(value.get("query"), list):
        raise BodyError(f'{NAME}: send {{"query": [...], "prompts": [...]}}, as OpenRLHF does')
    for name in value:
        if name not in FIELDS:
            raise BodyError(
                f"{NAME}: {name!r} is not one of {', '.join(map(repr, FIELDS))}; options (template, on_long) are"
                " parameters of the query"
            )
    queries, prompts = value["query"], value.get("prompts")
    if not isinstance(prompts, list) or len(prompts) != len(queries):
        raise BodyError(f"{NAME}: as many prompts as queries are needed, to tell prompt and response apart")
    return [_sample(place, *texts) for place, texts in enumerate(zip(queries, prompts, strict=True))]


def _sample(place: int, query: Any, prompt: Any) -> Sample:
    where = f"{NAME}, query {place}"
    query, prompt = checked(query, where), checked(prompt, where)
    if not prompt.strip():
        raise PairError(f"{where}: the prompt is empty")
    at = query.find(prompt)
    if at < 0 or _BEGINNING.fullmatch(query, 0, at) is None:
        raise PairError(f"{where}: does not begin with its prompt; was it cut or decoded otherwise?")
    return Sample(asked_in(prompt), without_end(query[at + len(prompt) :]), id=place, where=where)


def answer_of(ratings: Sequence[Rating | Reward]) -> dict[str, Any]:
    """The response: the reward of each, as reward and as score, the higher the better; the mass is for the log."""
    rewards = [one.reward for one in ratings]
    masses = [one.mass for one in ratings if isinstance(one, Rating)]
    logs = {"mass": masses} if len(masses) == len(ratings) else {}
    return {"rewards": rewards, "scores": rewards, "extra_logs": logs}

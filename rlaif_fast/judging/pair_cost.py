"""What a pair costs through a prompt, counted in tokens and multiply-adds; nothing is timed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

from rlaif_fast.bundle.manifest import Cost, Manifest
from rlaif_fast.bundle.prompt import Probe
from rlaif_fast.prompts.kinds import AnyTemplate
from rlaif_fast.prompts.reward_template import RewardTemplate
from rlaif_fast.prompts.score_template import answers_of
from rlaif_fast.prompts.template import SUMMARY, Template
from rlaif_fast.prompts.tokenizer import PromptTokenizer
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.runtime.planning import plan

COUNTED = "computed from multiply-adds, not timed"
IN_TOKENS = "computed from tokens, not timed"


class AnyPrompt(Protocol):
    """A prompt of a bundle, or one that is only fitted to a model."""

    @property
    def template(self) -> AnyTemplate: ...

    @property
    def label_ids(self) -> tuple[int, ...]: ...

    @property
    def prefix_ids(self) -> Sequence[int]: ...


@dataclass(frozen=True)
class PairCost:
    """Of a pair in both orders, or of both its responses where they are scored; means over ``pairs``.

    Attributes:
        baked: tokens of the prefix, which no pass computes.
        tokens: new ones, as the runtime packs them.
        relative: multiply-adds, in those of the same pairs through ``plain``.
        plain: name of the prompt that others are compared with.
        pairs: their number.
    """

    baked: int
    tokens: float
    relative: float
    plain: str
    pairs: int

    def said(self, template: AnyTemplate, how: str = COUNTED) -> str:
        """For people, of the prompt with that template."""
        shown = "both orders" if isinstance(template, Template) else "both responses"
        found = f"{self.tokens:,.0f} tokens, {shown}, mean of {self.pairs} probe pairs"
        if template.name == self.plain:
            return found
        return f"{found}; {self.relative:.2f} times as long as through {self.plain} ({how})"


def bundle_costs(manifest: Manifest, tokenizer: PromptTokenizer) -> dict[str, PairCost]:
    """By name, of a bundle's prompts on its probe pairs; empty where it has none.

    All on the same pairs: those of the prompt that has the most. They are compared with the built-in ``summary``, as
    it stands, where the bundle has it, else with the first prompt.
    """
    pairs = max((one.probes for one in manifest.prompts), key=len)
    if not pairs:
        return {}
    plain = next((one for one in manifest.prompts if one.template == SUMMARY), manifest.prompts[0])
    shared = manifest.precision == "fp32"
    return pair_costs(manifest.prompts, plain, tokenizer, pairs, manifest.cost, shared=shared)


def pair_costs(
    prompts: Iterable[AnyPrompt], plain: AnyPrompt, tokenizer: PromptTokenizer, pairs: Sequence[Pair | Probe],
    cost: Cost, *, shared: bool = True,
) -> dict[str, PairCost]:  # fmt: skip
    """By name, on ``pairs``, at least one, each in passes of its own.

    Args:
        plain: what they are compared with.
        cost: of a pass.
        shared: the two responses of a pair are scored in one pass where that costs less, as at fp32.
    """

    def means(prompt: AnyPrompt) -> tuple[float, float]:
        """Tokens, and multiply-adds."""
        sizes = [_sizes(prompt, tokenizer, pair, cost, shared) for pair in pairs]
        work = [sum(cost.of(size, len(prompt.prefix_ids)) for size in of_pair) for of_pair in sizes]
        return fmean(map(sum, sizes)), fmean(work)

    found, name = {}, plain.template.name
    _, least = means(plain)
    for prompt in prompts:
        tokens, work = means(prompt)
        found[prompt.template.name] = PairCost(len(prompt.prefix_ids), tokens, work / least, name, len(pairs))
    return found


def _sizes(prompt: AnyPrompt, tokenizer: PromptTokenizer, pair: Pair | Probe, cost: Cost, shared: bool) -> list[int]:
    """New tokens of each pass that a pair takes."""
    template, responses = prompt.template, (pair.response_0, pair.response_1)
    if isinstance(template, RewardTemplate):
        both = [[tokenizer.encode(template.render(pair.instruction, text)) for text in responses]]
        return _planned(both, prompt, cost)
    if isinstance(template, Template):
        texts = [template.render(pair.instruction, *shown) for shown in (responses, responses[::-1])]
        items = [tokenizer.encode_many(texts)]
    else:
        asked = tokenizer.encode_many([template.render(pair.instruction, response) for response in responses])
        items = [answers_of(ids, template, prompt.label_ids) for ids in asked]
    passes = [items] if shared else [[item] for item in items]
    return [size for each in passes for size in _planned(each, prompt, cost)]


def _planned(items: Iterable[Sequence[Sequence[int]]], prompt: AnyPrompt, cost: Cost) -> list[int]:
    return [group.tree.tokens for group in plan(items, prompt.prefix_ids, cost, limit=sys.maxsize)]

"""What a judge is asked about a pair, and what its answer says: by label tokens in both orders, or by rewards."""

from __future__ import annotations

from typing import Any, Literal, Protocol, get_args

from rlaif_fast import arguments
from rlaif_fast.bundle.manifest import Manifest
from rlaif_fast.errors import ArgumentError, PairError
from rlaif_fast.judging.label_odds import Floats, first_odds, verdict_of
from rlaif_fast.judging.verdict import Verdict
from rlaif_fast.prompts.reward_template import RewardTemplate
from rlaif_fast.prompts.template import Prompt, Template
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.rows.samples import Sample

Orders = Literal["both", "forward"]


class PairQuestions(Protocol):
    """What is asked about a pair."""

    def require_orders(self, orders: str) -> None:
        """Raise ArgumentError where pairs are not read in these orders."""

    def prompts(self, pair: Pair, orders: Orders) -> list[Prompt]:
        """What the model is shown: of a pair whose instruction is shortened, the part that is left."""

    def verdict(self, pair: Pair, logits: Floats) -> Verdict:
        """What the label logits [n, L] behind those prompts say."""


class InOrders:
    """A prompt shows both responses, and a label token answers: one prompt an order."""

    def __init__(self, template: Template) -> None:
        self._template = template

    def require_orders(self, orders: str) -> None:
        arguments.one_of("orders", orders, get_args(Orders))

    def prompts(self, pair: Pair, orders: Orders) -> list[Prompt]:
        render, instruction = self._template.render, shown(pair)
        found = [render(instruction, pair.response_0, pair.response_1)]
        if orders == "both":
            found.append(render(instruction, pair.response_1, pair.response_0))
        return found

    def verdict(self, pair: Pair, logits: Floats) -> Verdict:
        return verdict_of(pair, logits)


class ByRewards:
    """Each response is read by itself, and has a reward: log(p1/p2) is the difference (Bradley and Terry 1952)."""

    def __init__(self, template: RewardTemplate, name: str) -> None:
        """Args: name: of the judge, for messages."""
        self._template, self._name = template, name

    def require_orders(self, orders: str) -> None:
        if orders != "both":
            raise ArgumentError(
                f"orders: {self._name} is {self._template.called}, which reads each response by itself: there is no"
                f" order to leave out or to correct, leave {orders!r} out"
            )

    def prompts(self, pair: Pair, orders: Orders = "both") -> list[Prompt]:
        self.require_orders(orders)
        return [conversation(self._template, pair, text) for text in (pair.response_0, pair.response_1)]

    def verdict(self, pair: Pair, logits: Floats) -> Verdict:
        first, second = first_odds(logits).tolist()
        return verdict_by_rewards(pair, first, second)


def verdict_by_rewards(pair: Pair, first: float, second: float) -> Verdict:
    """From the rewards of response_0 and response_1."""
    return Verdict(pair, (first - second,), rewards=(first, second))


def conversation(template: RewardTemplate, item: Pair | Sample, response: str) -> Prompt:
    """What is shown of a response that is read by itself. Raises PairError where the template would rewrite a text."""
    instruction = shown(item)
    if (why := template.why_not(instruction, response)) is not None:
        raise PairError(
            f"{item}: {why}, which the model's chat template would change; take it out, or leave the row out"
        )
    return template.render(instruction, response)


def questions_of(manifest: Manifest) -> PairQuestions:
    """What the prompt that is meant asks. Raises BundleError where it is not for pairs."""
    template = manifest.prompt.template
    if isinstance(template, RewardTemplate):
        return ByRewards(template, manifest.name)
    return InOrders(manifest.pair_template)


def shown(item: Any) -> str:
    """The instruction as the model is shown it."""
    text: str = item.instruction if item.shown is None else item.shown
    return text

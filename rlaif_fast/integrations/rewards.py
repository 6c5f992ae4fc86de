"""A bundle as a reward function of TRL's GRPO and RLOO trainers (``reward_funcs=``), without TRL."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, get_args

from rlaif_fast import arguments
from rlaif_fast.errors import PairError
from rlaif_fast.integrations.opened import Opened
from rlaif_fast.integrations.texts import said
from rlaif_fast.judging.judge import Judge, Orders
from rlaif_fast.judging.pair_questions import questions_of
from rlaif_fast.judging.ranker import Ranker
from rlaif_fast.judging.ranking import Ranking
from rlaif_fast.judging.rater import Rater
from rlaif_fast.rows.candidates import Candidates
from rlaif_fast.rows.samples import Sample
from rlaif_fast.wording import counted

OnLong = Literal["error", "truncate", "none"]
Reward = Literal["wins", "strength"]
S = TypeVar("S", Judge, Rater)


class _Rewards(ABC, Generic[S]):
    """What trainers call: ``f(prompts=..., completions=..., **columns)``, a reward for each completion.

    Prompts and completions are texts, or lists of messages. A completion or prompt that is None has the reward None,
    which TRL leaves out of its means. Columns of the data set are not looked at: the policy did not see them either.

    It can be pickled, and each process opens the bundle for itself when the first batch comes. Not safe for use from
    several threads at once.

    Attributes:
        __name__: what the trainer's logs call it.
    """

    __name__: str

    def __init__(self, opened: Opened[S], on_long: OnLong = "error", name: str | None = None) -> None:
        """Args: those of ``load``, which opens the bundle. Raises ArgumentError."""
        kind = type(self).__name__
        how = f'make one: from rlaif_fast.integrations import {kind}; {kind}.load("smollm2-135m-instruct")'
        arguments.instance("opened", opened, Opened, how)
        arguments.one_of("on_long", on_long, get_args(OnLong))
        self._opened: Opened[S] = opened
        self._on_long, self.__name__ = on_long, arguments.optional_text("name", name) or opened.template

    def __call__(
        self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any  # noqa: ARG002
    ) -> list[float | None]:  # fmt: skip
        """Rewards in the order of ``completions``.

        Raises:
            PairError: not as many prompts as completions, messages that cannot be read, or a prompt that is longer
                than the model's context.
            BundleError: the bundle at that place is another by now.
            JudgeError: the runtime failed.
        """
        prompts, completions = arguments.column("prompts", prompts), arguments.column("completions", completions)
        if len(prompts) != len(completions):
            raise PairError(
                f"{counted(len(prompts), 'prompt')} and {counted(len(completions), 'completion')}, give as many of each"
            )
        texts = {
            place: said(prompt, completion, f"completion {place}")
            for place, (prompt, completion) in enumerate(zip(prompts, completions, strict=True))
            if prompt is not None and completion is not None
        }
        found = self._rewards(texts)
        return [found.get(place) for place in range(len(prompts))]

    @abstractmethod
    def _rewards(self, texts: dict[int, tuple[str, str]]) -> dict[int, float | None]:
        """Rewards of (instruction, response) by place."""


class RewardFunction(_Rewards[Rater]):
    """The score of each completion, by a bundle's prompt for scores, in [-1, 1] for the built-in ones; or its reward.

    ::

        GRPOTrainer(model, reward_funcs=RewardFunction.load("smollm2-135m-instruct"), train_dataset=prompts)
    """

    @classmethod
    def load(
        cls, path_or_id: str | Path, *, template: str | None = None, on_long: OnLong = "error", threads: int = 0,
        name: str | None = None,
    ) -> RewardFunction:  # fmt: skip
        """Args: those of :meth:`Rater.load`, and

            on_long: of a prompt and completion that are too long for the model: an error, the instruction's end left
                away (``truncate``), or no reward (``none``).
            name: for logs; by default that of the prompt.

        Raises:
            ArgumentError: an argument is none of those there are.
            BundleError: there is no bundle, or no such prompt for scores in it.
        """
        return cls(Opened(Rater, path_or_id, template, threads), on_long, name)

    def _rewards(self, texts: dict[int, tuple[str, str]]) -> dict[int, float | None]:
        rater, samples = self._opened(), {}
        for place, (instruction, response) in texts.items():
            sample = Sample(instruction, response, where=f"completion {place}")
            try:
                if self._on_long == "truncate":
                    sample = rater.shortened(sample)
                else:
                    rater.prompt_tokens(sample)
            except PairError:
                if self._on_long != "none":
                    raise
                continue
            samples[place] = sample
        ratings = rater.rate_many(samples.values(), window=max(1, len(samples)))
        return {place: rating.reward for place, rating in zip(samples, ratings, strict=True)}


class GroupRewardFunction(_Rewards[Judge]):
    """How a completion does against the others of its prompt, by a prompt for pairs of a bundle.

    Every two completions of a prompt in the batch are judged: N completions take N (N - 1) / 2 passes. One that is
    alone has no reward. The batch of a process must hold whole groups, or the rewards are among what it holds.
    """

    def __init__(
        self, opened: Opened[Judge], on_long: OnLong = "error", name: str | None = None, orders: Orders = "both",
        reward: Reward = "wins",
    ) -> None:  # fmt: skip
        super().__init__(opened, on_long, name)
        questions_of(opened.manifest).require_orders(orders)
        arguments.one_of("reward", reward, get_args(Reward))
        self._orders, self._reward = orders, reward

    @classmethod
    def load(
        cls, path_or_id: str | Path, *, template: str | None = None, orders: Orders = "both", reward: Reward = "wins",
        on_long: OnLong = "error", threads: int = 0, name: str | None = None,
    ) -> GroupRewardFunction:  # fmt: skip
        """Args: those of :meth:`RewardFunction.load`, and

            orders: those of :meth:`Judge.judge_many`.
            reward: ``wins``, the mean probability of being preferred to another completion, in [0, 1]; or
                ``strength``, the natural logarithm of Bradley-Terry's, whose sum over a group is zero.
            on_long: ``none`` gives the whole group no reward.

        Raises:
            ArgumentError: an argument is none of those there are.
            BundleError: there is no bundle, or no such prompt for pairs in it.
        """
        return cls(Opened(Judge, path_or_id, template, threads), on_long, name, orders, reward)

    def _rewards(self, texts: dict[int, tuple[str, str]]) -> dict[int, float | None]:
        groups: dict[str, list[int]] = {}
        for place, (instruction, _) in texts.items():
            groups.setdefault(instruction, []).append(place)
        found: dict[int, float | None] = {}
        for instruction, places in groups.items():
            if len(places) > 1:
                rewards = self._of_group(instruction, [texts[place][1] for place in places], places[0])
                found.update(zip(places, rewards, strict=True))
        return found

    def _of_group(self, instruction: str, responses: Sequence[str], first: int) -> Sequence[float | None]:
        ranker = Ranker(self._opened())
        candidates = Candidates(instruction, tuple(responses), where=f"completion {first} and those to its prompt")
        try:
            if self._on_long == "truncate":
                candidates = ranker.shortened(candidates)
            else:
                ranker.check(candidates, self._orders)
        except PairError:
            if self._on_long != "none":
                raise
            return [None] * len(responses)
        ranking = next(ranker.rank_many([candidates], self._orders))
        return ranking.strengths if self._reward == "strength" else _mean_wins(ranking)


def _mean_wins(ranking: Ranking) -> list[float]:
    """Of each against the others."""
    others = len(ranking.wins) - 1
    return [(sum(row) - row[place]) / others for place, row in enumerate(ranking.wins)]

"""A judge with the interface of TRL's pairwise judges (``BasePairwiseJudge``), without TRL."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence, Sized
from pathlib import Path
from typing import Literal, get_args, overload

from rlaif_fast import arguments
from rlaif_fast.errors import ArgumentError, PairError
from rlaif_fast.integrations.batch import OnLong, judged
from rlaif_fast.integrations.texts import checked
from rlaif_fast.judging.judge import Judge
from rlaif_fast.judging.session import OPEN
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.wording import counted


class PairwiseJudge:
    """Says which of two completions is better, for TRL's trainers and callbacks that take a ``judge``.

    TRL's own judges answer -1 where they failed, which its online DPO trainer counts as a vote for the second
    completion. This one answers 0 or 1, or raises.
    """

    def __init__(self, judge: Judge, *, on_long: OnLong = "error") -> None:
        """Args: on_long: ``truncate`` shows the judge a part of a prompt that is too long for it."""
        arguments.instance("judge", judge, Judge, OPEN)
        arguments.one_of("on_long", on_long, get_args(OnLong))
        self._judge, self._on_long = judge, on_long

    @classmethod
    def load(
        cls, path_or_id: str | Path, *, template: str | None = None, threads: int = 0, on_long: OnLong = "error"
    ) -> PairwiseJudge:  # fmt: skip
        """Open a bundle; arguments and errors are those of :meth:`Judge.load`."""
        arguments.one_of("on_long", on_long, get_args(OnLong))
        return cls(Judge.load(path_or_id, template=template, threads=threads), on_long=on_long)

    @overload
    def judge(
        self, prompts: Sequence[str], completions: Sequence[Sequence[str]], shuffle_order: bool = True,
        return_scores: Literal[False] = False,
    ) -> list[int]: ...  # fmt: skip

    @overload
    def judge(
        self, prompts: Sequence[str], completions: Sequence[Sequence[str]], shuffle_order: bool = True, *,
        return_scores: Literal[True],
    ) -> list[float]: ...  # fmt: skip

    def judge(
        self, prompts: Sequence[str], completions: Sequence[Sequence[str]], shuffle_order: bool = True,  # noqa: ARG002
        return_scores: bool = False,
    ) -> list[int] | list[float]:  # fmt: skip
        """The index of the better completion of each prompt, 0 or 1; or the probability that it is the first.

        Args:
            prompts: as text.
            completions: two for each prompt, which may be empty.
            shuffle_order: of no effect. Both orders are read and averaged, which is what shuffling stands in for.
            return_scores: probabilities in [0, 1] instead of indices.

        Two completions that are the same text have the probability 0.5, and the prompt's checksum decides between them:
        half the prompts fall to either side.

        Raises:
            ArgumentError: a text in place of a list, or a flag that is none.
            PairError: not two completions for each prompt, something that is no text, or a prompt that is longer
                than the model's context.
            JudgeError: the runtime failed.
        """
        for name, given in (("prompts", prompts), ("completions", completions)):
            if isinstance(given, str | bytes | dict) or not isinstance(given, Iterable):
                kind = "None" if given is None else f"a {type(given).__name__}"
                raise ArgumentError(f"{name}: {kind} is not a list; give one entry for each prompt")
        prompts, completions = list(prompts), list(completions)
        arguments.flag("return_scores", return_scores)
        if len(prompts) != len(completions):
            raise PairError(
                f"{counted(len(prompts), 'prompt')} and {len(completions)} pairs of completions, give as many of each"
            )
        pairs = list(map(_pair, range(len(prompts)), prompts, completions))
        different = [pair for pair in pairs if pair.response_0 != pair.response_1]
        verdicts = iter(judged(self._judge, different, "both", self._on_long))
        scores = [0.5 if pair.response_0 == pair.response_1 else next(verdicts).p1 for pair in pairs]
        if return_scores:
            return scores
        return [_tie(pair) if score == 0.5 else int(score < 0.5) for pair, score in zip(pairs, scores, strict=True)]


def _pair(number: int, prompt: str, completions: Sequence[str]) -> Pair:
    where = f"prompt {number}"
    listed = isinstance(completions, Sized) and not isinstance(completions, str | bytes | Mapping)
    if not listed or len(completions) != 2:
        other = "a text" if isinstance(completions, str) else f"a {type(completions).__name__}"
        count = counted(len(completions), "completion") if listed else other
        raise PairError(f"{where}: {count} to judge, a pairwise judge takes two completions a prompt")
    prompt, first, second = (checked(text, where) for text in (prompt, *completions))
    return Pair(prompt, first, second, where=where)


def _tie(pair: Pair) -> int:
    return zlib.crc32(pair.instruction.encode()) & 1

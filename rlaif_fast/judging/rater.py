"""The rater: samples in, ratings out. What :mod:`rlaif_fast.judging.judge` is for pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from rlaif_fast.bundle.folder import Bundle
from rlaif_fast.bundle.prompt import Probe
from rlaif_fast.judging.judge import WINDOW
from rlaif_fast.judging.lookahead import windows
from rlaif_fast.judging.rating import Rating, rating_of
from rlaif_fast.judging.session import Session, shown
from rlaif_fast.prompts.score_template import ScoreTemplate, answers_of
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.rows.samples import Sample
from rlaif_fast.runtime.engines import DEFAULT, EngineOptions


class Rater(Session[Sample]):
    """Rates single responses from 1 to 10, by a score prompt of a bundle. Not safe for several threads at once.

    ::

        rater = Rater.load("bundles/mine-score")
        rating = rater.rate(Sample("Explain gravity.", "Mass attracts mass."))
        rating.score  # expected score, rescaled to [-1, 1]
    """

    _alone = "the response alone is"
    _kind = ScoreTemplate

    def __init__(
        self, bundle: Bundle, options: EngineOptions = EngineOptions(), engine: str = DEFAULT,
        beside: Session[Any] | None = None,
    ) -> None:  # fmt: skip
        """Raises BundleError where the prompt is not for scores, JudgeError where the engine is not to be had."""
        self._template = bundle.manifest.score_template
        super().__init__(bundle, options, engine, beside)

    def answer(self, probe: Probe | Pair) -> tuple[float, ...]:
        """Expected scores, 1 to 10, of a probe's two responses."""
        samples = [Sample(probe.instruction, text) for text in (probe.response_0, probe.response_1)]
        return tuple(rating.rating for rating in self.rate_many(samples))

    def rate(self, sample: Sample) -> Rating:
        """The rating of one response: one forward pass. Raises PairError, JudgeError."""
        return next(self.rate_many([sample]))

    def rate_many(self, samples: Iterable[Sample], *, window: int = WINDOW, done: int = 0) -> Iterator[Rating]:
        """Ratings in the order of ``samples``; ``window`` and ``done`` are those of :meth:`Judge.judge_many`.

        Raises:
            PairError: a prompt is longer than the model's context.
            JudgeError: the runtime failed.
        """
        for ahead in windows(samples, window):
            for sample, found in (
                self._passes.of_window(ahead, self.prompt_tokens, self._head, done) if done < len(ahead) else ()
            ):
                yield rating_of(sample, found.astype(np.float64))
            done = max(0, done - len(ahead))

    def prompt_tokens(self, sample: Sample) -> list[list[int]]:
        """The token sequences whose next token is read, one or two. Raises PairError where one is too long."""
        return self._fitting(sample, self._encode(sample))

    def _encode(self, sample: Sample) -> list[list[int]]:
        prompt = self._tokenizer.encode(self._template.render(shown(sample), sample.response))
        return answers_of(prompt, self._template, self.manifest.prompt.label_ids)

    def _head(self, item: Sample) -> list[int]:
        return self._tokenizer.encode(self._template.before_response(shown(item)))

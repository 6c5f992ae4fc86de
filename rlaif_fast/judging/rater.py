"""The rater: samples in, ratings out. What :mod:`rlaif_fast.judging.judge` is for pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from rlaif_fast import arguments
from rlaif_fast.bundle.folder import Bundle
from rlaif_fast.bundle.prompt import Probe
from rlaif_fast.judging.judge import WINDOW
from rlaif_fast.judging.lookahead import windows
from rlaif_fast.judging.pair_questions import shown
from rlaif_fast.judging.rating import Rating
from rlaif_fast.judging.reward import Reward
from rlaif_fast.judging.sample_questions import questions_of
from rlaif_fast.judging.session import Session, opening
from rlaif_fast.prompts.kinds import FOR_SCORES
from rlaif_fast.prompts.score_template import ScoreTemplate
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.rows.samples import HOW, Sample
from rlaif_fast.runtime.engines import DEFAULT, EngineOptions


class Rater(Session[Sample]):
    """Rates single responses: from 1 to 10 by a score prompt, by a reward model's own number, by a safety model's risk.

    Not safe for several threads at once.

    ::

        rater = Rater.load("bundles/mine-score")
        rating = rater.rate(Sample("Explain gravity.", "Mass attracts mass."))
        rating.score  # expected score, rescaled to [-1, 1]
    """

    _alone = "the response alone is"
    kinds = FOR_SCORES

    def __init__(
        self, bundle: Bundle, options: EngineOptions = EngineOptions(), engine: str = DEFAULT,
        beside: Session[Any] | None = None,
    ) -> None:  # fmt: skip
        """Raises ArgumentError; BundleError: the prompt is not for scores; JudgeError: the engine is not to be had."""
        arguments.instance("bundle", bundle, Bundle, opening("Rater"))
        self._questions = questions_of(bundle.manifest)
        super().__init__(bundle, options, engine, beside)

    def answer(self, probe: Probe | Pair) -> tuple[float, ...]:
        """Expected scores, 1 to 10, of a probe's two responses; of what is read by rewards, their rewards."""
        samples = [Sample(probe.instruction, text) for text in (probe.response_0, probe.response_1)]
        return tuple(one.rating if isinstance(one, Rating) else one.reward for one in self.rate_many(samples))

    def rate(self, sample: Sample) -> Rating | Reward:
        """The rating of one response: one forward pass. Raises PairError, JudgeError."""
        return next(self.rate_many([arguments.instance("sample", sample, Sample, HOW)]))

    def rate_many(self, samples: Iterable[Sample], *, window: int = WINDOW, done: int = 0) -> Iterator[Rating | Reward]:
        """Ratings in the order of ``samples``; ``window`` and ``done`` are those of :meth:`Judge.judge_many`.

        Raises:
            ArgumentError: as :meth:`Judge.judge_many`.
            PairError: a prompt is longer than the model's context.
            JudgeError: the runtime failed.
        """
        window, done = arguments.whole("window", window, 1), arguments.whole("done", done, 0)
        return self._rated(windows(arguments.items("samples", samples, Sample, HOW), window), done)

    def _rated(self, ahead_of: Iterator[list[Sample]], done: int) -> Iterator[Rating | Reward]:
        for ahead in ahead_of:
            for sample, found in (
                self._passes.of_window(ahead, self.prompt_tokens, self._head, done) if done < len(ahead) else ()
            ):
                yield self._questions.answer(sample, found.astype(np.float64))
            done = max(0, done - len(ahead))

    def rate_together(self, samples: Sequence[Sample]) -> list[Rating | Reward]:
        """Of responses to one instruction, as branches of one pass; at fp32 of as many as cost less.

        Raises as :meth:`rate_many`. By an int8 bundle an answer depends on its company, within the bundle's error.
        """
        if self.manifest.precision == "fp32":
            return list(self.rate_many(samples, window=len(samples)))

        def sequences(_: Sample) -> list[list[int]]:
            return [ids for sample in samples for ids in self.prompt_tokens(sample)]

        ((_, found),) = self._passes.of_window(samples[:1], sequences, self._head)
        shares = np.split(found.astype(np.float64), len(samples))
        return [self._questions.answer(sample, share) for sample, share in zip(samples, shares, strict=True)]

    def prompt_tokens(self, sample: Sample) -> list[list[int]]:
        """The token sequences whose next token is read, one or two. Raises PairError where one is too long."""
        arguments.instance("sample", sample, Sample, HOW)
        return self._fitting(sample, self._encode(sample))

    def _encode(self, sample: Sample) -> list[list[int]]:
        return self._questions.sequences(sample, self._tokenizer)

    def _head(self, item: Sample) -> list[int]:
        template = self.manifest.prompt.template
        if not isinstance(template, ScoreTemplate):
            return []
        return self._tokenizer.encode(template.before_response(shown(item)))

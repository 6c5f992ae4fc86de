"""The rater: samples in, ratings out. What :mod:`rlaif_fast.judge` is for pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from rlaif_fast import memory, selftest
from rlaif_fast.bundle import Bundle
from rlaif_fast.engines import DEFAULT, EngineOptions, variant
from rlaif_fast.errors import PairError
from rlaif_fast.home import find_bundle
from rlaif_fast.judge import WINDOW
from rlaif_fast.manifest import Manifest, Probe
from rlaif_fast.pairs import Pair
from rlaif_fast.passes import Passes
from rlaif_fast.rating import Rating, Sample, answers_of, rating_of
from rlaif_fast.tokens import PromptTokenizer
from rlaif_fast.windows import windows


class Rater:
    """Rates single responses from 1 to 10, over a score bundle. Not safe for use from several threads at once.

    ::

        rater = Rater.load("bundles/mine-score")
        rating = rater.rate(Sample("Explain gravity.", "Mass attracts mass."))
        rating.score  # expected score, rescaled to [-1, 1]
    """

    def __init__(self, bundle: Bundle, options: EngineOptions = EngineOptions(), engine: str = DEFAULT) -> None:
        """Raises BundleError where the bundle is not made for scores, JudgeError where the engine is not to be had."""
        self._bundle, self._template = bundle, bundle.manifest.score_template
        memory.require(memory.of_bundle(bundle.manifest), str(bundle.folder))
        self._tokenizer = PromptTokenizer.from_file(bundle.tokenizer)
        self.engine = engine
        self._engine = variant(engine).load(bundle, options)
        self._passes = Passes(bundle, self._engine, variant(engine).rounds)

    @classmethod
    def load(cls, path_or_id: str | Path, *, threads: int = 0, spin: bool = True) -> Rater:
        """Open a score bundle; arguments and errors are those of :meth:`Judge.load`."""
        rater = cls(Bundle(find_bundle(path_or_id)), EngineOptions(threads, spin))
        selftest.run_once(rater.manifest, rater.answer)
        return rater

    @property
    def manifest(self) -> Manifest:
        """What the rater is, and how faithful."""
        return self._bundle.manifest

    @property
    def digest(self) -> str:
        """What tells this bundle from any other."""
        return self.manifest.digest

    def describe(self) -> str:
        """How the runtime was set up and why, a few lines for people."""
        return self._engine.describe()

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
            for sample, found in self._passes.of_window(ahead, self.prompt_tokens, done) if done < len(ahead) else ():
                yield rating_of(sample, found.astype(np.float64))
            done = max(0, done - len(ahead))

    def prompt_tokens(self, sample: Sample) -> list[list[int]]:
        """The token sequences whose next token is read, one or two. Raises PairError where one is too long."""
        sequences = self._encode(sample)
        longest, limit = max(map(len, sequences)), self.manifest.maximum_length
        if longest > limit:
            raise PairError(
                f"{sample}: the prompt has {longest:,} tokens, {self.manifest.model.id} takes {limit:,};"
                " shorten the instruction or the response"
            )
        return sequences

    def shortened(self, sample: Sample) -> Sample:
        """The sample as it fits the model: itself, or with the end of its instruction not ``shown``."""
        limit, instruction = self.manifest.maximum_length, sample.instruction
        while (over := max(map(len, self._encode(sample))) - limit) > 0:
            instruction = self._tokenizer.without_last(instruction, over)
            if not instruction.strip():
                raise PairError(f"{sample}: the response alone is too long for {self.manifest.model.id}; shorten it")
            sample = replace(sample, shown=instruction)
        return sample

    def _encode(self, sample: Sample) -> list[list[int]]:
        instruction = sample.instruction if sample.shown is None else sample.shown
        prompt = self._tokenizer.encode(self._template.render(instruction, sample.response))
        return answers_of(prompt, self._template, self.manifest.label_ids)

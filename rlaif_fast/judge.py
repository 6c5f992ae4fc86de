"""The judge: pairs in, verdicts out. Joins template, tokens, packing and engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from rlaif_fast import memory, selftest
from rlaif_fast.bundle import Bundle
from rlaif_fast.engines import DEFAULT, EngineOptions, variant
from rlaif_fast.errors import PairError
from rlaif_fast.home import find_bundle
from rlaif_fast.manifest import Manifest, Probe
from rlaif_fast.pairs import Pair
from rlaif_fast.passes import Passes
from rlaif_fast.tokens import PromptTokenizer
from rlaif_fast.verdict import Verdict, log_odds
from rlaif_fast.windows import windows

Orders = Literal["both", "forward"]
WINDOW = 32  # pairs looked at together for shared instructions, where the source may be slow


class Judge:
    """A judge over one bundle. Not safe for use from several threads at once.

    ::

        judge = Judge.load("smollm2-135m-instruct")
        verdict = judge.judge(Pair("Explain gravity.", "Mass attracts mass.", "It is a fruit."))
        verdict.p1  # probability in [0, 1] that response_0 is preferred, averaged over both orders
    """

    def __init__(self, bundle: Bundle, options: EngineOptions = EngineOptions(), engine: str = DEFAULT) -> None:
        """Raises BundleError where the bundle is not made for pairs, JudgeError where the engine is not to be had."""
        self._bundle, self._template = bundle, bundle.manifest.pair_template
        memory.require(memory.of_bundle(bundle.manifest), str(bundle.folder))
        self._tokenizer = PromptTokenizer.from_file(bundle.tokenizer)
        self.engine = engine
        self._engine = variant(engine).load(bundle, options)
        self._passes = Passes(bundle, self._engine, variant(engine).rounds)

    @classmethod
    def load(cls, path_or_id: str | Path, *, threads: int = 0, spin: bool = True) -> Judge:
        """Open a bundle.

        Args:
            path_or_id: a bundle's folder, or the id of a model exported into the cache folder.
            threads: of the runtime; 0 for the usable physical cores.
            spin: whether they wait for each other awake; better asleep on a machine in use.

        Raises:
            BundleError: there is no bundle, a file of it was changed, or this machine answers its probes
                differently, which is tried once a machine.
        """
        judge = cls(Bundle(find_bundle(path_or_id)), EngineOptions(threads, spin))
        selftest.run_once(judge.manifest, judge.answer)
        return judge

    @property
    def manifest(self) -> Manifest:
        """What the judge is, and how faithful."""
        return self._bundle.manifest

    @property
    def digest(self) -> str:
        """What tells this bundle from any other."""
        return self.manifest.digest

    def describe(self) -> str:
        """How the runtime was set up and why, a few lines for people."""
        return self._engine.describe()

    def answer(self, probe: Probe | Pair) -> tuple[float, ...]:
        """Log-odds of a probe's response_0, shown first, then second."""
        return self.judge(Pair(probe.instruction, probe.response_0, probe.response_1)).log_odds_by_order

    def judge(self, pair: Pair, orders: Orders = "both") -> Verdict:
        """The verdict of one pair: one forward pass. Raises PairError, JudgeError."""
        return next(self.judge_many([pair], orders))

    def judge_many(
        self, pairs: Iterable[Pair], orders: Orders = "both", *, window: int = WINDOW, done: int = 0
    ) -> Iterator[Verdict]:
        """Verdicts in the order of ``pairs``, which may be endless: a bounded window is read ahead.

        Args:
            pairs: consumed lazily.
            orders: ``both`` averages over the two orders; ``forward`` shows response_0 first only.
            window: pairs read ahead, at least 1; fewer where their texts are 16 MB together. With a float32 bundle
                those among them on the same instruction share a pass; verdicts do not depend on it beyond rounding
                (1e-4 in log-odds).
            done: how many pairs at the beginning have their verdicts already; the others get theirs in the same
                company, so to the last digit what they would be had all been judged at once.

        Raises:
            PairError: a prompt is longer than the model's context.
            JudgeError: the runtime failed.
        """
        for ahead in windows(pairs, window):
            if done < len(ahead):
                found = self._passes.of_window(ahead, lambda pair: self.prompt_tokens(pair, orders), done)
                yield from (Verdict(pair, log_odds(logits.tolist())) for pair, logits in found)
            done = max(0, done - len(ahead))

    def prompt_tokens(self, pair: Pair, orders: Orders = "both") -> list[list[int]]:
        """Token ids of the pair's prompts, one an order. Raises PairError where one is too long."""
        sequences = self._encode(pair, orders)
        longest, limit = max(map(len, sequences)), self.manifest.maximum_length
        if longest > limit:
            raise PairError(
                f"{pair}: the prompt has {longest:,} tokens, {self.manifest.model.id} takes {limit:,};"
                " shorten the instruction or the responses"
            )
        return sequences

    def shortened(self, pair: Pair) -> Pair:
        """The pair as it fits the model: itself, or with the end of its instruction not ``shown``.

        Both orders, and whichever is judged, are shown the same part of the instruction; the responses and
        the template are whole. Raises PairError where those alone are too long.
        """
        limit, instruction = self.manifest.maximum_length, pair.instruction if pair.shown is None else pair.shown
        while (over := max(map(len, self._encode(pair, "both"))) - limit) > 0:
            instruction = self._tokenizer.without_last(instruction, over)
            if not instruction.strip():
                raise PairError(f"{pair}: the responses alone are too long for {self.manifest.model.id}; shorten them")
            pair = replace(pair, shown=instruction)
        return pair

    def _encode(self, pair: Pair, orders: Orders) -> list[list[int]]:
        render = self._template.render
        instruction = pair.instruction if pair.shown is None else pair.shown
        prompts = [render(instruction, pair.response_0, pair.response_1)]
        if orders == "both":
            prompts.append(render(instruction, pair.response_1, pair.response_0))
        return self._tokenizer.encode_many(prompts)

    def log_odds_of(self, sequences: Sequence[Sequence[int]]) -> npt.NDArray[np.float64]:
        """log(p1/p2) [n] of token sequences as they are, packed into one tree: for tests and benchmarks."""
        logits = self._passes.logits(sequences).astype(np.float64)
        return logits[:, 0] - logits[:, 1]

"""The judge: pairs in, verdicts out. Joins template, tokens, packing and engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rlaif_fast import arguments
from rlaif_fast.bundle.folder import Bundle
from rlaif_fast.bundle.prompt import Probe
from rlaif_fast.judging.label_odds import first_odds
from rlaif_fast.judging.lookahead import windows
from rlaif_fast.judging.pair_questions import Orders, questions_of, shown
from rlaif_fast.judging.session import OPEN, Session
from rlaif_fast.judging.verdict import Verdict
from rlaif_fast.prompts.kinds import FOR_PAIRS
from rlaif_fast.prompts.template import Template
from rlaif_fast.rows.pairs import HOW, Pair
from rlaif_fast.runtime.engines import DEFAULT, EngineOptions

__all__ = ["WINDOW", "Judge", "Orders"]
WINDOW = 32  # pairs looked at together for shared instructions, where the source may be slow


class Judge(Session[Pair]):
    """A judge over one bundle. Not safe for use from several threads at once.

    ::

        judge = Judge.load("smollm2-135m-instruct")
        verdict = judge.judge(Pair("Explain gravity.", "Mass attracts mass.", "It is a fruit."))
        verdict.p1  # probability in [0, 1] that response_0 is preferred, averaged over both orders
    """

    _alone = "the responses alone are"
    kinds = FOR_PAIRS

    def __init__(
        self, bundle: Bundle, options: EngineOptions = EngineOptions(), engine: str = DEFAULT,
        beside: Session[Any] | None = None,
    ) -> None:  # fmt: skip
        """Raises ArgumentError; BundleError: the prompt is not for pairs; JudgeError: the engine is not to be had."""
        arguments.instance("bundle", bundle, Bundle, OPEN)
        self._questions = questions_of(bundle.manifest)
        super().__init__(bundle, options, engine, beside)

    def answer(self, probe: Probe | Pair) -> tuple[float, ...]:
        """Log-odds of a probe's response_0, shown first, then second; by a reward model the responses' rewards."""
        verdict = self.judge(Pair(probe.instruction, probe.response_0, probe.response_1))
        return verdict.rewards or verdict.log_odds_by_order

    def judge(self, pair: Pair, orders: Orders = "both") -> Verdict:
        """The verdict of one pair: one forward pass. Raises PairError, JudgeError."""
        return next(self.judge_many([arguments.instance("pair", pair, Pair, HOW)], orders))

    def judge_many(
        self, pairs: Iterable[Pair], orders: Orders = "both", *, window: int = WINDOW, done: int = 0
    ) -> Iterator[Verdict]:
        """Verdicts in the order of ``pairs``, which may be endless: a bounded window is read ahead.

        Args:
            pairs: consumed lazily.
            orders: ``both`` averages over the two orders; ``forward`` shows response_0 first only. A reward model reads
                each response by itself, and takes ``both`` only.
            window: pairs read ahead, at least 1; fewer where their texts are 16 MB together. With a float32 bundle
                those among them on the same instruction share a pass; verdicts do not depend on it beyond rounding
                (1e-4 in log-odds). With int8 they share the pass of a long instruction; verdicts do not depend on it.
            done: how many pairs at the beginning have their verdicts already; the others get theirs in the same
                company, so to the last digit what they would be had all been judged at once.

        Raises:
            ArgumentError: ``pairs``, ``orders``, ``window`` or ``done`` is none, at once; or one of the pairs.
            PairError: a prompt is longer than the model's context.
            JudgeError: the runtime failed.
        """
        self.require_orders(orders)
        window, done = arguments.whole("window", window, 1), arguments.whole("done", done, 0)
        return self._judged(windows(arguments.items("pairs", pairs, Pair, HOW), window), orders, done)

    def _judged(self, ahead_of: Iterator[list[Pair]], orders: Orders, done: int) -> Iterator[Verdict]:
        for ahead in ahead_of:
            if done < len(ahead):
                found = self._passes.of_window(ahead, lambda pair: self.prompt_tokens(pair, orders), self._head, done)
                yield from (self._questions.verdict(pair, logits) for pair, logits in found)
            done = max(0, done - len(ahead))

    def require_orders(self, orders: str) -> None:
        """Raise ArgumentError where this judge does not read pairs in these orders."""
        self._questions.require_orders(orders)

    def prompt_tokens(self, pair: Pair, orders: Orders = "both") -> list[list[int]]:
        """Token ids of the pair's prompts, one an order. Raises PairError where one is too long."""
        arguments.instance("pair", pair, Pair, HOW)
        self.require_orders(orders)
        return self._fitting(pair, self._encode(pair, orders))

    def _encode(self, pair: Pair, orders: Orders = "both") -> list[list[int]]:
        return self._tokenizer.encode_many(self._questions.prompts(pair, orders))

    def _head(self, item: Pair) -> list[int]:
        template = self.manifest.prompt.template
        if not isinstance(template, Template):
            return []
        return self._tokenizer.encode(template.before_responses(shown(item)))

    def log_odds_of(self, sequences: Sequence[Sequence[int]]) -> npt.NDArray[np.float64]:
        """log(p1/p2) [n] of token sequences as they are, packed into one tree: for tests and benchmarks."""
        return first_odds(self._passes.logits(sequences).astype(np.float64))

"""Labels of both orders at less than their cost: a sample is read in both, and tells how the other pairs are read."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Literal, TypeVar, get_args

import numpy as np

from rlaif_fast import arguments
from rlaif_fast.errors import BundleError
from rlaif_fast.judging.judge import WINDOW, Judge
from rlaif_fast.judging.order_plan import CONFIDENCE, Floats, Plan, held_out, least_sample, plan_auto, plan_prior
from rlaif_fast.judging.session import OPEN
from rlaif_fast.judging.verdict import Verdict
from rlaif_fast.rows.pairs import HOW, Pair
from rlaif_fast.runtime.packing import TreeBuilder

DISAGREEMENT = 0.01
_DRAW = (
    "draw one: from rlaif_fast.judging.fewer_orders import default_sample, draw; draw(pairs, default_sample('auto'))"
)
Mode = Literal["prior", "auto"]
T = TypeVar("T")


def default_sample(mode: Mode, disagreement: float = DISAGREEMENT) -> int:
    """Pairs in a sample unless told otherwise: for ``auto`` as few as can promise anything."""
    arguments.one_of("mode", mode, get_args(Mode))
    disagreement = arguments.share("disagreement", disagreement, ends=False)
    return 200 if mode == "prior" else least_sample(disagreement)


def draw(pairs: Iterable[T], count: int, seed: int = 0) -> dict[int, T]:
    """A random sample with the pairs' places from 0, in their order; empty where there are no more than ``count``.

    Each set of ``count`` is as likely as any other (reservoir sampling, Vitter 1985, algorithm R).
    """
    arguments.whole("count", count, 1)
    pick, kept, number = random.Random(seed), list[tuple[int, T]](), 0
    for number, pair in enumerate(pairs, start=1):
        if number <= count:
            kept.append((number - 1, pair))
        elif (slot := int(pick.random() * number)) < count:
            kept[slot] = (number - 1, pair)
    return dict(sorted(kept, key=lambda found: found[0])) if number > count else {}


def require_no_tie(judge: Judge, mode: Mode) -> None:
    """Raise BundleError where the prompt has a label for ties, ArgumentError where the judge is a reward model.

    The label prior is what a position adds to the log-odds of two labels, the same for every pair. Beside a third label
    it would add the less the likelier a tie is; and one order tells nothing of p_tie in the other.
    """
    if judge.manifest.by_rewards:
        judge.require_orders(mode)
    if judge.manifest.ties:
        raise BundleError(
            f"{judge.manifest.name}: its prompt has a label for ties, which --orders {mode} does not support; take"
            " --orders both or forward"
        )


class FrugalJudge:
    """Reads the second order of a sample, and elsewhere only where it could change the label, or never.

    ::

        frugal = FrugalJudge(judge, draw(pairs, default_sample("auto")), "auto")
        verdicts = list(frugal.judge_many(pairs))
        frugal.line(len(verdicts), sum(verdict.consistent is None for verdict in verdicts))

    A float32 bundle gives a prompt the same log-odds in any company, an int8 one does not (docs/agreement.md). With
    int8 the forward order of pairs held out is read alone too, as it will be, and a pair that takes the second order
    is read in both together: its verdict is the one that ``both`` gives, to the last bit.
    """

    def __init__(
        self, judge: Judge, sample: Mapping[int, Pair], mode: Mode, disagreement: float = DISAGREEMENT
    ) -> None:
        """
        Args:
            sample: pairs by their places among those to be judged, from 0; empty: all pairs are read in both orders.
            mode: ``prior`` reads one order of the others, ``auto`` the second too where it could change the label.
            disagreement: share of labels of all pairs that may differ from both orders', with 95 % confidence.

        Raises:
            ArgumentError: one of these is none.
            BundleError: the prompt has a label for ties.
        """
        arguments.instance("judge", judge, Judge, OPEN)
        arguments.instance("sample", sample, Mapping, _DRAW)
        for place, pair in sample.items():
            arguments.whole("place of a sample", place, 0)
            arguments.instance("sample", pair, Pair, HOW)
        arguments.one_of("mode", mode, get_args(Mode))
        disagreement = arguments.share("disagreement", disagreement, ends=False)
        require_no_tie(judge, mode)
        self.judge, self.mode, self.disagreement = judge, mode, disagreement
        self.plan: Plan | None = None
        self._why = ""
        self._alone = judge.manifest.precision != "fp32"  # whether a prompt must be read alone to be judged alone
        if not sample:
            self._why = "there are no more pairs than in a sample"
        elif mode == "auto" and len(sample) < (least := least_sample(disagreement)):
            self._why, sample = f"a disagreement of {disagreement:g} needs a sample of {least:,} pairs", {}
        self.sample = dict(sorted(sample.items()))
        self._readings: dict[int, list[float]] = {}
        self._read_again = 0

    @property
    def digest(self) -> str:
        """What tells this sample from any other."""
        texts = [(n, pair.instruction, pair.response_0, pair.response_1, pair.shown) for n, pair in self.sample.items()]
        return hashlib.sha256(json.dumps(texts).encode()).hexdigest()

    def survey(self, known: list[list[float]] | None = None, noted: Callable[[], None] = lambda: None) -> None:
        """Read the sample and make the plan.

        Args:
            known: what is read already, and then what is read: log-odds forward, swapped and, where it counts,
                forward alone, a pair of the sample each.
            noted: called behind each pair.

        Raises:
            PairError, JudgeError: as :meth:`Judge.judge_many`.
        """
        known = [] if known is None else known
        pairs = list(self.sample.values())
        for pair in pairs[len(known) :]:
            known.append(list(self.judge.judge(pair).log_odds_by_order))
            noted()
        self._readings = dict(zip(self.sample, known, strict=True))
        if not pairs:
            return
        self._costs = np.mean([self._cost(pair) for pair in pairs], 0).tolist()
        both = np.array([reading[:2] for reading in known])
        tested = np.flatnonzero(held_out(len(pairs), self.mode))
        self.plan = self._made(both, both[tested, 0])
        if self._alone and self.plan.threshold < math.inf:  # else reading more of the sample is for nothing
            for place in tested:
                if len(known[place]) < 3:
                    known[place] += self.judge.judge(pairs[place], "forward").log_odds_by_order
                    noted()
            self._read_again = len(tested)
            self.plan = self._made(both, np.array([known[place][2] for place in tested]))

    def judge_many(self, pairs: Iterable[Pair], *, window: int = WINDOW, done: int = 0) -> Iterator[Verdict]:
        """As :meth:`Judge.judge_many`. A verdict has the orders that were read; p1 is on the scale of both."""
        window, done = arguments.whole("window", window, 1), arguments.whole("done", done, 0)
        return self._judged(enumerate(arguments.items("pairs", pairs, Pair, HOW)), window, done)

    def _judged(self, source: Iterator[tuple[int, Pair]], window: int, done: int) -> Iterator[Verdict]:
        if self.plan is None:
            self.survey()
        while ahead := list(islice(source, window)):
            others = [place for place, _ in ahead if place not in self.sample]
            found = self._others(
                [pair for place, pair in ahead if place not in self.sample], sum(place < done for place in others)
            )
            for place, pair in ahead:
                if place >= done:
                    yield Verdict(pair, tuple(self._readings[place][:2])) if place in self.sample else next(found)

    def _others(self, pairs: list[Pair], done: int) -> Iterator[Verdict]:
        if self.plan is None or self.plan.threshold == math.inf:
            yield from self.judge.judge_many(pairs, window=max(1, len(pairs)), done=done)
            return
        for verdict in self.judge.judge_many(pairs, "forward", window=max(1, len(pairs)), done=done):
            (forward,) = verdict.log_odds_by_order
            once = self.plan.one_order(forward)
            if once is not None:
                yield Verdict(verdict.pair, (once,))
            elif self._alone:
                yield self.judge.judge(verdict.pair)
            else:
                (swapped,) = self.judge.judge(_exchanged(verdict.pair), "forward").log_odds_by_order
                yield Verdict(verdict.pair, (forward, -swapped))

    def _made(self, both: Floats, forward: Floats) -> Plan:
        if self.mode == "prior":
            return plan_prior(both, forward)
        plan, (first, second, together) = plan_auto(both, forward, self.disagreement), self._costs
        if first + plan.twice * second < together:
            return plan
        self._why = (
            f"one order would settle {1 - plan.twice:.1%} of the pairs, and pays from"
            f" {1 - (together - first) / second:.1%} on"
        )
        return replace(plan, threshold=math.inf, differ=0, twice=1.0)

    def _cost(self, pair: Pair) -> tuple[int, int, int]:
        """Multiply-adds of the forward order, of the second one behind it, and of both together."""
        manifest, prompts = self.judge.manifest, self.judge.prompt_tokens(pair)

        def cost(sequences: list[list[int]]) -> int:
            tree = TreeBuilder(manifest.prompt.prefix_ids, manifest.prompt.ending)
            for tokens in sequences:
                tree.add(tokens)
            return manifest.cost.of(tree.tokens, len(manifest.prompt.prefix_ids))

        together = cost(prompts)
        return cost(prompts[:1]), together if self._alone else cost(prompts[1:]), together

    def saved(self, pairs: int, once: int) -> float:
        """Share of the multiply-adds of both orders that was saved; below 0 where more were spent.

        By the sample's mean costs of a pair alone: with float32, pairs that share an instruction save more or less.

        Args:
            pairs: judged.
            once: of them, in one order.
        """
        if self.plan is None:
            return 0.0
        first, second, together = self._costs
        again = pairs - once - len(self.sample) if self.plan.threshold < math.inf else 0
        spent = (pairs - once - again) * together + once * first + again * (first + second)
        spent += self._read_again * first
        return 1 - float(spent / (pairs * together))

    def line(self, pairs: int, once: int) -> str:
        """How pairs were read, for people; arguments are those of :meth:`saved`."""
        saved = self.saved(pairs, once)
        time = f"about {abs(saved):.1%} {'less' if saved >= 0 else 'more'} time than both (by multiply-adds)"
        parts = [f"orders: {2 * pairs - once:,} of {2 * pairs:,} read, {time}"]
        if (plan := self.plan) is not None:
            parts.append(f"label prior {plan.prior:+.3f} from {len(self.sample) - plan.held_out} pairs")
        if plan is None or plan.threshold == math.inf:
            parts.append(f"every pair is read twice: {self._why}")
        else:
            parts.append(
                f"{plan.differ} of {plan.held_out} pairs held out get another label than from both orders"
                f" ({plan.differ / plan.held_out:.1%}, at most {plan.bound:.2%} with {CONFIDENCE:.0%} confidence)"
            )
        return "; ".join(parts)


def _exchanged(pair: Pair) -> Pair:
    return replace(pair, response_0=pair.response_1, response_1=pair.response_0)

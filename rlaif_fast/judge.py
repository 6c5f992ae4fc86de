"""The judge: pairs in, verdicts out. Joins template, tokens, packing and engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from rlaif_fast import selftest
from rlaif_fast.bundle import Bundle
from rlaif_fast.engine import EngineOptions, OnnxRuntimeEngine
from rlaif_fast.errors import PairError
from rlaif_fast.home import find_bundle
from rlaif_fast.manifest import Manifest, Probe
from rlaif_fast.packing import pack
from rlaif_fast.pairs import Pair
from rlaif_fast.planning import alike, plan
from rlaif_fast.tokens import PromptTokenizer
from rlaif_fast.verdict import Verdict, log_odds

Orders = Literal["both", "forward"]
WINDOW = 32  # pairs looked at together for shared instructions, where the source may be slow
_TREE_LIMIT = 4096  # new tokens of a tree of several pairs; its bias takes 4 * S * (P + S) bytes


class Judge:
    """A judge over one bundle. Not safe for use from several threads at once.

    ::

        judge = Judge.load("smollm2-135m-instruct")
        verdict = judge.judge(Pair("Explain gravity.", "Mass attracts mass.", "It is a fruit."))
        verdict.p1  # probability in [0, 1] that response_0 is preferred, averaged over both orders
    """

    def __init__(self, bundle: Bundle, options: EngineOptions = EngineOptions()) -> None:
        self._bundle = bundle
        self._tokenizer = PromptTokenizer.from_file(bundle.tokenizer)
        self._engine = OnnxRuntimeEngine(bundle.model, options)

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

    def answer(self, probe: Probe) -> tuple[float, ...]:
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
            window: pairs read ahead, at least 1. With a float32 bundle those among them on the same instruction
                share a pass; verdicts do not depend on it beyond rounding (1e-4 in log-odds).
            done: how many pairs at the beginning have their verdicts already; the others get theirs in the same
                company, so to the last digit what they would be had all been judged at once.

        Raises:
            PairError: a prompt is longer than the model's context.
            JudgeError: the runtime failed.
        """
        source = iter(pairs)
        while ahead := list(islice(source, window)):
            if done < len(ahead):
                yield from self._judge_window(ahead, orders, done)
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
        limit, instruction = self.manifest.maximum_length, pair.instruction
        while (over := max(map(len, self._encode(pair, "both"))) - limit) > 0:
            instruction = self._tokenizer.without_last(instruction, over)
            if not instruction.strip():
                raise PairError(f"{pair}: the responses alone are too long for {self.manifest.model.id}; shorten them")
            pair = replace(pair, shown=instruction)
        return pair

    def _encode(self, pair: Pair, orders: Orders) -> list[list[int]]:
        render = self.manifest.template.render
        instruction = pair.instruction if pair.shown is None else pair.shown
        prompts = [render(instruction, pair.response_0, pair.response_1)]
        if orders == "both":
            prompts.append(render(instruction, pair.response_1, pair.response_0))
        return self._tokenizer.encode_many(prompts)

    def log_odds_of(self, sequences: Sequence[Sequence[int]]) -> npt.NDArray[np.float64]:
        """log(p1/p2) [n] of token sequences as they are, packed into one tree: for tests and benchmarks."""
        self._bundle.verified()
        tree = pack(sequences, self.manifest.prefix_ids, self.manifest.ending)
        logits = self._engine.run(tree).astype(np.float64)
        return logits[:, 0] - logits[:, 1]

    def _together(self, window: list[Pair]) -> list[list[int]]:
        """Which pairs may share a pass: those on one instruction, in float32.

        The last bit of a float32 sum depends on what else is in the pass. Behind it, int8 rounds some
        value the other way, and a few layers on that is as large as the rounding error itself: an int8
        verdict is the same among any neighbours because each pair has its pass alone.
        """
        if self.manifest.precision == "fp32":
            return alike(pair.instruction for pair in window)
        return [[place] for place in range(len(window))]

    def _judge_window(self, window: list[Pair], orders: Orders, done: int) -> Iterator[Verdict]:
        manifest = self.manifest
        limit = min(_TREE_LIMIT, manifest.maximum_tree)
        ready: dict[int, Verdict] = {}
        for places in self._together(window):
            if places[-1] < done:
                continue
            prompts = [self.prompt_tokens(window[place], orders) for place in places]
            for group in plan(prompts, manifest.prefix_ids, manifest.cost, limit, manifest.ending):
                if places[group.members[-1]] < done:
                    continue
                if group.tree.tokens > limit:  # one pair, whose orders together would take too much memory
                    (alone,) = group.members
                    trees = [pack([tokens], manifest.prefix_ids, manifest.ending) for tokens in prompts[alone]]
                else:
                    trees = [group.tree.build()]
                logits = np.concatenate([self._engine.run(tree) for tree in trees])  # [J, 2]
                self._bundle.verified()
                per_pair = logits.reshape(len(group.members), -1, 2)
                for member, of_pair in zip(group.members, per_pair, strict=True):
                    if places[member] >= done:
                        ready[places[member]] = Verdict(window[places[member]], log_odds(of_pair.tolist()))
            while done in ready:
                yield ready.pop(done)
                done += 1

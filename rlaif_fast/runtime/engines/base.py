"""What an engine is: arrays in, label logits out. One file of this package an engine, listed in ``__init__``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rlaif_fast.bundle.folder import Bundle
from rlaif_fast.bundle.manifest import MINIMUM_TREE, Manifest
from rlaif_fast.bundle.prompt import Arrays
from rlaif_fast.errors import REMEDY, JudgeError, lacks_memory
from rlaif_fast.runtime.cpu import usable_cores
from rlaif_fast.runtime.packing import HIDDEN, PackedTree

Feed = dict[str, npt.NDArray[Any]]  # the graph's inputs by name, see PackedTree and BundlePrompt


class Output(NamedTuple):
    """What the graph gives: label logits [J, L] of the judged positions, and what they are made of, [J, D]."""

    label_logits: npt.NDArray[np.float32]
    hidden: npt.NDArray[np.float32]


@dataclass(frozen=True)
class EngineOptions:
    """How the runtime is set up."""

    threads: int = 0  # 0: the usable physical cores
    spin: bool = True  # threads wait awake for the next operator of a pass, where the engine can

    @property
    def thread_count(self) -> int:
        """Threads the runtime gets."""
        return self.threads or usable_cores()

    @property
    def threads_line(self) -> str:
        """How many threads and why, for people."""
        why = "as asked" if self.threads else "physical cores within this process's affinity and quota"
        return f"threads: {self.thread_count} ({why})"


class Engine(ABC):
    """A bundle's graph, loaded. Promises that the same tree gives the same bits, whatever came before it."""

    name: str  # of the runtime, as messages have it
    keeps = False  # whether it gives the keys and values of a pass
    concurrent = False  # whether several threads may run it at once

    def run(self, tree: PackedTree, prompt: Arrays) -> Output:
        """The judged positions of a tree over ``prompt``, which :class:`Bundle` has.

        Raises:
            JudgeError: the runtime failed, or a logit is not finite.
        """
        with self._failing(tree):
            logits, hidden = self._infer({**prompt, **feed_of(tree)})
        if logits.ndim != 2 or len(logits) != len(tree.judged) or logits.dtype != np.float32:
            raise JudgeError(
                f"the graph answered {logits.dtype} {logits.shape}, no logits of {len(tree.judged)} prompts"
            )
        if not np.isfinite(logits).all():
            raise JudgeError(f"a label logit is not finite ({logits.tolist()}), the bundle or the CPU is broken")
        return Output(logits, hidden)

    def keys_and_values(self, tree: PackedTree, prompt: Arrays) -> Arrays:
        """Of the tree's S tokens behind the prefix of ``prompt``, [1, G, S, D], named as the prefix's are.

        Only where it ``keeps`` them. Raises JudgeError where the runtime failed.
        """
        with self._failing(tree):
            found = self._keys_and_values({**prompt, **feed_of(tree)})
        return {name: rows[:, :, : tree.tokens] for name, rows in found.items()}  # it may have been filled up

    @contextmanager
    def _failing(self, tree: PackedTree) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # every runtime raises classes of its own
            remedy = f"; {REMEDY}" if lacks_memory(error) else ""
            raise JudgeError(f"{self.name} failed on {tree.tokens} tokens ({first_line(error)}){remedy}") from None

    @abstractmethod
    def _infer(self, feed: Feed) -> Output:
        """What the graph gives, memory of their own; whatever is raised becomes a JudgeError."""

    def _keys_and_values(self, feed: Feed) -> Arrays:
        """Of the feed's tokens behind the prefix, memory of their own."""
        raise NotImplementedError(f"{self.name} keeps no keys and values")

    @abstractmethod
    def describe(self) -> str:
        """What was chosen and why, a line each."""


@dataclass(frozen=True)
class Variant:
    """An engine set up in one way: what ``--engine`` names and ``tune`` compares.

    Attributes:
        what: a phrase for people.
        open: loads the graph of a bundle, which has looked through it; raises BundleError where the runtime refuses it.
        refusal: why this machine or a bundle does not offer it, one line; None where it is offered.
        version: of the runtime; None where it is not installed.
        rounds: it rounds more than the bundle's own arithmetic does. Its verdicts are no longer the bundle's to the
            last digits, so items never share a tree.
    """

    name: str
    what: str
    open: Callable[[Bundle, EngineOptions], Engine]
    refusal: Callable[[Manifest], str | None]
    version: Callable[[], str | None]
    rounds: bool = False

    def load(self, bundle: Bundle, options: EngineOptions) -> Engine:
        """The engine over ``bundle``. Raises JudgeError where it is not offered, BundleError."""
        refusal = self.refusal(bundle.manifest)
        if refusal is not None:
            raise JudgeError(f"--engine {self.name}: {refusal}")
        return self.open(bundle, options)


def feed_of(tree: PackedTree) -> Feed:
    """The graph's inputs but the prompt's, of no fewer tokens than it takes."""
    tree = _filled(tree)
    return {
        "input_ids": tree.input_ids,
        "position_ids": tree.position_ids,
        "attention_bias": tree.attention_bias,
        "judged": tree.judged,
    }


def prefix_of(feed: Feed) -> int:
    """P: tokens of the prefix that is fed."""
    bias = feed["attention_bias"]
    return int(bias.shape[3] - bias.shape[2])


def first_line(error: Exception) -> str:
    """What an error of a runtime says, short enough for a message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _filled(tree: PackedTree) -> PackedTree:
    """A tree of too few tokens for the graph, with tokens behind it that nobody sees or judges."""
    missing = MINIMUM_TREE - tree.tokens
    if missing <= 0:
        return tree
    more = ((0, 0), (0, missing))
    bias = np.pad(tree.attention_bias, ((0, 0), (0, 0), *more[1:], *more[1:]), constant_values=HIDDEN)
    bias[..., -missing:, 0] = 0  # a softmax over nothing would be no number
    return PackedTree(np.pad(tree.input_ids, more), np.pad(tree.position_ids, more), bias, tree.judged)

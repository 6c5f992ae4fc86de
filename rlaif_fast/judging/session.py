"""A bundle opened for work: what the judge of pairs and the rater of single responses have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from rlaif_fast.bundle.folder import Bundle
from rlaif_fast.bundle.home import find_bundle
from rlaif_fast.bundle.manifest import TOKENIZER, Manifest, Probe
from rlaif_fast.errors import PairError
from rlaif_fast.prompts.tokenizer import PromptTokenizer
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.rows.samples import Sample
from rlaif_fast.runtime import memory, selftest
from rlaif_fast.runtime.engine_choice import AUTO, resolve
from rlaif_fast.runtime.engines import DEFAULT, EngineOptions, variant
from rlaif_fast.runtime.forward import ForwardPasses

I = TypeVar("I", Pair, Sample)  # noqa: E741
O = TypeVar("O", bound="Session[Any]")  # noqa: E741


class Session(ABC, Generic[I]):
    """A bundle, its tokenizer and an engine over its graph. Not safe for use from several threads at once.

    Attributes:
        engine: name of the variant that computes.
    """

    _alone: ClassVar[str]  # the responses, as the subject of a message

    def __init__(self, bundle: Bundle, options: EngineOptions = EngineOptions(), engine: str = DEFAULT) -> None:
        """Raises BundleError where it is made for something else, JudgeError where the engine is not to be had."""
        self._bundle = bundle
        memory.require(memory.of_bundle(bundle.manifest), str(bundle.folder))
        self._tokenizer = PromptTokenizer.from_bytes(bundle.tokenizer, str(bundle.folder / TOKENIZER))
        self.engine = engine
        self._engine = variant(engine).load(bundle, options)
        self._passes = ForwardPasses(bundle, self._engine, variant(engine).rounds)

    @classmethod
    def load(cls: type[O], path_or_id: str | Path, *, threads: int = 0, spin: bool = True, engine: str = AUTO) -> O:
        """Open a bundle.

        Args:
            path_or_id: a bundle's folder, or the id of a model exported into the cache folder.
            threads: of the runtime; 0 for the usable physical cores.
            spin: whether they wait for each other awake; better asleep on a machine in use.
            engine: a variant by name (docs/engines.md), or ``auto``: what ``rlaif-fast tune`` found best for the
                bundle on this machine, onnxruntime where it was never run.

        Raises:
            BundleError: there is no bundle, a file of it was changed, or this machine answers its probes
                differently, which is tried once a machine.
            JudgeError: there is no such engine here.
        """
        folder, name = resolve(find_bundle(path_or_id), engine)
        opened = cls(Bundle(folder), EngineOptions(threads, spin), name)
        selftest.run_once(opened.manifest, opened.answer, name)
        return opened

    @property
    def manifest(self) -> Manifest:
        """What the bundle is, and how faithful."""
        return self._bundle.manifest

    @property
    def digest(self) -> str:
        """What tells this bundle from any other."""
        return self.manifest.digest

    def describe(self) -> str:
        """How the runtime was set up and why, a few lines for people."""
        return self._engine.describe()

    @abstractmethod
    def answer(self, probe: Probe | Pair) -> tuple[float, ...]:
        """What the self-test compares: two numbers, of a probe's responses."""

    def shortened(self, item: I) -> I:
        """The item as it fits the model: itself, or with the end of its instruction not ``shown``.

        Every order, and whichever is judged, is shown the same part of the instruction; the responses and
        the template are whole. Raises PairError where those alone are too long.
        """
        limit, instruction = self.manifest.maximum_length, shown(item)
        while (over := max(map(len, self._encode(item))) - limit) > 0:
            instruction = self._tokenizer.without_last(instruction, over)
            if not instruction.strip():
                raise PairError(f"{item}: {self._alone} too long for {self.manifest.model.id}; give shorter ones")
            item = replace(item, shown=instruction)
        return item

    @abstractmethod
    def _encode(self, item: I) -> list[list[int]]:
        """Token ids of all prompts an item has."""

    def _fitting(self, item: I, sequences: list[list[int]]) -> list[list[int]]:
        """The sequences. Raises PairError where one is too long."""
        longest, limit = max(map(len, sequences)), self.manifest.maximum_length
        if longest > limit:
            raise PairError(
                f"{item}: the prompt has {longest:,} tokens, {self.manifest.model.id} takes {limit:,};"
                " shorten the instruction or the response"
            )
        return sequences


def shown(item: Pair | Sample) -> str:
    """The instruction as the model is shown it."""
    return item.instruction if item.shown is None else item.shown

"""A bundle opened for work: what the judge of pairs and the rater of single responses have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from rlaif_fast import arguments
from rlaif_fast.bundle.folder import Bundle, read_manifest
from rlaif_fast.bundle.home import find_bundle, name_of
from rlaif_fast.bundle.manifest import TOKENIZER, Manifest
from rlaif_fast.bundle.prompt import Probe
from rlaif_fast.errors import JudgeError, PairError, UnfaithfulError
from rlaif_fast.judging.pair_questions import shown
from rlaif_fast.prompts.kinds import Kinds
from rlaif_fast.prompts.reward_template import RewardTemplate
from rlaif_fast.prompts.score_template import ScoreTemplate
from rlaif_fast.prompts.tokenizer import PromptTokenizer
from rlaif_fast.reports.terminal import say
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.rows.samples import Sample
from rlaif_fast.runtime import memory, selftest
from rlaif_fast.runtime.concurrent_passes import OneThreadEngine
from rlaif_fast.runtime.engine_choice import AUTO, known, resolve
from rlaif_fast.runtime.engines import DEFAULT, Engine, EngineOptions, variant
from rlaif_fast.runtime.forward import ForwardPasses
from rlaif_fast.runtime.vocabulary import Vocabulary

I = TypeVar("I", Pair, Sample)  # noqa: E741
O = TypeVar("O", bound="Session[Any]")  # noqa: E741


def opening(kind: str) -> str:
    """What is said where something else stands in a session's place: how to open one, to be pasted."""
    return f'open one: from rlaif_fast import {kind}; {kind}.load("smollm2-135m-instruct")'


OPEN = opening("Judge")


class Session(ABC, Generic[I]):
    """A bundle, its tokenizer and an engine over its graph. Not safe for use from several threads at once.

    Attributes:
        engine: name of the variant that computes.
        kinds: of prompts it works with.
    """

    kinds: ClassVar[Kinds]
    engine: str
    _engine: Engine
    _one_thread: OneThreadEngine
    _tokenizer: PromptTokenizer
    _alone: ClassVar[str]  # the responses, as the subject of a message

    def __init__(
        self, bundle: Bundle, options: EngineOptions = EngineOptions(), engine: str = DEFAULT,
        beside: Session[Any] | None = None,
    ) -> None:  # fmt: skip
        """
        Args:
            beside: a session over the same bundle, whose engine and tokenizer this one shares.

        Raises:
            ArgumentError: ``bundle`` is a path or a name.
            BundleError: its prompt is for something else.
            JudgeError: the engine is not to be had.
        """
        self._bundle, self._options = bundle, options
        if beside is None:
            memory.require(memory.of_bundle(bundle.manifest), str(bundle.folder))
            self._tokenizer = PromptTokenizer.from_bytes(bundle.tokenizer, str(bundle.folder / TOKENIZER))
            self.engine, self._engine = engine, variant(engine).load(bundle, options)
            self._one_thread = OneThreadEngine(bundle, variant(engine), options, self._engine.concurrent)
        else:
            self._tokenizer, self.engine, self._engine = beside._tokenizer, beside.engine, beside._engine
            self._one_thread = beside._one_thread
        self._vocabulary: Vocabulary | None = None if beside is None else beside._vocabulary
        of_all = isinstance(bundle.manifest.prompt.template, ScoreTemplate)
        if of_all and self._vocabulary is None:
            self._vocabulary = Vocabulary(bundle.head(), bundle.folder, options)
        vocabulary = self._vocabulary if of_all else None
        self._passes = ForwardPasses(
            bundle, self._engine, self._one_thread, variant(self.engine).rounds, vocabulary
        )  # fmt: skip

    @classmethod
    def load(
        cls: type[O], path_or_id: str | Path, *, template: str | None = None, threads: int = 0, spin: bool = True,
        engine: str = AUTO,
    ) -> O:  # fmt: skip
        """Open a bundle.

        Args:
            path_or_id: a bundle's folder, the id of a model exported into the cache folder, or a published bundle's
                ``owner/name`` or ``owner/name@revision``.
            template: name of a prompt of the bundle; by default its first.
            threads: of the runtime; 0 for the usable physical cores.
            spin: whether they wait for each other awake; better asleep on a machine in use.
            engine: a variant by name (docs/engines.md), or ``auto``: what ``rlaif-fast tune`` found best for the
                bundle on this machine, onnxruntime where it was never run.

        Raises:
            ArgumentError: an argument is of another kind, ``threads`` is below 0 or above 1,024, or there is no such
                ``engine``.
            BundleError: there is no bundle or no such prompt in it, a file of it was changed, or this machine answers
                its probes differently, which is tried once a machine.
            JudgeError: this machine, or this bundle, does not have that engine.
        """
        arguments.optional_text("template", template)
        options = EngineOptions(arguments.threads(threads), arguments.flag("spin", spin))
        known(engine)
        folder = find_bundle(arguments.path_or_name("path_or_id", path_or_id))
        template = read_manifest(folder).through(template, cls.kinds, name_of(folder)).prompt.name
        chosen, name = resolve(folder, engine, template)  # maybe another bundle
        opened = cls(Bundle(chosen, template, cls.kinds), options, name)
        try:
            selftest.run_once(opened.manifest, opened.answer, name)
        except UnfaithfulError:
            if engine != AUTO or (chosen, name) == (folder, DEFAULT):
                raise
            # It was chosen by the bundle's first prompt, and this is another one, or the machine has changed.
            say(f"{opened.manifest.name}: {name}, which tune chose, is not faithful here; {DEFAULT} judges")
            return cls.load(folder, template=template, threads=threads, spin=spin, engine=DEFAULT)
        return opened

    @classmethod
    def beside(cls: type[O], other: Session[Any], template: str | None = None) -> O:
        """One more session over the bundle of ``other``, through another of its prompts: the weights are loaded once.

        The prompt may have been added since ``other`` was opened. Raises ArgumentError; BundleError where the bundle
        has no such prompt.
        """
        arguments.instance("other", other, Session, OPEN)
        arguments.optional_text("template", template)
        return cls(other._bundle.renewed().through(template, cls.kinds), other._options, beside=other)

    def __reduce__(self) -> Any:
        """Raises JudgeError: an engine is this process's own."""
        kind = type(self).__name__
        raise JudgeError(
            f"a {kind} cannot be copied or sent to another process; open one there with {kind}.load, or use"
            " rlaif_fast.integrations (Labeler, RewardFunction), which can"
        )

    @property
    def manifest(self) -> Manifest:
        """What the bundle is, and how faithful, seen through the prompt."""
        return self._bundle.manifest

    @property
    def digest(self) -> str:
        """What tells this judge from any other."""
        return self.manifest.digest

    @property
    def taken_unread(self) -> int:
        """Bytes of an item's texts up to which it is sure to fit the model; -1 where what they contain may be refused.

        A token is a byte or more, and what stands around the texts has as much room as they have.
        """
        prompt = self.manifest.prompt
        if isinstance(prompt.template, RewardTemplate) and prompt.template.refuses:
            return -1
        return (self.manifest.maximum_length - len(prompt.prefix_ids)) // 2

    def describe(self) -> str:
        """How the runtime was set up and why, a few lines for people."""
        return "\n".join(filter(None, (self._engine.describe(), self._passes.describe())))

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

    @abstractmethod
    def _head(self, item: I) -> list[int]:
        """Token ids of the text that all items on one instruction begin with, as it is tokenised by itself; or none."""

    def _fitting(self, item: I, sequences: list[list[int]]) -> list[list[int]]:
        """The sequences. Raises PairError where one is too long."""
        longest, limit = max(map(len, sequences)), self.manifest.maximum_length
        if longest > limit:
            raise PairError(
                f"{item}: the prompt has {longest:,} tokens, {self.manifest.model.id} takes {limit:,};"
                " shorten the instruction or the response"
            )
        return sequences

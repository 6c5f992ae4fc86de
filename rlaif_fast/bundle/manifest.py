"""The manifest of a bundle: what was exported, from what, how, and how faithful it is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from rlaif_fast.bundle.home import PRECISIONS
from rlaif_fast.bundle.names import no_such_prompt, none_of_kind, of_another_kind
from rlaif_fast.bundle.prompt import BundlePrompt, FileEntry
from rlaif_fast.bundle.typed_json import loads, mapping, record, typed
from rlaif_fast.errors import BundleError, TemplateError
from rlaif_fast.prompts.kinds import Kinds, kind_of
from rlaif_fast.prompts.reward_template import GuardTemplate, RewardTemplate
from rlaif_fast.prompts.score_template import ScoreTemplate
from rlaif_fast.prompts.template import Template

SCHEMA = 4
MODEL, WEIGHTS, TOKENIZER = "model.onnx", "model.onnx.data", "tokenizer.json"
HEAD, HEAD_WEIGHTS = "head.onnx", "head.onnx.data"  # over the whole vocabulary, which scores need
HEADS = (HEAD, HEAD_WEIGHTS)
FILES = (MODEL, WEIGHTS, TOKENIZER)  # of every bundle
WIDENED = "widened_weights"  # of Manifest.passes: matrices stored in half precision, in float32 once they are loaded
MANIFEST = "manifest.json"
MINIMUM_TREE = 4  # new tokens a pass must have: the graph cuts them into parts for attention
LONGEST_CONTEXT = 32_768  # tokens; rotary tables and the packed mask grow with it, and a CPU takes minutes
TREE_PER_CONTEXT = 2  # tokens of the largest packed tree, prefix included, in contexts: both orders of any pair fit


@dataclass(frozen=True)
class ModelSource:
    """Where the weights came from."""

    id: str  # hub id, or the name of the folder or file
    revision: str | None  # commit of the hub's repository
    licence: str | None
    architecture: str  # transformers' model_type
    parameters: int


@dataclass(frozen=True)
class Cost:
    """Multiply-adds of one pass over S new tokens behind P: ``S * per_token + S * (P + S) * per_token_pair``."""

    per_token: int  # the linear products
    per_token_pair: int  # attention, two products

    def of(self, new_tokens: int, prefix: int) -> int:
        """Multiply-adds of a pass."""
        return new_tokens * (self.per_token + (prefix + new_tokens) * self.per_token_pair)


@dataclass(frozen=True)
class Manifest:
    """A bundle's, seen through one of its prompts. docs/bundle.md has the file, where every field is required.

    Attributes:
        maximum_length: tokens of one prompt, prefix included.
        passes: what each graph pass did.
        operators: what the graph is made of.
        prompts: at least one.
        chosen: index of the one that is meant; not in the file.
    """

    model: ModelSource
    precision: str
    maximum_length: int
    cost: Cost
    passes: dict[str, int]
    operators: dict[str, int]
    tools: dict[str, str]
    prompts: tuple[BundlePrompt, ...]
    files: dict[str, FileEntry] = field(default_factory=dict)
    schema: int = SCHEMA
    chosen: int = 0

    @property
    def prompt(self) -> BundlePrompt:
        """The one that is meant."""
        return self.prompts[self.chosen]

    def through(self, name: str | None, kinds: Kinds | None = None, bundle: str = "BUNDLE") -> Manifest:
        """The same, seen through the prompt of that name; without one through the first, of one of ``kinds`` if given.

        Args:
            bundle: what commands take for the bundle, for messages.

        Raises:
            BundleError: there is none.
        """
        fitting = [prompt.name for prompt in self.prompts if kinds is None or isinstance(prompt.template, kinds)]
        there = [prompt.name for prompt in self.prompts]
        chosen = next(iter(fitting), None) if name is None else name
        if chosen in fitting:
            return replace(self, chosen=there.index(chosen))
        if self.is_reward_model:
            why = (
                "which shows one response, and this needs both"
                if name is None or name in there
                else f"it has no prompt {name!r}; leave --template out"
            )
            raise BundleError(
                f"{self.model.id} ({self.precision}): a reward model reads conversations through its own chat template"
                f" alone, {why}"
            )
        if name is not None and name not in there:
            raise BundleError(f"{self.model.id} ({self.precision}): {no_such_prompt(name, there, bundle)}")
        for_scores = kinds is not None and ScoreTemplate in kinds
        why = of_another_kind(name, fitting, for_scores) if name else none_of_kind(there, for_scores, bundle)
        raise BundleError(f"{self.model.id} ({self.precision}): {why}")

    @property
    def prompts_by_kind(self) -> dict[str, list[str]]:
        """Names, by what a prompt is for: ``pairs``, ``scores``, ``safety`` or ``rewards``; the first one first."""
        found: dict[str, list[str]] = {}
        for one in self.prompts:
            found.setdefault(kind_of(one.template), []).append(one.name)
        return found

    @property
    def is_reward_model(self) -> bool:
        """Whether the head gives each response a reward: such a bundle has one prompt."""
        return _of_a_head(self.prompt)

    @property
    def by_rewards(self) -> bool:
        """Whether each response is read by itself and has a reward: a reward model's, or the log-odds of being safe."""
        return isinstance(self.prompt.template, RewardTemplate)

    @property
    def ties(self) -> bool:
        """Whether the judge may answer that neither response is better."""
        return isinstance(self.prompt.template, Template) and self.prompt.template.ties

    @property
    def pair_template(self) -> Template:
        """The template of a prompt that shows two responses. Raises BundleError for another."""
        if isinstance(self.prompt.template, RewardTemplate):
            raise BundleError(
                f"{self.name} is {self.prompt.template.called}, which reads each response by itself; this is for judges"
                " that are shown both"
            )
        if not isinstance(self.prompt.template, Template):
            raise BundleError(f"{self.name} scores single responses; use rlaif-fast score")
        return self.prompt.template

    @property
    def score_template(self) -> ScoreTemplate:
        """The template of a prompt that scores responses. Raises BundleError for another."""
        if not isinstance(self.prompt.template, ScoreTemplate):
            raise BundleError(f"{self.name} judges pairs; give a score template's name, as score-summary")
        return self.prompt.template

    @property
    def all_files(self) -> dict[str, FileEntry]:
        """Every file of the bundle but the manifest, by its path in the folder: those of all prompts too."""
        return {**self.files, **{prompt.path: prompt.file for prompt in self.prompts}}

    @property
    def maximum_tree(self) -> int:
        """Most new tokens S of a packed tree."""
        return TREE_PER_CONTEXT * self.maximum_length - len(self.prompt.prefix_ids)

    @property
    def name(self) -> str:
        """What messages call the judge."""
        return f"{self.model.id} ({self.precision}, {self.prompt.name})"

    @property
    def digest(self) -> str:
        """What tells the judge from any other: sha256 of all but the bundle's other prompts."""
        files = {name: self.files[name] for name in FILES if name in self.files}
        return _digest(replace(self, prompts=(self.prompt,), files=files)._rest().encode())

    def to_json(self) -> str:
        """The file's text: a line with the digest of all behind it, and that."""
        rest = self._rest()
        return _head(_digest(rest.encode())) + rest

    def _rest(self) -> str:
        raw = asdict(self)
        del raw["chosen"]
        for prompt in raw["prompts"]:
            prompt["template"].pop("reply", None)  # is in a bundle's text; here it would change every judge's digest
        return json.dumps(raw, indent=1, ensure_ascii=False, allow_nan=False).removeprefix("{\n") + "\n"

    @classmethod
    def from_json(cls, content: bytes, where: str) -> Manifest:
        """Raises BundleError, naming ``where``, for anything but a manifest of this schema, whole to the last bit."""
        try:
            raw = loads(content.decode())
            schema = raw["schema"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            reason = _short(f"{type(error).__name__}: {error}")
            raise BundleError(f"{where}: no manifest of a bundle ({reason})") from None
        if type(schema) is not int or schema != SCHEMA:
            raise BundleError(
                f"{where}: manifest schema {_short(repr(schema))}, this version reads {SCHEMA}; export it again"
            )
        rest = content[len(_head("")) + 64 :]
        if content != _head(_digest(rest)).encode() + rest:
            raise BundleError(f"{where}: changed since it was exported (its own digest differs); export it again")
        try:
            found = cls._from(raw)
            found._require_sense()
            return found
        except KeyError as error:
            raise BundleError(f"{where}: the manifest lacks {error}; export it again") from None
        except (TypeError, ValueError, AttributeError, TemplateError) as error:
            raise BundleError(f"{where}: the manifest is not valid ({_short(str(error))}); export it again") from None

    def _require_sense(self) -> None:
        """Raise ValueError where a value is of the right type and cannot be."""
        names = [prompt.name for prompt in self.prompts]
        for name, good in {
            "prompts": 0 < len(names) == len({*names}),
            "prompts of a reward model": len(names) == 1 or not any(map(_of_a_head, self.prompts)),
            "precision": self.precision in PRECISIONS,
            "maximum_length": 0 < self.maximum_length <= LONGEST_CONTEXT,
            "cost": self.cost.per_token > 0 <= self.cost.per_token_pair,
            "files": all(file.sensible for file in self.files.values()),
            **{f"prompt {prompt.name}": prompt.fits(self.maximum_length) for prompt in self.prompts},
        }.items():
            if not good:
                raise ValueError(f"{name} cannot be so")

    @classmethod
    def _from(cls, raw: dict[str, Any]) -> Manifest:
        return cls(
            model=record(ModelSource, raw["model"]),
            precision=typed(raw["precision"], "str"),
            maximum_length=typed(raw["maximum_length"], "int"),
            cost=record(Cost, raw["cost"]),
            passes=mapping(raw["passes"], "int"),
            operators=mapping(raw["operators"], "int"),
            tools=mapping(raw["tools"], "str"),
            prompts=tuple(BundlePrompt.found(prompt) for prompt in typed(raw["prompts"], "list")),
            files={name: record(FileEntry, entry) for name, entry in raw["files"].items() if _known(name)},
        )


def _of_a_head(prompt: BundlePrompt) -> bool:
    return isinstance(prompt.template, RewardTemplate) and not isinstance(prompt.template, GuardTemplate)


def _known(name: str) -> bool:
    if name not in (*FILES, *HEADS):
        raise ValueError(f"unknown file {name!r}")
    return True


def _head(digest: str) -> str:
    """The file's first two lines: what stands behind them has this sha256."""
    return f'{{\n "digest": "{digest}",\n'


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "…"

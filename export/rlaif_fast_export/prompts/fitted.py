"""A template fitted to a model: its chat template around it, its tokens for the labels and the head."""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers import Tokenizer

from rlaif_fast.errors import ExportError, TemplateError
from rlaif_fast.prompts.guards import Guard
from rlaif_fast.prompts.kinds import AnyTemplate, Askable
from rlaif_fast.prompts.reward_template import RewardTemplate
from rlaif_fast.prompts.score_template import ScoreTemplate
from rlaif_fast.prompts.template import Template
from rlaif_fast.prompts.tokenizer import PromptTokenizer
from rlaif_fast_export.prompts.chat import freeze
from rlaif_fast_export.prompts.conversation import freeze_conversation, freeze_guard
from rlaif_fast_export.prompts.token_ids import BareTokenizer, require_rows, require_text
from rlaif_fast_export.sources.failures import refused
from rlaif_fast_export.sources.families import maximum_length
from rlaif_fast_export.sources.source import Source


@dataclass(frozen=True)
class FittedPrompt:
    """What of a prompt depends on the model."""

    template: AnyTemplate
    tokenizer: PromptTokenizer
    tokenizer_json: str  # the model's own, unchanged
    label_ids: tuple[int, ...]  # of a reward model, the one row of its head
    prefix_ids: list[int]  # of the head, which is baked
    longest: int  # tokens a prompt may have

    @property
    def pair_template(self) -> Template:
        """The template of a judge of pairs."""
        assert isinstance(self.template, Template)
        return self.template


class Fitter:
    """Fits templates to a model, whose tokenizer is read and checked once."""

    def __init__(self, source: Source) -> None:
        """Raises ExportError where the tokenizer cannot be used."""
        self._source, self._fast = source, source.tokenizer()
        self._own = self._fast.backend_tokenizer.to_str()
        with refused(f"{source.name}: its tokenizer cannot be used"):
            self._tokenizer = PromptTokenizer(Tokenizer.from_str(self._own))
            self._bare = BareTokenizer.of(self._own, source.name)
            require_text(self._bare, self._tokenizer)

    def fit(self, template: Askable, *, chat: bool) -> FittedPrompt:
        """The prompt; a guard's is always the model's chat template's.

        Raises ExportError, and TemplateError where the head is too long, or a label is not one token behind the prompt.
        """
        source, tokenizer = self._source, self._tokenizer
        if source.is_reward_model or isinstance(template, RewardTemplate):
            raise ExportError(
                f"{source.name}: a reward model reads conversations through its own chat template alone; leave"
                f" {template.name} out"
            )
        if isinstance(template, Guard):
            return self._guard(template)
        if chat:
            if isinstance(template, ScoreTemplate):
                raise ExportError(f"template {template.name}: a score's prompt is not put into a chat template")
            template = freeze(template, self._fast, source.name)
        elif isinstance(template, Template):
            template = template.plain
        longest, prefix_ids = self._prefix_of(template)
        label_ids: tuple[int, ...]
        if isinstance(template, ScoreTemplate):
            template, label_ids = tokenizer.score_ids(template)
        else:
            label_ids = tokenizer.label_ids(template)
        prompt = template.render("a", "b") if isinstance(template, ScoreTemplate) else template.render("a", "b", "c")
        require_rows(self._bare, tokenizer, [*tokenizer.encode(prompt), *label_ids], source.config().vocab_size)
        return FittedPrompt(template, tokenizer, self._own, label_ids, prefix_ids, longest)

    def _guard(self, guard: Guard) -> FittedPrompt:
        """A safety model's question."""
        source, tokenizer = self._source, self._tokenizer
        template = freeze_guard(guard, self._fast, tokenizer, source.name)
        longest, prefix_ids = self._prefix_of(template)
        label_ids = tokenizer.label_ids(template)
        prompt = tokenizer.encode(template.render("a", "b"))
        require_rows(self._bare, tokenizer, [*prompt, *label_ids], source.config().vocab_size)
        return FittedPrompt(template, tokenizer, self._own, label_ids, prefix_ids, longest)

    def reward(self) -> FittedPrompt:
        """How a reward model reads a response. Raises ExportError."""
        source, tokenizer, config = self._source, self._tokenizer, self._source.config()
        template = freeze_conversation(self._fast, tokenizer, config.pad_token_id, source.name)
        longest, prefix_ids = self._prefix_of(template)
        require_rows(self._bare, tokenizer, tokenizer.encode(template.render("a", "b")), config.vocab_size)
        return FittedPrompt(template, tokenizer, self._own, (0,), prefix_ids, longest)

    def _prefix_of(self, template: AnyTemplate) -> tuple[int, list[int]]:
        """(tokens a prompt may have, those of the head). Raises ExportError, TemplateError."""
        longest, prefix_ids = maximum_length(self._source.config()), self._tokenizer.prefix_ids(template)
        if not prefix_ids and isinstance(template, RewardTemplate):
            raise ExportError(
                f"{self._source.name}: its chat template begins with the instruction itself; at least one token must"
                " stand before it"
            )
        if not prefix_ids:
            raise TemplateError(f"template {template.name}: its head must be at least one token long")
        if len(prefix_ids) >= longest:
            raise TemplateError(
                f"template {template.name}: its head has {len(prefix_ids):,} tokens, {self._source.name} takes"
                f" {longest:,} with the pair; make it shorter, or show fewer examples (--shots) or shorter ones",
                part=template.text.split("\n")[0],
            )
        return longest, prefix_ids


def fit(source: Source, template: Askable, *, chat: bool) -> FittedPrompt:
    """One template. Raises what :class:`Fitter` does."""
    return Fitter(source).fit(template, chat=chat)

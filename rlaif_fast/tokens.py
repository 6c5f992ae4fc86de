"""From prompts to token ids, with the model's own tokenizer and nothing read into the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tokenizers import Tokenizer

from rlaif_fast.errors import BundleError, TemplateError
from rlaif_fast.rating import DIGITS, SCORES, ScoreTemplate
from rlaif_fast.template import Template


class PromptTokenizer:
    """A Hugging Face fast tokenizer that treats text as text.

    The special tokens the model's own post-processor adds (a beginning-of-sequence token) are
    added as usual. A special token *spelled out* in the text, say ``<|im_end|>`` in a response,
    is tokenised as those characters: data cannot end the prompt or speak as the system.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True
        self._tokenizer = tokenizer

    @classmethod
    def from_file(cls, path: Path) -> PromptTokenizer:
        """Raises BundleError where the file is no tokenizer."""
        try:
            return cls(Tokenizer.from_file(str(path)))
        except Exception as error:  # the library raises bare Exception
            raise BundleError(f"{path}: no tokenizer ({error}), export the model again") from None

    def encode(self, text: str) -> list[int]:
        """Token ids of a prompt, special tokens of the post-processor included."""
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """:meth:`encode` of each text."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]

    def without_last(self, text: str, tokens: int) -> str:
        """``text`` without its last so many tokens, cut between characters; at least one character less."""
        spans = self._tokenizer.encode(text, add_special_tokens=False).offsets
        end: int = spans[-tokens][0] if tokens < len(spans) else 0
        return text[: min(end, len(text) - 1)]

    def label_ids(self, template: Template) -> tuple[int, int]:
        """The tokens that really follow the template's prompts when it answers with each label.

        Found in context: a SentencePiece tokenizer gives a label on its own a leading space
        token, the same for both labels, and every pair would come out at 0.5.

        Raises:
            TemplateError: a label is not exactly one token behind the prompt, or both are the same.
        """
        found: list[int] = []
        for label in template.labels:
            ids = {self._following(template.render(*texts), label, template) for texts in _CONTEXTS}
            if len(ids) != 1:
                raise TemplateError(f"template {template.name}: label {label!r} is a different token in each prompt")
            found += ids
        if found[0] == found[1]:
            raise TemplateError(f"template {template.name}: both labels are token {found[0]}, choose others")
        return found[0], found[1]

    def score_ids(self, template: ScoreTemplate) -> tuple[ScoreTemplate, tuple[int, ...]]:
        """The template with the labels this tokenizer reads scores by, and their tokens.

        Raises:
            TemplateError: neither the ten scores nor the digits they are written with are one token each.
        """
        prompts = [template.render(*texts[:2]) for texts in _CONTEXTS]
        if any(len(self.encode(prompt + "10")) == len(self.encode(prompt)) + 1 for prompt in prompts):
            labels, behind = SCORES, prompts
        else:
            labels, behind = DIGITS, [*prompts, *(prompt + "1" for prompt in prompts)]
        found: list[int] = []
        for label in labels:
            ids = {self._following(prompt, label, template) for prompt in behind}
            if len(ids) != 1:
                raise TemplateError(f"template {template.name}: label {label!r} is a different token in each prompt")
            found += ids
        if len(set(found)) != len(found):
            raise TemplateError(f"template {template.name}: two scores begin with the same token")
        return replace(template, labels=labels), tuple(found)

    def _following(self, prompt: str, label: str, template: Template | ScoreTemplate) -> int:
        before, after = self.encode(prompt), self.encode(prompt + label)
        if len(after) != len(before) + 1 or after[:-1] != before:
            raise TemplateError(
                f"template {template.name}: label {label!r} is not one token behind the prompt of this tokenizer"
                f" ({len(after) - common_length(before, after)} tokens differ), choose labels that are"
            )
        return after[-1]

    def prefix_ids(self, template: Template | ScoreTemplate) -> list[int]:
        """The tokens every prompt of the template begins with: its head, less what a text may merge with.

        Found by tokenising the head before texts that begin in as many ways as texts do. A prompt
        that begins otherwise all the same is still judged rightly: packing compares token by token
        and uses the part of the prefix that is common.
        """
        rest = ("y", "z") if isinstance(template, Template) else ("y",)
        prompts = [self.encode(template.render(start + " x", *rest)) for start in _STARTS]
        length = min(common_length(prompts[0], other) for other in prompts[1:])
        return prompts[0][:length]


_CONTEXTS = (("a", "b", "c"), ("Some text.", "One response.", "Another one!"), ("1\n", "2\n", "日本語"))
_STARTS = ("The", "a", "I", "9", "(", "\n", " ", "é", "日", "“", "<", "=", "\t", "_", "#")


def common_length(a: Sequence[int], b: Sequence[int]) -> int:
    """How many leading items two sequences share."""
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))  # noqa: B905

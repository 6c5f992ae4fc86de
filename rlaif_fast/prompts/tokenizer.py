"""From prompts to token ids, with the model's own tokenizer and nothing read into the text."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tokenizers import AddedToken, Tokenizer

from rlaif_fast.errors import BundleError, TemplateError
from rlaif_fast.prompts.kinds import AnyTemplate
from rlaif_fast.prompts.reward_template import GuardTemplate
from rlaif_fast.prompts.score_template import DIGITS, SCORES, ScoreTemplate
from rlaif_fast.prompts.template import Prompt, Template, control


class PromptTokenizer:
    """A Hugging Face fast tokenizer that treats text as text.

    The special tokens the model's own post-processor adds (a beginning-of-sequence token) are
    added as usual. An added token *spelled out* in the text, say ``<|im_end|>`` or ``<think>`` in a response,
    is tokenised as those characters, whether or not the tokenizer calls it special: data cannot end the prompt,
    speak as the system or open a thought. Only what a :class:`Prompt` has as control tokens is read as such, and
    nothing is added to a prompt that has some. Runs of blanks are words of a language like others, also where a
    tokenizer has them among its added tokens (Pythia, Phi, Gemma): those are read as the model learned them.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True
        tokenizer.add_special_tokens(  # what is called special stays text; its number and its flags stay as they are
            [
                AddedToken(token.content, special=True, **_flags(token))
                for token in tokenizer.get_added_tokens_decoder().values()
                if not (token.special or is_blank(token.content))
            ]
        )
        self._tokenizer = tokenizer
        self._marks: dict[str, str] = {}  # control token -> what stands for it in a text
        self._control_ids: dict[int, int] = {}  # token of a mark -> the control token

    @classmethod
    def from_file(cls, path: Path) -> PromptTokenizer:
        """Raises BundleError where the file is no tokenizer."""
        return cls.from_bytes(path.read_bytes(), str(path))

    @classmethod
    def from_bytes(cls, content: bytes, where: str) -> PromptTokenizer:
        """From what tokenizer.json holds. Raises BundleError, naming ``where``, where it is no tokenizer."""
        with _failing(f"{where}: no tokenizer"):
            return cls(Tokenizer.from_buffer(content))

    def encode(self, text: str) -> list[int]:
        """Token ids of a prompt, special tokens of the post-processor included unless it has control tokens.

        Raises:
            TemplateError: a control token of the prompt is none of this tokenizer.
        """
        return self.encode_many([text])[0]

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """:meth:`encode` of each text."""
        bare = [isinstance(text, Prompt) and bool(text.controls) for text in texts]
        if len(set(bare)) > 1:
            return [self.encode(text) for text in texts]
        marked = [self._marked(text) for text in texts]
        with _failing("the tokenizer fails on a prompt"):
            encodings = self._tokenizer.encode_batch_fast(marked, add_special_tokens=not any(bare))
        if not any(bare):
            return [encoding.ids for encoding in encodings]
        return [[self._control_ids.get(i, i) for i in encoding.ids] for encoding in encodings]

    def _marked(self, text: str) -> str:
        """``text`` with a mark in the place of each of its control tokens."""
        if not isinstance(text, Prompt):
            return text
        parts, at = [], 0
        for begin, end in text.controls:
            parts += [text[at:begin], self._mark(text[begin:end])]
            at = end
        return "".join([*parts, text[at:]])

    def _mark(self, token: str) -> str:
        """What stands for a control token: a token of its own, of a name no text can have foreseen.

        The whole prompt is tokenised in one piece, as the model's own tooling does it: whether a word
        begins a prompt or stands behind a control token may make another token of it.
        """
        if token not in self._marks:
            added = self._tokenizer.get_added_tokens_decoder().get(self._tokenizer.token_to_id(token))
            if added is None:
                raise TemplateError(f"the template's {token!r} is no control token of this tokenizer", control(token))
            mark, number = self._new_token(_flags(added))
            while self._tokenizer.model.id_to_token(number) is not None:  # numbers were left out: it took one in use
                mark, number = self._new_token(_flags(added))
            self._control_ids[number] = self._tokenizer.token_to_id(token)
            self._marks[token] = mark
        return self._marks[token]

    def _new_token(self, flags: dict[str, bool]) -> tuple[str, int]:
        name = secrets.token_hex(16)
        self._tokenizer.add_tokens([AddedToken(name, special=False, **flags)])
        return name, self._tokenizer.token_to_id(name)

    def without_last(self, text: str, tokens: int) -> str:
        """``text`` without its last so many tokens, cut between characters; at least one character less."""
        with _failing("the tokenizer fails on an instruction"):
            spans = self._tokenizer.encode(text, add_special_tokens=False).offsets
        end: int = spans[-tokens][0] if tokens < len(spans) else 0
        return text[: min(end, len(text) - 1)]

    def label_ids(self, template: Template | GuardTemplate) -> tuple[int, ...]:
        """The tokens that really follow the template's prompts when it answers with each label.

        Found in context: a SentencePiece tokenizer gives a label on its own a leading space
        token, the same for both labels, and every pair would come out at 0.5.

        Raises:
            TemplateError: a label is not exactly one token behind the prompt, or two are the same.
        """
        found: dict[int, str] = {}
        if isinstance(template, Template):
            prompts = [template.render(*texts) for texts in _CONTEXTS]
        else:
            prompts = [template.render(*texts[:2]) for texts in _CONTEXTS]
        for label in template.labels:
            ids = {self._following(prompt, label, template) for prompt in prompts}
            if len(ids) != 1:
                raise TemplateError(f"template {template.name}: label {label!r} is a different token in each prompt")
            (number,) = ids
            if number in found:
                raise TemplateError(
                    f"template {template.name}: labels {found[number]!r} and {label!r} are both token {number}, choose"
                    " others"
                )
            found[number] = label
        return tuple(found)

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

    def _following(self, prompt: str, label: str, template: AnyTemplate) -> int:
        if (found := self._single(prompt, label)) is not None:
            return found
        if prompt.endswith(" ") and self._single(prompt.rstrip(" "), label) is not None:
            raise TemplateError(
                f"template {template.name}: label {label!r} is not one token after the blank that the prompt ends"
                " with; take that blank away",
                part=template.text.split("\n")[-1],
            )
        before, after = self.encode(prompt), self.encode(prompt + label)
        raise TemplateError(
            f"template {template.name}: label {label!r} is not one token after the prompt with this tokenizer"
            f" ({len(after) - common_length(before, after)} tokens differ), choose labels that are"
        )

    def _single(self, prompt: str, label: str) -> int | None:
        """The token that the label is behind the prompt; None where it is several, or merges with it."""
        before, after = self.encode(prompt), self.encode(prompt + label)
        return after[-1] if len(after) == len(before) + 1 and after[:-1] == before else None

    def prefix_ids(self, template: AnyTemplate) -> list[int]:
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


@contextmanager
def _failing(what: str) -> Iterator[None]:
    """Errors of the library as a BundleError: it raises bare Exception, and where its Rust panics not even that."""
    try:
        yield
    except BaseException as error:
        others = isinstance(error, MemoryError) or not isinstance(error, Exception)
        if others and type(error).__name__ != "PanicException":
            raise
        reason = " ".join(str(error).split())[:300]
        raise BundleError(f"{what} ({reason}), export the model again") from None


def is_blank(token: str) -> bool:
    """Whether an added token is a run of blanks (▁ is SentencePiece's), not the name of something."""
    return not token.replace("▁", " ").strip()


def _flags(token: AddedToken) -> dict[str, bool]:
    return {name: getattr(token, name) for name in ("single_word", "lstrip", "rstrip", "normalized")}


def common_length(a: Sequence[int], b: Sequence[int]) -> int:
    """How many leading items two sequences share."""
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))  # noqa: B905

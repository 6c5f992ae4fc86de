"""How a model that reads one response is shown it: its own chat template frozen around an instruction and a response.

A reward stands behind the whole conversation, without a prompt for an answer, where the model's own class reads it: at
the last token that is not its padding. A safety model's template writes a question around the conversation, of what it
is given as an argument; the first token of the answer is read.

What the template does to a text (it may trim blanks) is found by trying, and so is what it looks for in one: every word
that stands in its source is tried. A text by which it would rewrite itself is refused when it is judged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from jinja2 import Environment

from rlaif_fast.errors import ExportError
from rlaif_fast.prompts.guards import Guard
from rlaif_fast.prompts.reward_template import NAME, PART, PLACES, TRIMMED, GuardTemplate, Place, RewardTemplate
from rlaif_fast.prompts.template import control, written
from rlaif_fast.prompts.tokenizer import PromptTokenizer
from rlaif_fast_export.prompts.chat import control_names, has_chat_template, with_controls

_SHOWN = ("Instruction-5c1d", "Response-5c1d")  # of which no template has any
_BLANKS = ("  x", "x  ", "\n\nx", "x\n\n", " \n x \n ", "\tx\t", "\n x", "x \n")
# No name of a control token is among them: transformers reads it as one, and a judge must not.
_TEXTS = (
    "A text.", "begins\n\nand ends", "{{ bos_token }} {% raw %}{instruction} {response}", "日本語 é 😀 1",
    "<b>&amp; \"quoted\" 'text'</b>", "long " * 2000,
)  # fmt: skip
_TURNS = ("user", "assistant", "user")
_EMPTY = ""
_NEAR = 3  # words of the template's source so near each other are tried together


@dataclass(frozen=True)
class Conversation:
    """A model's chat template, and what it is asked for beside the conversation.

    Attributes:
        fast: the model's tokenizer, of transformers.
        model: its name, for messages.
        arguments: of ``apply_chat_template``.
        question: a user's turn behind the conversation, or none.
    """

    fast: Any
    model: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    question: str = ""

    def __post_init__(self) -> None:
        """Raises ExportError where there is no chat template."""
        if not has_chat_template(self.fast):
            raise ExportError(
                f"{self.model}: its tokenizer has no chat template, which says how it reads a response; take the"
                " tokenizer files of the published model"
            )

    @property
    def source(self) -> str:
        """The template's own text."""
        return str(self.fast.get_chat_template())

    def written(self, texts: Sequence[str]) -> str:
        """What the template writes of an instruction and a response. Raises ExportError where it fails."""
        return str(self._chat(texts, tokenize=False))

    def tokens(self, texts: Sequence[str]) -> list[int]:
        """As transformers reads them."""
        return list(self._chat(texts, tokenize=True, return_dict=False))

    def _chat(self, texts: Sequence[str], **more: Any) -> Any:
        said = [*texts, self.question] if self.question else texts
        messages = [{"role": role, "content": text} for role, text in zip(_TURNS, said, strict=False)]
        try:
            return self.fast.apply_chat_template(messages, **self.arguments, **more)
        except Exception as error:  # the model's own code, run in Jinja's sandbox: anything
            reason = " ".join(str(error).split())[:200]
            raise ExportError(
                f"{self.model}: its chat template failed on a user's and an assistant's turn ({reason})"
            ) from error


def freeze_conversation(fast: Any, tokenizer: PromptTokenizer, padding: int | None, model: str) -> RewardTemplate:
    """The template of the reward model that ``fast``, a tokenizer of transformers, belongs to.

    Args:
        tokenizer: the same, as prompts are read with.
        padding: the token that the model's class takes for padding, of its config.json.

    Raises:
        ExportError: there is no chat template, or it does more than write something around texts.
    """
    chat = Conversation(fast, model)
    return _unpadded(chat, tokenizer, _frozen(chat, NAME), padding)


def freeze_guard(guard: Guard, fast: Any, tokenizer: PromptTokenizer, model: str) -> GuardTemplate:
    """The template of a safety model's question, as its own chat template writes it.

    Raises:
        ExportError: as :func:`freeze_conversation`; or the template is not that of such a model.
    """
    arguments = {**guard.arguments, "add_generation_prompt": guard.turn}
    chat = Conversation(fast, model, arguments, guard.question)
    read = {one.value for one in Environment().lexer.tokenize(chat.source) if one.type == "name"}
    lacking = [name for name in guard.arguments if name not in read]
    asked = chat.written(_SHOWN)
    labels = [label.strip() for label in guard.labels]
    if lacking or not all(re.search(rf"\b{re.escape(label)}\b", asked) for label in labels):
        why = f"does not look at {lacking[0]}" if lacking else f"does not ask for {' or '.join(labels)}"
        raise ExportError(
            f"{model}: its chat template {why}, so {guard.name} is not for this model; it is for {guard.models}"
        )
    found = _unpadded(chat, tokenizer, _frozen(chat, guard.name), None)
    text = found.text + written(with_controls(guard.reply, control_names(fast)), PART)
    frozen = GuardTemplate(found.name, text, found.instruction, found.response, guard.labels)
    begun = fast(chat.written(_SHOWN) + guard.reply, add_special_tokens=False).input_ids
    if tokenizer.encode(frozen.render(*_SHOWN)) != begun:
        raise ExportError(f"{model}: its tokenizer reads {guard.reply!r} behind the prompt in another way than here")
    return frozen


def _frozen(chat: Conversation, name: str) -> RewardTemplate:
    frozen = _around(chat, name)
    places = [_place(chat, frozen, which) for which in range(len(PLACES))]
    return replace(frozen, instruction=places[0], response=places[1])


def _around(chat: Conversation, name: str) -> RewardTemplate:
    """What the template writes around two texts."""
    whole = chat.written(_SHOWN)
    parts = re.split("|".join(_SHOWN), whole)
    if re.findall("|".join(_SHOWN), whole) != list(_SHOWN):
        raise ExportError(
            f"{chat.model}: its chat template does not write an instruction and then its response, each once"
        )
    names = control_names(chat.fast)
    before, between, behind = (written(with_controls(part, names), PART) for part in parts)
    return RewardTemplate(name, f"{before}{{instruction}}{between}{{response}}{behind}")


def _place(chat: Conversation, frozen: RewardTemplate, which: int) -> Place:
    """What the template does to the text in a place, 0 or 1."""

    def same(place: Place, texts: Iterable[str]) -> bool:
        return all(_agrees(chat, _with(frozen, which, place), _texts(which, text)) for text in texts)

    tried = (Place(left, right) for left, right in product(TRIMMED, TRIMMED))
    place = next((place for place in tried if same(place, _BLANKS)), None)
    if place is None or not same(place, _TEXTS):
        raise ExportError(
            f"{chat.model}: its chat template rewrites the {PLACES[which]} in a way that cannot be frozen"
        )
    refused = [word for word in _words(chat) if not same(place, (f"x {word} x", f"{word}x", f"x{word}"))]
    alone = {*refused}
    refused += [a for a, b in _near(chat) if not alone & {a, b} and not same(place, (f"{a}x{b}", f"{a}\nx\n{b}x"))]
    if not same(place, [_EMPTY]):
        refused.append(_EMPTY)
    return replace(place, refused=tuple(dict.fromkeys(refused)))


def _with(frozen: RewardTemplate, which: int, place: Place) -> RewardTemplate:
    return replace(frozen, instruction=place) if which == 0 else replace(frozen, response=place)


def _texts(which: int, text: str) -> tuple[str, str]:
    return (text, _SHOWN[1]) if which == 0 else (_SHOWN[0], text)


def _agrees(chat: Conversation, frozen: RewardTemplate, texts: tuple[str, str]) -> bool:
    try:
        return str(frozen.render(*texts)) == chat.written(texts)
    except ExportError:  # it refuses the text itself
        return False


def _words(chat: Conversation) -> list[str]:
    """The strings in the template's source, without blanks around them: what it can look for in a text."""
    tokens = Environment().lexer.tokenize(chat.source)
    return list(dict.fromkeys(word for one in tokens if one.type == "string" and (word := str(one.value).strip())))


def _near(chat: Conversation) -> list[tuple[str, str]]:
    words = _words(chat)
    return [(a, b) for n, a in enumerate(words) for b in words[n + 1 : n + 1 + _NEAR]]


def _unpadded(
    chat: Conversation, tokenizer: PromptTokenizer, frozen: RewardTemplate, padding: int | None
) -> RewardTemplate:
    """Without the padding that the template itself ends with: the token before it is the one that is read.

    Holds the frozen conversation to the model's own tooling, token for token.
    """
    texts = [(a, b) for a, b in product(_TEXTS, _TEXTS) if _TEXTS[0] in (a, b)]
    texts += [pair for blank in _BLANKS for pair in ((blank, _TEXTS[0]), (_TEXTS[0], blank))]
    wanted = [_read(chat.tokens(pair), padding) for pair in texts]
    name = None if padding is None else chat.fast.convert_ids_to_tokens(padding)
    end = control(name) if name in {token.content for token in chat.fast.added_tokens_decoder.values()} else None
    while end is not None and frozen.text.endswith(end):
        frozen = replace(frozen, text=frozen.text.removesuffix(end))
    if [tokenizer.encode(frozen.render(*pair)) for pair in texts] != wanted:
        raise ExportError(
            f"{chat.model}: its chat template cannot be frozen, its tokens differ from apply_chat_template's for some"
            " texts"
        )
    if frozen.text.endswith("{response}") and padding is not None and end is None:
        raise ExportError(
            f"{chat.model}: a response may end with its padding, token {padding} ({name!r}), an ordinary one; correct"
            " pad_token_id in config.json"
        )
    return frozen


def _read(ids: Sequence[int], padding: int | None) -> list[int]:
    """The tokens up to the one that transformers' classes read: the last that is not padding."""
    last = next((n for n in reversed(range(len(ids))) if ids[n] != padding), 0)
    return list(ids[: last + 1])

"""A model's own chat template, frozen: what it writes around a user's message becomes part of the prompt's text.

The judge's whole prompt, few-shot examples and ending included, is one message of the user; the answer, of which
the first token is judged, is the assistant's. Templates that can think aloud are asked not to: there is one token to
answer with, and behind an opened thought it would be the thought's first, no label.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from tokenizers import Tokenizer

from rlaif_fast.errors import ExportError
from rlaif_fast.prompts.template import Prompt, Template, written
from rlaif_fast.prompts.tokenizer import PromptTokenizer

# Texts that a template which trims, escapes or looks into a message treats otherwise than plain ones. No name of a
# control token is among them: transformers reads it as one, and a judge must not.
_TRIALS = (
    ("A text.", "One response.", "Another one!"),
    ("  begins and ends with blanks \n", "\n\nlines\n", "\ttab\t"),
    ("{{ bos_token }} {% raw %}", "{instruction} {first}", "<b>&amp; \"quoted\" 'text'</b>"),
    ("日本語 é 😀", "1", "2"),
    ("/think", "/no_think", "<<SYS>>\nx\n<</SYS>>"),  # what templates look for in a message
    ("tool tools system", "tool_call function", "think thinking reasoning"),
    ("long " * 4000, "1", "2"),
)
# How templates are asked not to think, the most usual first; what a template does not know it does not look at.
_SWITCHES: tuple[dict[str, Any], ...] = (
    {"enable_thinking": False}, {"thinking": False}, {"think": False}, {"reasoning": False},
    {"enable_reasoning": False}, {"thinking_mode": "off"}, {"thinking_mode": "disabled"}, {"thinking_budget": 0},
    {"reasoning_effort": "none"}, {"reasoning_effort": "off"}, {"disable_thinking": True}, {"no_think": True},
)  # fmt: skip
# A tag about thinking, whatever its brackets and its other words are (not one that says there is none: <no_think>).
_THOUGHT = r"(?:think|thought|reason|reflection|analysis|monologue|scratch_?pad|(?<![a-z])cot(?![a-z]))"
_BEGIN, _IN, _END = r"[<\[◁‹][|｜]?", r"[^<>\[\]◁▷‹›\n]*", r"[>\]▷›]"
_CLOSES = (
    rf"{_BEGIN}(?:/|end){_IN}?{_THOUGHT}{_IN}{_END}|{_BEGIN}{_IN}?{_THOUGHT}{_IN}?[_▁ ]end[|｜]?{_END}"
    r"|<\|channel\|>final|<channel\|>|<\|end\|>"
)
_OPENS = (
    rf"{_BEGIN}(?!no_?think){_IN}?{_THOUGHT}{_IN}{_END}"
    r"|<\|channel\|?>(?:analysis|thought)|<unused\d+>thought|^#+ *(?:think|thought|reason)"
)
_TURNS = re.compile(f"{_CLOSES}|(?P<opens>{_OPENS})", re.IGNORECASE | re.MULTILINE)


def has_chat_template(tokenizer: Any) -> bool:
    """Whether the model comes with one."""
    return bool(tokenizer.chat_template)


def freeze(template: Template, tokenizer: Any, model: str) -> Template:
    """``template`` as the message of a user to the model that ``tokenizer`` (of transformers) belongs to.

    The beginning of the answer, where the template has one, stands in the model's turn.

    Raises:
        ExportError: there is no chat template, or it does more than write something around a message.
    """
    if not has_chat_template(tokenizer):
        raise ExportError(f"{model}: its tokenizer has no chat template; leave --chat out, or give --chat auto")
    if template.head.controls or template.render("", "", "").controls:
        raise ExportError(f"template {template.name}: names control tokens itself, it cannot be put into a chat")
    names = control_names(tokenizer)
    # Held to transformers without the names a few-shot example may spell out: it would read them as control tokens.
    innocent = replace(template, text=names.sub("-", template.text), reply="")
    switch = _not_thinking(innocent, tokenizer, model)
    _check(innocent, _put_into_chat(innocent, tokenizer, names, model, switch), tokenizer, model, switch)
    return _put_into_chat(template, tokenizer, names, model, switch)


def _not_thinking(template: Template, tokenizer: Any, model: str) -> dict[str, Any]:
    """The switch that leaves no thought open where the answer begins. Raises ExportError where there is none."""
    shown = template.render("INSTRUCTION", "FIRST", "SECOND")
    for more in ({}, *_SWITCHES):
        switch = {**_SWITCHES[0], **more}
        try:
            behind = str(_chat(tokenizer, shown, model, **switch)).rpartition(shown.strip())[2]
        except ExportError:
            if not more:
                raise
            continue  # a value this template does not take
        turns = list(_TURNS.finditer(behind))
        if not (turns and turns[-1]["opens"]):
            return switch
    raise ExportError(
        f"{model}: its chat template opens a thought ({turns[-1][0]}) and has no known switch that closes it, so the"
        " model would not answer at once; judge it with --chat no"
    )


def _put_into_chat(
    template: Template, tokenizer: Any, names: re.Pattern[str], model: str, switch: dict[str, Any]
) -> Template:
    shown = template.render("INSTRUCTION", "FIRST", "SECOND")
    around = str(_chat(tokenizer, shown, model, **switch))
    message = shown if around.count(shown) == 1 else shown.strip()  # some trim what the user says
    if around.count(message) != 1:
        raise ExportError(f"{model}: its chat template rewrites a message; judge it with --chat no")
    before, after = (with_controls(part, names) for part in around.split(message))
    text = template.text if message == shown else template.text.strip()
    text = written(before) + text + written(after) + template.reply
    return replace(template, name=f"{template.name}-chat", text=text, reply="")


def _chat(tokenizer: Any, message: str, model: str, **more: Any) -> Any:
    messages = [{"role": "user", "content": str(message)}]
    try:
        return tokenizer.apply_chat_template(messages, add_generation_prompt=True, **{"tokenize": False, **more})
    except Exception as error:  # the model's own code, run in Jinja's sandbox: anything
        reason = " ".join(str(error).split())[:200]
        raise ExportError(f"{model}: its chat template failed ({reason}); judge it with --chat no") from error


def control_names(tokenizer: Any) -> re.Pattern[str]:
    """Matches the tokens that no ordinary text is made of; the longest first, as tokenizers do."""
    names = [token.content for token in tokenizer.added_tokens_decoder.values() if token.content.strip()]
    return re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))) or r"(?!)")


def with_controls(text: str, names: re.Pattern[str]) -> Prompt:
    return Prompt(text, tuple(match.span() for match in names.finditer(text)))


def _check(template: Template, frozen: Template, tokenizer: Any, model: str, switch: dict[str, Any]) -> None:
    """Hold the frozen prompt to the model's own tooling, token for token."""
    ours = PromptTokenizer(Tokenizer.from_str(tokenizer.backend_tokenizer.to_str()))
    for texts in _TRIALS:
        expected = list(_chat(tokenizer, template.render(*texts), model, tokenize=True, return_dict=False, **switch))
        if ours.encode(frozen.render(*texts)) != expected:
            raise ExportError(
                f"{model}: its chat template cannot be frozen, its tokens differ from apply_chat_template's for some"
                " texts; judge it with --chat no"
            )

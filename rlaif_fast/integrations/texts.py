"""Texts as other libraries hand them over: a policy may answer with nothing, but with text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rlaif_fast.errors import PairError
from rlaif_fast.schemas.chat_text import asked_in
from rlaif_fast.schemas.prompt_split import asked


def checked(text: Any, where: str) -> str:
    """A text, which may be empty. Raises PairError where it is none, or cannot be written."""
    if not isinstance(text, str):
        raise PairError(f"{where}: a {type(text).__name__} among the texts; render conversations to text first")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PairError(f"{where}: a lone surrogate in a text, not valid Unicode") from None
    return text


def said(prompt: Any, completion: Any, where: str) -> tuple[str, str]:
    """(instruction, response) of a prompt and a completion: texts, or messages as TRL's conversations have them.

    A prompt that is text in a chat template is what it asks.

    Raises:
        PairError: what cannot be read, or says more than text can.
    """
    if isinstance(prompt, str) and isinstance(completion, str):
        return asked_in(checked(prompt, where)), checked(completion, where)
    try:
        question, (answer,) = asked(prompt, _kept(completion), ("prompt", "completion"))
    except ValueError as error:
        raise PairError(f"{where}: {error}") from None
    return checked(question, where), checked(answer, where)


def _kept(completion: Any) -> Sequence[Any]:
    return [list(completion) if isinstance(completion, tuple) else completion]

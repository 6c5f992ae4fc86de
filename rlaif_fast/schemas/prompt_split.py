"""Question and responses told apart: each is shown once, also where a data set repeats one in the other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from rlaif_fast.schemas.cells import turn_texts
from rlaif_fast.schemas.chat_frames import TEMPLATE, unframed
from rlaif_fast.schemas.messages import Turn, rendered, split_system, turns_of

_ASKS = re.compile(r"\s*(?:Human|User): ?")
_ANSWERS = re.compile(r"\n\s*Assistant:")


def asked(prompt: Any, responses: Sequence[Any], names: Sequence[str], repeats: bool = False) -> tuple[Any, list[Any]]:
    """(the instruction, the responses), as text where they are conversations.

    What is neither text nor messages stays as it is, for the contract's own check.

    Args:
        prompt: text or messages; None where the responses begin with it.
        names: of the prompt and the responses, for messages.
        repeats: whether responses that are text may begin with the prompt.

    Raises:
        ValueError: messages that cannot be read, or no prompt to be found.
    """
    response_names = names[1:]
    prompt, responses = _unwrapped(prompt, responses, names)
    sides = [turns_of(text, name) for text, name in zip(responses, response_names, strict=True)]
    if any(side is None for side in sides):
        if any(sides):
            _check_alone(responses, sides, response_names, repeats)
        texts = [rendered(side) if side else text for text, side in zip(responses, sides, strict=True)]
        return _of_texts(prompt, texts, names, repeats)
    return _of_turns(prompt, [side for side in sides if side is not None], names)


def _check_alone(
    responses: Sequence[Any], sides: Sequence[list[Turn] | None], names: Sequence[str], strict: bool
) -> None:
    """Raises ValueError where a text stands beside messages, unless both are items of a list of responses."""
    for text, side, name in zip(responses, sides, names, strict=True):
        if isinstance(text, list) and side is None:
            raise ValueError(f"{name} is not a list of messages with a role and a text as content")
        if isinstance(text, str) and (strict or side):
            raise ValueError(f"one of {_listed(names)} is text, the other a list of messages")


def _of_texts(prompt: Any, texts: list[Any], names: Sequence[str], repeats: bool) -> tuple[Any, list[Any]]:
    strings = all(isinstance(text, str) for text in texts)
    turns = turns_of(prompt, names[0])
    if turns and turns[-1].role == "assistant" and any(_flat(text) == turns[-1].key[1] for text in texts):
        raise ValueError(f"{names[0]} ends with a response that is to be judged")
    question = rendered(turns) if turns else prompt
    dialogue = _dialogue(texts) if strings and (repeats or question in (None, "")) else None
    if dialogue is not None:
        said = " ".join(dialogue[0].split())
        if question in (None, "") or (isinstance(question, str) and within(" ".join(question.split()), said)):
            return dialogue
        repeated = isinstance(question, str) and _end_of(question, texts[0]) is not None
        if not repeated and all(map(_is_hh, texts)):  # else a chat may be what was asked for
            raise ValueError(
                f"{names[0]} is no part of the dialogue that {_listed(names[1:])} begin with; take one away"
            )
    if repeats and strings and isinstance(question, str):
        if (framed := unframed(question, texts)) is not None:
            return question, framed
        for shown in dict.fromkeys([question, *([turns[-1].text] if turns else [])]):
            ends = [_end_of(shown, text) for text in texts]
            if all(end is not None for end in ends):
                return question, [_behind(text, end) for text, end in zip(texts, ends, strict=True)]
        if all(TEMPLATE.match(text) and within(_flat(question), _flat(text)) for text in texts):
            raise ValueError(
                f"{_listed(names[1:])} begin with {names[0]} in a chat template that is not known here; take it away"
            )
    return question, texts


def _behind(text: str, end: int | None) -> str:
    """What follows a prompt: without blank lines, and with the indentation of what may be code."""
    rest = text[end:]
    lines = re.match(r"(?:[ \t]*\r?\n)+(?=[ \t]{2}|\t)", rest)
    return rest[lines.end() :] if lines else rest.lstrip()


def _unwrapped(prompt: Any, responses: Sequence[Any], names: Sequence[str]) -> tuple[Any, list[Any]]:
    """Texts that are lists of one text each (LMSYS's turns, as lists or as text in a cell) without the lists.

    Raises:
        ValueError: lists of several: each response answers all turns.
    """
    lists = [turn_texts(value) for value in (prompt, *responses)]
    sizes = [len(found) for found in lists if found is not None]
    if len(sizes) < len(lists):
        return prompt, list(responses)
    if max(sizes) > 1:
        raise ValueError(
            f"{_listed(names)} are lists of {max(sizes)} turns, of which only a last one can be judged; write messages"
        )
    question, *texts = [text for found in lists if found is not None for text in found]
    return question, texts


def is_dialogue(text: Any) -> bool:
    """Whether a text is ``Human: … Assistant: …`` by turns, as hh-rlhf has them, perhaps behind a preface."""
    return isinstance(text, str) and (bool(_ASKS.match(text) and _ANSWERS.search(text)) or _is_hh(text))


def _is_hh(text: str) -> bool:
    asks = re.search(r"(?:^|\n)\s*Human: ", text)
    return asks is not None and "\n\nAssistant:" in text[asks.end() :]


def begin_alike(responses: Sequence[Any]) -> bool:
    """Whether the responses hold their prompt themselves."""
    try:
        question, _ = asked(None, responses, ["prompt", *("response" for _ in responses)])
    except ValueError:
        return False
    return question is not None


def _dialogue(texts: list[str]) -> tuple[str, list[str]] | None:
    """Dialogues up to the last ``Assistant:`` of their common beginning, and what follows in each."""
    if not all(map(is_dialogue, texts)):
        return None
    least, most = min(texts), max(texts)  # in the order of texts: what these have in common, all have
    common = next((at for at, (a, b) in enumerate(zip(least, most, strict=False)) if a != b), len(least))
    markers = list(_ANSWERS.finditer(texts[0][:common]))
    if not markers:
        return None
    return texts[0][: markers[-1].start()].strip(), [text[markers[-1].end() :].strip() for text in texts]


def _end_of(prompt: str, text: str) -> int | None:
    """Where ``prompt`` ends in a text that repeats it and goes on; None where it does not, whatever the blanks.

    A short one may be an answer's own first word ("Hello" to "Hello"), unless a line ends behind it.
    """
    at, words = 0, prompt.split()
    for number, word in enumerate(words):
        start = at
        while at < len(text) and text[at].isspace():
            at += 1
        if (number and at == start) or not text.startswith(word, at):
            return None
        at += len(word)
    if not words or (text[at : at + 1].isalnum() and (words[-1][-1].isalnum())):
        return None
    if len(words) > 2 and words[-1][-1].isalnum() and re.match(r"[.?!]\s", text[at:]):
        return at + 1  # the prompt without its full stop
    if text[at : at + 1] and not text[at].isspace() and not text[at].isalnum():
        return None  # the text's own punctuation
    sure = len(words) > 2 or words[-1][-1] in "?:" or re.match(r"[ \t]*\r?\n", text[at:])
    return at if sure else None


def _of_turns(prompt: Any, sides: list[list[Turn]], names: Sequence[str]) -> tuple[str, list[str]]:
    system, question = _prompt(prompt, names[0])
    systems, others = zip(*map(split_system, sides), strict=True)
    given = [found for found in systems if found]
    if any(_keys(found) != _keys(given[0]) for found in given):
        raise ValueError(f"{_listed(names[1:])} begin with different system turns")
    for turn in given[0] if given else ():
        if not any(turn.key == other.key for other in system):
            system.append(turn)
    if (
        len(question) > 1
        and question[-1].role == "assistant"
        and any(_keys(side) == _keys(question) for side in others)
    ):
        question = []  # a whole conversation, named as its prompt too
    opened = bool(question) and all(_begins(side, question) for side in others)
    repeated = next((side[: len(question)] for side in others if _begins(side, question)), question)
    bare = [side[len(question) :] if _begins(side, question) else side for side in others]
    before: list[Turn] = []
    if len(bare) > 1 or not question or bare[0][0].role == "user":  # a single response to a prompt is all of it
        bare, before = _shared(bare)
    # Its turns as the responses spell them: a prompt column has blanks at its end. One that was taken off the
    # beginning may be quoted behind it, which is another turn.
    question = [*repeated, *before] if opened else _joined(repeated, before)
    if not question and not system:
        raise ValueError(f"has no prompt, and {_listed(names[1:])} begin with no message in common")
    if question and question[-1].role == "assistant" and any(side[-1].key == question[-1].key for side in bare):
        raise ValueError(f"{names[0]} ends with a response that is to be judged")
    for side, name in zip(bare, names[1:], strict=True):
        if not side or side[0].role == "user":
            raise ValueError(f"{name} has a user's turn where its response should begin")
    if question:  # a prompt's text may begin with the system's
        said = question[0].key[1]
        system = [turn for turn in system if not (said.startswith(turn.key[1]) and within(turn.key[1], said))]
    return rendered([*system, *question]), [rendered(side) for side in bare]


def _prompt(prompt: Any, name: str) -> tuple[list[Turn], list[Turn]]:
    """(system turns, other turns) of a prompt."""
    if prompt is None or prompt == "" or prompt == []:
        return [], []
    turns = turns_of(prompt, name)
    if turns is None and isinstance(prompt, list):
        raise ValueError(f"{name} is not a list of messages with a role and a text as content")
    if turns is None and not isinstance(prompt, str):
        raise ValueError(f"{name} is neither text nor messages")
    return split_system(turns if turns is not None else [Turn("user", prompt)])


def _shared(sides: list[list[Turn]]) -> tuple[list[list[Turn]], list[Turn]]:
    """(what follows the common beginning in each, the common beginning); the last turn of each is its response."""
    shared, most = 0, min(map(len, sides)) - 1
    while shared < most and len({side[shared].key for side in sides}) == 1:
        shared += 1
    return [side[shared:] for side in sides], sides[0][:shared]


def _joined(question: list[Turn], before: list[Turn]) -> list[Turn]:
    """The prompt and what the responses have in common, what is in both once."""
    for size in range(min(len(question), len(before)), 0, -1):
        if _keys(question[-size:]) == _keys(before[:size]):
            return question[:-size] + before
    if len(question) == 1 and before:
        text, said = question[0].key[1], [turn.key[1] for turn in before]
        if any(within(text, turn.key[1]) for turn in before if turn.role != "assistant"):
            return before
        if all(within(other, text) for other in said):
            return question
    return question + before


def within(part: str, whole: str) -> bool:
    """Whether ``part`` stands in ``whole``, not as a piece of a word; blanks must be single."""
    at = whole.find(part) if part else -1
    while at >= 0:
        before, behind = whole[at - 1 : at] if at else "", whole[at + len(part) : at + len(part) + 1]
        if not (before.isalnum() and part[0].isalnum()) and not (behind.isalnum() and part[-1].isalnum()):
            return True
        at = whole.find(part, at + 1)
    return False


def _begins(side: Sequence[Turn], question: Sequence[Turn]) -> bool:
    return 0 < len(question) < len(side) and _keys(side[: len(question)]) == _keys(question)


def _flat(text: Any) -> str:
    return " ".join(text.split()) if isinstance(text, str) else ""


def _keys(turns: Sequence[Turn]) -> list[tuple[str, str]]:
    return [turn.key for turn in turns]


def _listed(names: Sequence[str]) -> str:
    return " and ".join(names) if len(names) < 3 else f"{names[0]}, {names[1]} …"

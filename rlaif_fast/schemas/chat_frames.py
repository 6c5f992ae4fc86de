"""Responses in which the prompt stands again, in the frame of a template: what is theirs alone."""

from __future__ import annotations

import re
from collections.abc import Sequence

_ALPACA = r"Below is an instruction that describes a task[^\n]*\n+(?:[^\n]*appropriately completes the request\.\n+)?"
_FRAMES = tuple(
    (re.compile(opens), re.compile(closes))
    for opens, closes in (
        (r"\s*(?:<\|begin_of_text\|>)?\s*<\|start_header_id\|>user<\|end_header_id\|>\s*",
         r"\s*<\|eot_id\|>\s*<\|start_header_id\|>assistant<\|end_header_id\|>\s*"),
        (r"\s*(?:<bos>)?\s*<start_of_turn>user\s*", r"\s*<end_of_turn>\s*<start_of_turn>model\s*"),
        (r"\s*<\|im_start\|>user\s*", r"\s*<\|im_end\|>\s*<\|im_start\|>assistant\s*"),
        (r"\s*<\|user\|>\s*", r"\s*(?:<\|end\|>|</s>)?\s*<\|assistant\|>\s*"),
        (r"\s*(?:<s>)?\s*\[INST\]\s*", r"\s*\[/INST\]\s*"),
        (rf"\s*(?:{_ALPACA})?### ?(?:Instruction|Question|Human|User|Prompt): *\s*",
         r"\s*### ?(?:Response|Answer|Assistant): *\s*"),
        (r"\s*(?:Human|User|USER): *\s*", r"\s+(?:Assistant|ASSISTANT): *\s*"),
        (r"\s*(?:Question|Q|Prompt|Instruction): *\s*", r"\s+(?:Answer|A|Response): *\s*"),
    )
)  # fmt: skip
_END = re.compile(
    r"\s*(?:<\|im_end\|>|<\|end\|>|</s>|<\|endoftext\|>|<\|eot_id\|>|<\|end_of_text\|>|<end_of_turn>|<eos>)\s*$"
)
# How any template begins, known here or not.
TEMPLATE = re.compile(
    rf"\s*(?:<\|[a-z_]+\|>|<start_of_turn>|<bos>|<s>|\[INST\]|{_ALPACA}"
    r"|### ?(?:Instruction|Question|Human|User|System):)"
)


def unframed(prompt: str, texts: Sequence[str]) -> list[str] | None:
    """What stands behind the prompt in each text; None where not all begin with it in one and the same frame."""
    words = r"\s+".join(map(re.escape, prompt.split()))
    for opens, closes in _FRAMES if words else ():
        whole = re.compile(opens.pattern + words + closes.pattern)
        found = [whole.match(text) for text in texts]
        if all(found):
            rest = (text[match.end() :] for text, match in zip(texts, found, strict=True) if match)
            return [_END.sub("", text) for text in rest]
    return None

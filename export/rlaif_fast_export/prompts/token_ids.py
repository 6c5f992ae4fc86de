"""Whether every token a prompt can hold has a row in the model's embedding."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

from rlaif_fast.errors import ExportError
from rlaif_fast.prompts.tokenizer import PromptTokenizer, is_blank


@dataclass(frozen=True)
class BareTokenizer:
    """A tokenizer.json as it is.

    Attributes:
        name: the model's, for messages.
        model: what the file says of its vocabulary and merges.
        vocabulary: token ids, those of added tokens too.
    """

    name: str
    tokenizer: Tokenizer
    model: dict[str, Any]
    vocabulary: dict[str, int]

    @classmethod
    def of(cls, content: str, name: str) -> BareTokenizer:
        """From a tokenizer.json. Raises what the library does where it is none."""
        tokenizer = Tokenizer.from_str(content)
        return cls(name, tokenizer, json.loads(content)["model"], tokenizer.get_vocab(with_added_tokens=True))


def require_rows(bare: BareTokenizer, prompts: PromptTokenizer, template_ids: Iterable[int], rows: int) -> None:
    """Hold a tokenizer to a model.

    An added token without a row is no harm as long as nothing writes it: texts never do (see
    :class:`~rlaif_fast.prompts.tokenizer.PromptTokenizer`), and many models have one for padding.

    Args:
        prompts: the same tokenizer as prompts are read with.
        template_ids: token ids of a prompt of the template, and of its labels.
        rows: tokens the model has.

    Raises:
        ExportError: a token that can come out has no row.
    """
    written = {
        "puts around every text": prompts.encode(""),
        "has for this template": template_ids,
        "can read in a text": _of_text(bare, rows),
    }
    for what, ids in written.items():
        for number in ids:
            if number >= rows:
                raise ExportError(
                    f"{bare.name}: token {number:,} ({bare.tokenizer.id_to_token(number)!r}), which its tokenizer"
                    f" {what}, is none of the model's {rows:,}; use the tokenizer the model was trained with"
                )


def require_text(bare: BareTokenizer, prompts: PromptTokenizer) -> None:
    """Raises ExportError where the model of a tokenizer.json makes a control token of the letters of its name."""
    tokenizer, said = bare.tokenizer, bare.model
    unknown = said.get("unk_id"), tokenizer.token_to_id(said.get("unk_token") or "")
    names = {
        i: token.content
        for i, token in tokenizer.get_added_tokens_decoder().items()
        if i not in unknown and not is_blank(token.content) and (token.special or token.content[0] in "<[")
    }
    around = prompts.encode("")
    for shape in ("{}", "a{}b", " {} "):
        for (number, name), ids in zip(
            names.items(), prompts.encode_many([shape.format(name) for name in names.values()]), strict=True
        ):
            if ids.count(number) > around.count(number):
                raise ExportError(
                    f"{bare.name}: its tokenizer reads the letters {name!r} in a text as its control token {number:,};"
                    " take that name out of what its model can make (tokenizer.json: vocabulary, merges)"
                )


def _of_text(bare: BareTokenizer, rows: int) -> list[int]:
    """Tokens without a row that come out of some text."""
    tokenizer, model = bare.tokenizer, bare.model
    added = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    beyond = {token: i for token, i in bare.vocabulary.items() if i >= rows}
    if not beyond:
        return []
    return [i for token, i in sorted(beyond.items()) if (is_blank(token) if token in added else _made(token, model))]


def _made(token: str, model: dict[str, Any]) -> bool:
    """Whether a model makes a token of its vocabulary: BPE begins with characters and bytes, and merges."""
    if model["type"] != "BPE" or model.get("ignore_merges") or len(token) == 1 or token == model.get("unk_token"):
        return True
    if model.get("byte_fallback") and len(token) == 6 and token.startswith("<0x"):
        return True
    pairs = (merge.split(" ", 1) if isinstance(merge, str) else merge for merge in model["merges"])
    return any(left + right == token for left, right in pairs)

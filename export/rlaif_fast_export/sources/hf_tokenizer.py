"""A model's fast tokenizer from its tokenizer.json, also where tokenizer_config.json is of another transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.models.auto.tokenization_auto import get_tokenizer_config
from transformers.utils.hub import cached_file

from rlaif_fast.errors import ExportError
from rlaif_fast_export.sources.lane import NEXT

_TOKENS = "tokenizer.json"
_OF_TRANSFORMERS_5 = "TokenizersBackend"  # tokenizer.json as it stands


def hf_tokenizer(path: str, **arguments: Any) -> Any:
    """The tokenizer ``AutoTokenizer`` makes of a hub id or a folder; ``arguments`` are those of ``from_pretrained``.

    Raises:
        ExportError: a folder has no tokenizer.json, and transformers makes no tokenizer of what else it has.
    """
    config = get_tokenizer_config(path, **arguments)
    # transformers 5 builds a family's tokenizer anew, with rules of its own in the place of those in tokenizer.json
    as_it_stands = config.get("tokenizer_class") == _OF_TRANSFORMERS_5 or (NEXT and _has_tokens(path, arguments))
    kind: Any = PreTrainedTokenizerFast if as_it_stands else AutoTokenizer
    more: dict[str, Any] = {}
    if isinstance(extra := config.get("extra_special_tokens"), list):  # before transformers 5 under another name
        more |= {"extra_special_tokens": {}}
        more |= {"additional_special_tokens": [*(config.get("additional_special_tokens") or []), *extra]}
    folder = Path(path)
    missing = folder.is_dir() and not (folder / _TOKENS).is_file()
    llama = str(config.get("tokenizer_class")).startswith("Llama")
    if llama and not missing and config.get("add_prefix_space") is not None:
        more |= {"add_prefix_space": None}  # it would make transformers convert the slow form; tokenizer.json has it
    try:
        return kind.from_pretrained(path, **arguments, **more)
    except Exception as error:
        if not missing:
            raise
        raise ExportError(f"{path}: has no tokenizer.json; take the one of the original model") from error


def _has_tokens(path: str, arguments: dict[str, Any]) -> bool:
    """Whether there is a tokenizer.json."""
    revision = arguments.get("revision")
    return cached_file(path, _TOKENS, _raise_exceptions_for_missing_entries=False, revision=revision) is not None

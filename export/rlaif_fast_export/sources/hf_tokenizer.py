"""A model's fast tokenizer from its tokenizer.json, also where tokenizer_config.json is of another transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.models.auto.tokenization_auto import get_tokenizer_config

from rlaif_fast.errors import ExportError

_OF_TRANSFORMERS_5 = "TokenizersBackend"  # tokenizer.json as it stands


def hf_tokenizer(path: str, **arguments: Any) -> Any:
    """The tokenizer ``AutoTokenizer`` makes of a hub id or a folder; ``arguments`` are those of ``from_pretrained``.

    Raises:
        ExportError: a folder has no tokenizer.json, and transformers makes no tokenizer of what else it has.
    """
    config = get_tokenizer_config(path, **arguments)
    kind: Any = PreTrainedTokenizerFast if config.get("tokenizer_class") == _OF_TRANSFORMERS_5 else AutoTokenizer
    more: dict[str, Any] = {}
    if isinstance(extra := config.get("extra_special_tokens"), list):  # before transformers 5 under another name
        more |= {"extra_special_tokens": {}}
        more |= {"additional_special_tokens": [*(config.get("additional_special_tokens") or []), *extra]}
    folder = Path(path)
    missing = folder.is_dir() and not (folder / "tokenizer.json").is_file()
    llama = str(config.get("tokenizer_class")).startswith("Llama")
    if llama and not missing and config.get("add_prefix_space") is not None:
        more |= {"add_prefix_space": None}  # it would make transformers convert the slow form; tokenizer.json has it
    try:
        return kind.from_pretrained(path, **arguments, **more)
    except Exception as error:
        if not missing:
            raise
        raise ExportError(f"{path}: has no tokenizer.json; take the one of the original model") from error

"""The exporter, for the commands that need it: the extra that may be missing, and what its options mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rlaif_fast.commands.headings import option
from rlaif_fast.errors import ExportError

if TYPE_CHECKING:
    from rlaif_fast_export.sources.source import Source

TRUST = option("Input", "--trust-remote-code", is_flag=True, help="Run Python code that comes with the model; it can do"
               " what you can.")  # fmt: skip

UNLISTED = option("Input", "--unlisted", is_flag=True, help="Try a model of a family that is not listed: at fp32, for"
                  " prompts of up to 4,096 tokens, verified at that length too.")  # fmt: skip


@contextmanager
def needed(said: str = "the exporter is not installed") -> Iterator[None]:
    """Around imports of the exporter: where it is not installed, ExportError says so and how to get it."""
    try:
        yield
    except ImportError as error:
        raise ExportError(f"{said} ({error.name} is missing); pip install 'rlaif-fast[export]'") from error


def in_chat(chat: str, source: Source) -> bool:
    """Whether ``--chat`` puts prompts for pairs into the model's chat template."""
    if chat != "auto":
        return chat == "yes"
    from rlaif_fast_export.prompts.chat import has_chat_template

    return has_chat_template(source.tokenizer())

"""Whatever a library raises over a damaged file or an odd model becomes one line that says what and where."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rlaif_fast.errors import ExportError, RlaifFastError, lacks_memory

_OURS = RlaifFastError | KeyboardInterrupt | SystemExit | GeneratorExit
_LONGEST = 300  # characters of a library's own words


@contextmanager
def refused(what: str, advice: str = "", *, passing: type[BaseException] = RlaifFastError) -> Iterator[None]:
    """Raise ExportError in place of what is raised inside: ``what (reason)advice``.

    Loaders have no common error: safetensors, pickle, json, torch, numpy and Rust's panics (which are no Exception)
    each raise their own, and an odd configuration raises whatever it trips over. What was raised stays the cause,
    which ``--debug`` shows. This package's own errors, a lack of memory, interrupts and ``passing`` pass.
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, _OURS | passing) or lacks_memory(error):
            raise
        raise ExportError(f"{what} ({in_words(error)}){advice}") from error


def in_words(error: BaseException) -> str:
    """An error in one line, with its class where its text alone says little."""
    text = " ".join(str(error).split())[:_LONGEST]
    return text if isinstance(error, OSError | ImportError) and text else f"{type(error).__name__}: {text}".rstrip(": ")


def listed(names: list[str]) -> str:
    """The first few of ``names``, and how many there are."""
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown}, ... ({len(names)} in all)"

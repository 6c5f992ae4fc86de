"""Everything this package raises on purpose.

::

    RlaifFastError
    ├── PairError       a row is no pair that can be judged (file, line, id)
    ├── TemplateError   a template, or a label that is not one token in it
    ├── BundleError     a folder is no bundle, or no longer the one that was exported
    │   └── UnfaithfulError   this machine does not compute what the bundle was verified with
    ├── ExportError     a model cannot be exported
    │   └── FidelityError     its bundle deviates from PyTorch
    ├── ArgumentError   an argument of a Python call that is none of those there are; a ValueError too
    ├── JudgeError      the runtime gave no valid answer
    ├── BenchError      nothing to measure, or nothing to compare with
    └── EvalError       verdicts or labels that cannot be evaluated, or a calibration of another bundle

The message is one line: what, where, what to do. The command line prints it after ``error:``
and exits with status 1; wrong usage is click's own and exits with 2.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager


class RlaifFastError(Exception):
    """Base of every error raised on purpose; its text is one line for the user."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C where work is kept; its text says how it goes on."""


@contextmanager
def resumable(told: str) -> Iterator[None]:
    """Around work that is kept where it is interrupted: KeyboardInterrupt becomes :class:`Interrupted`, as ``told``."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(told) from error


class PairError(RlaifFastError):
    """A row that is not a pair, or a pair that does not fit the judge."""


class TemplateError(RlaifFastError):
    """A template that cannot be used with this tokenizer.

    Attributes:
        part: the piece of the template's text that is at fault; empty where it is a label.
    """

    def __init__(self, message: str, part: str = "") -> None:
        super().__init__(message)
        self.part = part


class BundleError(RlaifFastError):
    """A folder that is no bundle, or whose files are not the ones that were exported."""


class UnfaithfulError(BundleError):
    """A bundle, or an engine over it, whose answers on this machine are too far from those it was verified with."""


class ExportError(RlaifFastError):
    """A model that cannot be exported."""


class FidelityError(ExportError):
    """A bundle that deviates from the reference by more than it may; it was not kept.

    Attributes:
        reason: the message without its advice.
    """

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(f"{reason}, {advice}")
        self.reason = reason


class ArgumentError(RlaifFastError, ValueError):
    """An argument of a Python call that is none of those there are."""


class JudgeError(RlaifFastError):
    """The engine failed or answered with something that is no verdict."""


class BenchError(RlaifFastError):
    """Nothing to measure, a process that failed, or a baseline that cannot be compared."""


class EvalError(RlaifFastError):
    """Verdicts or human labels that cannot be evaluated or compared, or a calibration that cannot be used."""


REMEDY = "use fewer --threads, a smaller --window, shorter rows or a smaller model, or allow more memory"
# The next to last is what the interpreter says where an allocation of its own failed.
_NO_MEMORY = ("alloc", "out of memory", "start new thread", "pthread_create", "failed to map", "mmap",
              "resource temporarily unavailable", "error return without exception set", "threadpool")  # fmt: skip


def lacks_memory(error: BaseException) -> bool:
    """Whether an error, of whatever library, says that there was no memory or no thread to be had."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in text for sign in _NO_MEMORY)


_JOINERS = "\u200c\u200d"  # hold emoji and the letters of some scripts together


def escaped(text: str) -> str:
    """``text`` with escapes for what would steer a terminal instead of standing there, or is no character."""
    return "".join(c if _stands(c) else c.encode("unicode_escape").decode() for c in text)


def _stands(c: str) -> bool:
    return c.isprintable() or c in _JOINERS or unicodedata.category(c) == "Zs"

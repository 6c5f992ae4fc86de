"""A causal language model as a preference judge, fast and faithful on a CPU. This is the public API."""

from typing import TYPE_CHECKING

from rlaif_fast.errors import (
    BenchError,
    BundleError,
    EvalError,
    ExportError,
    JudgeError,
    PairError,
    RlaifFastError,
    TemplateError,
)
from rlaif_fast.pairs import Pair
from rlaif_fast.verdict import Verdict
from rlaif_fast.version import __version__

if TYPE_CHECKING:
    from rlaif_fast.judge import Judge

__all__ = [
    "BenchError",
    "BundleError",
    "EvalError",
    "ExportError",
    "Judge",
    "JudgeError",
    "Pair",
    "PairError",
    "RlaifFastError",
    "TemplateError",
    "Verdict",
    "__version__",
]


def __getattr__(name: str) -> object:
    # Judge brings numpy and onnxruntime: only who asks for it pays for it (`--help` does not).
    if name == "Judge":
        from rlaif_fast.judge import Judge

        return Judge
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""A causal language model as a preference judge, fast and faithful on a CPU. This is the public API."""

from importlib import import_module
from typing import TYPE_CHECKING

from rlaif_fast import _moved
from rlaif_fast.errors import (
    ArgumentError,
    BenchError,
    BundleError,
    EvalError,
    ExportError,
    JudgeError,
    PairError,
    RlaifFastError,
    TemplateError,
)
from rlaif_fast.judging.verdict import Verdict
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.version import __version__

if TYPE_CHECKING:
    from rlaif_fast.judging.exact import ExactJudge
    from rlaif_fast.judging.fewer_orders import FrugalJudge
    from rlaif_fast.judging.judge import Judge
    from rlaif_fast.judging.ranker import Ranker
    from rlaif_fast.judging.rater import Rater

__all__ = [
    "ArgumentError",
    "BenchError",
    "BundleError",
    "EvalError",
    "ExactJudge",
    "ExportError",
    "FrugalJudge",
    "Judge",
    "JudgeError",
    "Pair",
    "PairError",
    "Ranker",
    "Rater",
    "RlaifFastError",
    "TemplateError",
    "Verdict",
    "__version__",
]


# These bring numpy and onnxruntime: only who asks for one pays for it (`--help` does not).
_LAZY = {"Judge": "judge", "Ranker": "ranker", "Rater": "rater", "ExactJudge": "exact", "FrugalJudge": "fewer_orders"}

_moved.install()


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(import_module(f"rlaif_fast.judging.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

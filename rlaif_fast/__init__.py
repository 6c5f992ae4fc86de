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
    from rlaif_fast.rows.candidates import Candidates
    from rlaif_fast.rows.samples import Sample

__all__ = [
    "ArgumentError",
    "BenchError",
    "BundleError",
    "Candidates",
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
    "Sample",
    "TemplateError",
    "Verdict",
    "__version__",
]


# Most of these bring numpy and onnxruntime: only who asks for one pays for it (`--help` does not).
_LAZY = {
    "Candidates": "rows.candidates",
    "ExactJudge": "judging.exact",
    "FrugalJudge": "judging.fewer_orders",
    "Judge": "judging.judge",
    "Ranker": "judging.ranker",
    "Rater": "judging.rater",
    "Sample": "rows.samples",
}

_moved.install()


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(import_module(f"rlaif_fast.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

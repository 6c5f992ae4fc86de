"""Modules that programs import, under their paths until 0.1; importing one warns, and goes with the next release."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, cast

MOVED = {
    f"rlaif_fast.{before}": f"rlaif_fast.{now}"
    for before, now in {
        "candidates": "rows.candidates",
        "exact": "judging.exact",
        "frugal": "judging.fewer_orders",
        "judge": "judging.judge",
        "manifest": "bundle.manifest",
        "pairs": "rows.pairs",
        "ranker": "judging.ranker",
        "ranking": "judging.ranking",
        "rater": "judging.rater",
        "rating": "judging.rating",
        "samples": "rows.samples",
        "template": "prompts.template",
        "verdict": "judging.verdict",
    }.items()
}


class _Moved:  # importlib.abc, which has bases for this, takes 20 ms to import
    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, cast(Any, self)) if fullname in MOVED else None

    def create_module(self, spec: ModuleSpec) -> None:
        """None: the usual one, until the module it stands for takes its place."""

    def exec_module(self, module: ModuleType) -> None:
        now = MOVED[module.__name__]
        warnings.warn(f"{module.__name__} is {now} now", DeprecationWarning, stacklevel=2)
        sys.modules[module.__name__] = import_module(now)


def install() -> None:
    """Let the paths of before be imported."""
    sys.meta_path.append(_Moved())

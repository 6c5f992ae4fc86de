"""Packages that only some kinds of file need."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from rlaif_fast.errors import PairError


def optional(module: str, file: str | Path = "this file") -> Any:
    """A module of the extra ``formats`` that ``file`` needs; raises PairError where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        name = module.partition(".")[0]
        raise PairError(f"{file}: this kind of file needs {name}, pip install 'rlaif-fast[formats]'") from None

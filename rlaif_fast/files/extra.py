"""Packages that only some kinds of file need."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from rlaif_fast.errors import PairError


def optional(
    module: str, file: str | Path = "this file", *, extra: str = "formats", what: str = "this kind of file"
) -> Any:
    """A module of an extra that ``file`` needs; raises PairError where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        name = module.partition(".")[0]
        raise PairError(f"{file}: {what} needs {name}, pip install 'rlaif-fast[{extra}]'") from None

"""Packages that only some commands need."""

from __future__ import annotations

import importlib

from rlaif_fast.errors import RlaifFastError


def require(extra: str, what: str, *modules: str) -> None:
    """Raise RlaifFastError where a module that ``what`` needs, of an extra, is not installed: before the work."""
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError:
            raise RlaifFastError(f"{what} needs {module}, pip install 'rlaif-fast[{extra}]'") from None

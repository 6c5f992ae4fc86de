"""Engines by name: every file of this package but ``base`` is one, with its ``VARIANTS``.

A file imports its runtime inside its functions, unless every install has it: listing the variants costs nothing.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from rlaif_fast.engines.base import Engine, EngineOptions, Variant
from rlaif_fast.errors import JudgeError
from rlaif_fast.manifest import Manifest

__all__ = ["DEFAULT", "Engine", "EngineOptions", "Variant", "offered", "variant", "variants"]

DEFAULT = "onnxruntime"  # the variant every bundle is verified with


@cache
def variants() -> tuple[Variant, ...]:
    """All there are, the default first."""
    names = sorted((m.name for m in iter_modules(__path__) if m.name != "base"), key=lambda name: name != DEFAULT)
    return tuple(v for name in names for v in import_module(f"{__name__}.{name}").VARIANTS)


def variant(name: str) -> Variant:
    """The variant of that name. Raises JudgeError where there is none."""
    found = {v.name: v for v in variants()}
    if name not in found:
        raise JudgeError(f"--engine {name}: no such engine; there are auto, {', '.join(found)}")
    return found[name]


def offered(manifest: Manifest) -> list[Variant]:
    """Those this machine has for a bundle, the default first."""
    return [v for v in variants() if v.refusal(manifest) is None]

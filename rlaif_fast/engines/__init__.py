"""Engines by name. Each is a file of this package with its ``VARIANTS``; ENGINES lists the files.

A file imports its runtime inside its functions, unless every install has it: listing the variants costs nothing.
"""

from __future__ import annotations

from importlib import import_module

from rlaif_fast.engines.base import Engine, EngineOptions, Variant
from rlaif_fast.errors import JudgeError
from rlaif_fast.manifest import Manifest

__all__ = ["DEFAULT", "Engine", "EngineOptions", "Variant", "offered", "variant", "variants"]

ENGINES = ("onnxruntime",)
DEFAULT = "onnxruntime"  # the variant every bundle is verified with


def variants() -> tuple[Variant, ...]:
    """All there are, the default first."""
    return tuple(v for name in ENGINES for v in import_module(f"{__name__}.{name}").VARIANTS)


def variant(name: str) -> Variant:
    """The variant of that name. Raises JudgeError where there is none."""
    found = {v.name: v for v in variants()}
    if name not in found:
        raise JudgeError(f"--engine {name}: no such engine; there are auto, {', '.join(found)}")
    return found[name]


def offered(manifest: Manifest) -> list[Variant]:
    """Those this machine has for a bundle, the default first."""
    return [v for v in variants() if v.refusal(manifest) is None]

"""Engines: a runtime's session over a bundle's graph. Each file but ``base`` and ``registry`` is one.

A file imports its runtime inside its functions, unless every install has it: listing the variants costs nothing.
"""

from rlaif_fast.runtime.engines.base import Engine, EngineOptions, Variant
from rlaif_fast.runtime.engines.registry import DEFAULT, offered, variant, variants

__all__ = ["DEFAULT", "Engine", "EngineOptions", "Variant", "offered", "variant", "variants"]

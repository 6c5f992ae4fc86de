"""Engines by name: every file beside this one and ``base`` is one, with its ``VARIANTS``."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from rlaif_fast.bundle.manifest import Manifest
from rlaif_fast.errors import JudgeError
from rlaif_fast.runtime import engines
from rlaif_fast.runtime.engines.base import Variant
from rlaif_fast.wording import near

DEFAULT = "onnxruntime"  # the variant every bundle is verified with


@cache
def variants() -> tuple[Variant, ...]:
    """All there are, the default first."""
    files = {module.name for module in iter_modules(engines.__path__)} - {"base", "registry"}
    names = sorted(sorted(files), key=lambda name: name != DEFAULT)
    return tuple(v for name in names for v in import_module(f"{engines.__name__}.{name}").VARIANTS)


def variant(name: str) -> Variant:
    """The variant of that name. Raises JudgeError where there is none."""
    found = {v.name: v for v in variants()}
    if name not in found:
        meant = near(name.lower(), ["auto", *found])
        hint = f"; did you mean {meant}?" if meant else ""
        raise JudgeError(f"--engine {name}: no such engine; there are auto, {', '.join(found)}{hint}")
    return found[name]


def offered(manifest: Manifest) -> list[Variant]:
    """Those this machine has for a bundle, the default first."""
    return [v for v in variants() if v.refusal(manifest) is None]

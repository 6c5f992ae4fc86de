"""How a run differs from the one that an output was begun or finished by, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_NO_OPTION = {"bundle", "sample", "dataset"}  # what the name alone says


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first of the options that are not the same; empty where all are.

    Args:
        before, now: JSON values by the option's name; None, False and 0.0 are an option that is not given.
    """
    for name, value in now.items():
        if (old := before.get(name)) != value:
            if name in _NO_OPTION or (_digest(old) and _digest(value)):
                return f"with another {name if name in _NO_OPTION else f'--{name}'}"
            return f"{_given(name, old)}, now {_given(name, value)}"
    return ""


def _given(name: str, value: Any) -> str:
    if value is None or value is False or value == 0.0:
        return f"without --{name}"
    return f"with --{name}" if value is True or _digest(value) else f"with --{name} {value}"


def _digest(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None

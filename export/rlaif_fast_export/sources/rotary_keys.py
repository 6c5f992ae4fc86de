"""What a config.json says of rotary positions: in separate keys, or in tables of older and newer transformers."""

from __future__ import annotations

import math
from typing import Any

from rlaif_fast.errors import ExportError

# Kind -> what its table must have, and what it may have.
_TABLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "default": ((), ()),
    "linear": (("factor",), ()),
    "yarn": (("factor",), ("attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate",
                           "original_max_position_embeddings")),
    "longrope": (("short_factor", "long_factor"), ("factor", "attention_factor", "original_max_position_embeddings")),
    "dynamic": (("factor",), ("alpha", "beta_fast", "beta_slow", "mscale", "mscale_all_dim")),
    "llama3": (("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"), ()),
}  # fmt: skip
# What the table of a family has beside that: Ministral 3 scales its queries by their position
_OF_FAMILY = {"ministral3": ("llama_4_scaling_beta", "max_position_embeddings")}
_LOWER_AND_UPPER = {"llama3": (("low_freq_factor", None), ("high_freq_factor", None)),
                    "yarn": (("beta_slow", 1), ("beta_fast", 32))}  # fmt: skip


def rotary_keys(written: dict[str, Any], name: str) -> dict[str, Any]:
    """What the tables ``rope_scaling`` and ``rope_parameters`` say, as separate keys with one ``rope_scaling``.

    Raises ExportError where a table says what is not understood, or another thing than the rest of the file.
    """
    old: dict[str, Any] = {}
    if written.get("rope_scaling"):
        old = _separate(written["rope_scaling"], ("rope_theta",), name, written["model_type"])
    new: dict[str, Any] = {}
    if written.get("rope_parameters") is not None:
        new = separate_keys(written["rope_parameters"], name, written["model_type"])
    for key in sorted({*old, *new} - {"rope_scaling"}):
        _require_one(key, [said[key] for said in (written, old, new) if said.get(key) is not None], name)
    if old and new:
        _require_one("rope_scaling", [old["rope_scaling"], new["rope_scaling"]], name)
    return old | new


def _require_one(key: str, values: list[Any], name: str) -> None:
    if any(value != values[0] for value in values):
        both = " and ".join(map(repr, values))
        raise ExportError(f"{name}: config.json says {key} in two places, {both}; take the wrong one out")


def separate_keys(found: dict[str, Any], name: str, family: str) -> dict[str, Any]:
    """What transformers 5 writes in one table, or one for each kind of layer.

    Raises ExportError where it says what is not understood.
    """
    local: Any = {}
    if set(found) == {"full_attention", "sliding_attention"}:
        found, local = found["full_attention"], found["sliding_attention"]
    if not isinstance(found, dict) or not isinstance(local, dict):
        raise ExportError(f"{name}: config.json says rope_parameters = {found!r}, which is no table; correct it")
    if local.get("rope_type", "default") != "default" or set(local) - {"rope_type", "rope_theta"}:
        raise ExportError(
            f"{name}: config.json scales the rotary positions of windows, which cannot be done; if it does not change"
            " what the model computes, take it out of config.json"
        )
    said = _separate(found, ("rope_theta", "partial_rotary_factor"), name, family)
    # Also where it is the other layers' base: a class may have another one for windows by default.
    return said | ({"rope_local_base_freq": local["rope_theta"]} if local.get("rope_theta") is not None else {})


def _separate(table: dict[str, Any], apart: tuple[str, ...], name: str, family: str) -> dict[str, Any]:
    """``table`` with the keys ``apart`` beside it; None for a scaling of the kind "default"."""
    kinds = [table[key] for key in ("rope_type", "type") if table.get(key) is not None] or ["default"]
    _require_one("the kind of its rope scaling", kinds, name)
    rest = {key: value for key, value in table.items() if key not in ("type", "rope_type", *apart)}
    _check(kinds[0], rest, name, _OF_FAMILY.get(family, ()))
    said = {key: table[key] for key in apart if table.get(key) is not None}
    return said | {"rope_scaling": None if kinds[0] == "default" else {"rope_type": kinds[0], **rest}}


def _check(kind: Any, scaling: dict[str, Any], name: str, more: tuple[str, ...]) -> None:
    if not isinstance(kind, str) or kind not in _TABLES:
        raise ExportError(f"{name}: rope scaling {kind!r} is not supported; supported are {', '.join(_TABLES)}")
    needed, optional = _TABLES[kind]
    odd = sorted(set(scaling) - {*needed, *optional, *more})
    if odd:
        raise ExportError(f"{name}: rope scaling {kind} has no {odd[0]}; correct rope_scaling in config.json")
    for key in needed:
        if scaling.get(key) is None:
            raise ExportError(f"{name}: rope scaling {kind} lacks {key}; correct rope_scaling in config.json")
    for key, value in scaling.items():
        if key in ("short_factor", "long_factor"):
            sound = isinstance(value, list) and all(_is_positive(one, at_zero=False) for one in value)
            kind_of = "a list of positive numbers"
        elif key == "truncate":
            sound, kind_of = isinstance(value, bool), "true or false"
        else:
            at_zero = key.startswith("mscale")  # where it is switched off
            sound, kind_of = value is None or _is_positive(value, at_zero), "a positive number"
        if not sound:
            raise ExportError(f"{name}: config.json says {key} = {value!r} in rope_scaling, which must be {kind_of}")
    if kind in _LOWER_AND_UPPER:
        (low, low_default), (high, high_default) = _LOWER_AND_UPPER[kind]
        if not (scaling.get(low) or low_default) < (scaling.get(high) or high_default):
            raise ExportError(f"{name}: config.json says {low} in rope_scaling, which must be less than {high}")


def _is_positive(value: Any, at_zero: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    return value > 0 or (at_zero and value == 0)

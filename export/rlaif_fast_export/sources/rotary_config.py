"""Where a configuration keeps what a file says of rotary positions: in attributes (transformers 4), or a table (5).

The exporter speaks of separate keys, as most published files do: ``rope_theta``, ``rope_scaling`` (None without),
``partial_rotary_factor``, and ``rope_local_base_freq``, the base of layers with a window. transformers 5 has no such
attributes: one that is set is kept, and nobody reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlaif_fast.errors import ExportError
from rlaif_fast_export.sources.lane import NEXT
from rlaif_fast_export.sources.rotary_keys import separate_keys

KEYS = ("rope_theta", "rope_scaling", "partial_rotary_factor", "rope_local_base_freq")
# Other names of the same in files of GPT-NeoX; transformers 4 has both, 5 turns them into the table's
ALIASES = {"rotary_emb_base": "rope_theta", "rotary_pct": "partial_rotary_factor"}
_ORIGINAL = "original_max_position_embeddings"
_FULL, _WINDOWED = "full_attention", "sliding_attention"


def has(config: Any, key: str) -> bool:
    """Whether configurations of this class know ``key``, of rotary positions or not."""
    return key in _held(config) or hasattr(config, key)


def value_of(config: Any, key: str) -> Any:
    """What ``config`` says under ``key``, which it has."""
    held = _held(config)
    return held[key] if key in held else getattr(config, key)


def put(config: Any, said: Mapping[str, Any]) -> None:
    """Have ``config`` say what ``said`` does; keys of rotary positions go where its model reads them."""
    rotary = {ALIASES.get(key, key): value for key, value in said.items() if key in (*KEYS, *ALIASES)}
    own = _held(type(config)())
    for key, value in said.items():
        if not own or key not in (*KEYS, *ALIASES):
            setattr(config, key, value)
    if own and rotary:
        # Without what transformers made up that the class does not have: another base for OLMo 3's windows.
        held = {key: value for key, value in _held(config).items() if key in own}
        config.rope_parameters = _table(held | rotary, config)
        config.standardize_rope_params()


def scaling_of(config: Any) -> dict[str, Any] | None:
    """The table of its rope scaling, with its ``rope_type`` or ``type``; None without a table."""
    found = getattr(config, "rope_scaling", None)
    if NEXT and isinstance(found, dict) and isinstance(found.get(_FULL), dict):
        found = found[_FULL]
    return found if isinstance(found, dict) else None


def scales_queries(config: Any) -> bool:
    """Whether queries beyond the original context grow with their position (Ministral 3)."""
    return bool((scaling_of(config) or {}).get("llama_4_scaling_beta"))


def original_length(config: Any) -> int:
    """The context, in tokens, before it was made longer: so far ``longrope`` takes its short factors."""
    table = (scaling_of(config) or {}) if NEXT else {}  # transformers 4 does not ask the table
    said = (table.get(_ORIGINAL), getattr(config, _ORIGINAL, None), config.max_position_embeddings)
    return int(next(length for length in said if length))


def _held(config: Any) -> dict[str, Any]:
    """The keys that ``config`` has in a table, apart."""
    found = getattr(config, "rope_parameters", None) if NEXT else None
    if not isinstance(found, dict) or not type(config).__module__.startswith("transformers."):
        return {}
    held = separate_keys(found, config.model_type, config.model_type)
    if held.get("rope_local_base_freq") == held.get("rope_theta"):
        held.pop("rope_local_base_freq", None)  # one base for all its layers
    aliases = {old: held[new] for old, new in ALIASES.items() if new in held} if config.model_type == "gpt_neox" else {}
    return held | aliases


def _table(keys: Mapping[str, Any], config: Any) -> dict[str, Any]:
    """As transformers 5 reads it, of each kind of layer or of all of them alike."""
    table = {key: keys[key] for key in ("rope_theta", "partial_rotary_factor") if keys.get(key) is not None}
    table |= keys["rope_scaling"] or {"rope_type": "default"}
    if _FULL not in config.rope_parameters:
        return table
    if not table.get("truncate", True):
        raise ExportError(
            f"{config.model_type}: rope scaling yarn says truncate = False, which transformers 5 skips here"
        )
    local = keys.get("rope_local_base_freq", keys["rope_theta"])
    return {_FULL: table, _WINDOWED: {"rope_type": "default", "rope_theta": local}}

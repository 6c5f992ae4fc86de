"""Adapters (LoRA and the like, as peft saves them): merged into their base, or refused with the command that merges."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

from transformers.utils.hub import cached_file

from rlaif_fast.errors import ExportError
from rlaif_fast_export.sources.failures import listed, refused

ADAPTER = "adapter_config.json"
_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_MLX = ("adapters.safetensors", "adapters.npz")


def adapted_base(folder: Path) -> str | None:
    """The model that the adapter in ``folder`` was made for; None where there is no adapter.

    Raises ExportError where the model is not said, or peft is not installed.
    """
    name = folder.resolve().name
    unmerged = [file for file in _MLX if (folder / file).is_file()]
    if unmerged:
        raise ExportError(
            f"{name}: {unmerged[0]} is an adapter as MLX saves it, which is not merged here; fuse it (mlx_lm.fuse), or"
            " remove it if the model is fused already"
        )
    if not (folder / ADAPTER).is_file():
        return None
    has_peft = importlib.util.find_spec("peft") is not None
    if (folder / "config.json").is_file() and not any((folder / weights).is_file() for weights in _WEIGHTS):
        if has_peft:  # with which transformers loads the base instead
            raise ExportError(
                f"{name}: {ADAPTER} without an adapter's weights; remove it if the model is merged already"
            )
        return None
    with refused(f"{name}: {ADAPTER} cannot be read"):
        base = json.loads((folder / ADAPTER).read_bytes()).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise ExportError(f"{name}: {ADAPTER} names no base_model_name_or_path; name the model it was made for there")
    if not has_peft:
        raise ExportError(
            f"{name}: an adapter of {base}, which peft merges, not installed here; pip install peft and export again,"
            f" or merge it: python -c \"from peft import AutoPeftModelForCausalLM as M; M.from_pretrained('{folder}')"
            f".merge_and_unload().save_pretrained('{folder}-merged')\""
        )
    return base


def merged(model: Any, folder: Path, name: str) -> Any:
    """``model`` with the adapter added to its weights. Raises ExportError where a tensor of it would be left out."""
    from peft import PeftModel, get_peft_model_state_dict
    from peft.utils import load_peft_weights

    with refused(f"{name}: its adapter cannot be merged", "; merge it with the tools it was made with"):
        adapted = PeftModel.from_pretrained(model, str(folder))
        own, stored = get_peft_model_state_dict(adapted), load_peft_weights(str(folder), device="cpu")
        differing = sorted(set(own) ^ set(stored))
        if differing:
            raise ExportError(
                f"{name}: adapter and model differ in tensors: {listed(differing)}; take the right base model"
            )
        return adapted.merge_and_unload()


def refuse_hub_adapter(name: str, path: str, arguments: dict[str, str]) -> None:
    """Raise ExportError where a hub id holds an adapter: only a folder's is merged."""
    if Path(path).is_dir():
        return
    with refused(f"{name}: cannot be loaded"):
        found = cached_file(
            path, ADAPTER, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False,
            **arguments,
        )  # fmt: skip
    if found:
        raise ExportError(
            f"{name}: an adapter, no model; download it (hf download {name} --local-dir DIR) and export DIR"
        )

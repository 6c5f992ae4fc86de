"""Which transformers is installed, 4 or 5, and what the two do differently but for rotary positions.

The exporter runs under both. What depends on the version stands here, in :mod:`rotary_config`, and for the choice of a
tokenizer file in :mod:`hf_tokenizer`.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from transformers import modeling_gguf_pytorch_utils as gguf_loader

NEXT = int(version("transformers").partition(".")[0]) >= 5
# Names in files of a model with images -> as its text decoder alone has them. transformers 4 takes "language_model."
# off by itself where published files have it in front.
TEXT_DECODER = {r"^model\.language_model\.": "model."} | ({r"^language_model\.": ""} if NEXT else {})


def gguf_names(model: Any, architecture: str) -> dict[str, str]:
    """Names of tensors in a .gguf file -> in ``model``. ``architecture``: llama.cpp's name of it."""
    more: list[Any] = []
    if NEXT:
        more = [gguf_loader.TENSOR_PROCESSORS.get(architecture, gguf_loader.TensorProcessor)(config={})]
    found: dict[str, str] = gguf_loader.get_gguf_hf_weights_map(model, *more)
    return found


def gguf_loading() -> dict[str, Any]:
    """What ``from_pretrained`` is told beside ``gguf_file``, so that weights are numbers and not blocks of them.

    transformers 5 leaves them packed where another package lets it, and computes otherwise then.
    """
    if not NEXT:
        return {}
    from transformers import GgufConfig

    return {"quantization_config": GgufConfig(dequantize=True)}


def unpacked(model: Any) -> Any:
    """``model``, which transformers 5 takes for quantized still, though :func:`gguf_loading` had it unpacked."""
    if getattr(model, "is_quantized", False):
        model.is_quantized = False
        del model.config.quantization_config
    return model

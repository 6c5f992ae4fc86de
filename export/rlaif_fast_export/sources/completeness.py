"""Whether every parameter of a loaded model came from its files, and whether its files hold anything else.

The loader fills what it does not find with random numbers, leaves out what it does not know, and ties a head to the
embedding where the configuration says so, whatever the files hold: each only with a warning.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch

from rlaif_fast.errors import ExportError
from rlaif_fast_export.sources.checkpoint import Checkpoint
from rlaif_fast_export.sources.failures import listed
from rlaif_fast_export.sources.heads import head_of, is_reward_model
from rlaif_fast_export.sources.mapped import Mapped
from rlaif_fast_export.sources.rotary_config import has, value_of

# What old checkpoints carry along though the configuration says it: rotary frequencies and causal masks.
_COMPUTED = re.compile(r"rotary_emb\.(inv_freq|(cos|sin)_cached)$")
_MASKS = {
    "gpt2": re.compile(r"(^|\.)h\.\d+\.attn\.(bias|masked_bias)$"),
    "gpt_neox": re.compile(r"(^|\.)layers\.\d+\.attention\.(bias|masked_bias)$"),
}
_OTHER_HEAD = re.compile(
    r"(^|\.)(score|scores|classifier|v_head|value_head|reward_head|regression_head|cls|qa_outputs)\."
)
_SAME = (1e-2, 1e-6)  # relative, absolute: frequencies that were saved in half precision


def check_complete(model: Any, report: dict[str, Any], checkpoint: Checkpoint, mapped: Mapped = Mapped()) -> list[str]:
    """The tensors that are in the files, ``mapped`` or not, and not in ``model``, which computes them itself.

    ``report``: what ``from_pretrained`` returns with ``output_loading_info``. Raises ExportError, naming tensors,
    where anything else was left out, or the model holds a number that is not from its files.
    """
    name = checkpoint.name
    own = {n for n, _ in model.named_parameters()}
    own |= {n.removeprefix(f"{model.base_model_prefix}.") for n in own}  # the loader puts the prefix there
    hidden = "|".join(model._keys_to_ignore_on_load_unexpected or ["$^"])  # which the loader leaves out of its report
    unknown = {*report["unexpected_keys"], *(n for n in checkpoint.files if n not in own and re.search(hidden, n))}
    kind = model.config.model_type
    check_report(model, {**report, "unexpected_keys": unknown}, name, checkpoint.files)
    _check_tie(model, checkpoint)
    unused = sorted(n for n in checkpoint.files if n not in own and _is_computed(n, kind))
    _check_frequencies(model, unused, checkpoint)
    _check_masks([n for n in unused if n.endswith(".bias")], checkpoint)
    check_finite(model, name, mapped)
    return unused


def _is_computed(tensor: str, kind: str) -> bool:
    return bool(_COMPUTED.search(tensor) or (kind in _MASKS and _MASKS[kind].search(tensor)))


def require_floats(checkpoint: Checkpoint, kind: str) -> None:
    """Raise ExportError where weights of a ``kind`` of model are stored as integers, or in fewer than 16 bits."""
    whole = [n for n in checkpoint.whole_numbers if not _is_computed(n, kind)]
    if whole:
        raise ExportError(
            f"{checkpoint.name}: its weights are quantized ({listed(whole)}); export the full-precision model"
        )


def stored_dtype(checkpoint: Checkpoint, kind: str) -> torch.dtype:
    """In which a ``kind`` of model's numbers stay what they are: the half precision that all have, else float32."""
    own = {dtype for name, dtype in checkpoint.dtypes.items() if not _is_computed(name, kind)}
    return own.pop() or torch.float32 if own in ({torch.float16}, {torch.bfloat16}) else torch.float32


def check_report(model: Any, report: dict[str, Any], name: str, there: Sequence[str] | dict[str, Any]) -> None:
    """Raise ExportError where a tensor is missing, unknown or of another shape. ``there``: names in the files."""
    missing = sorted({*report["missing_keys"], *(n for n, p in model.named_parameters() if p.is_meta)})
    unknown = sorted(n for n in report["unexpected_keys"] if not _is_computed(n, model.config.model_type))
    heads = [n for n in unknown if _OTHER_HEAD.search(n)]
    if heads and is_reward_model(model.config):
        raise ExportError(
            f"{name}: its files hold {listed(heads)}, so its head is more than the one linear layer of a"
            f" {type(model).__name__}; such a head is not supported"
        )
    if heads:
        lacking = f", and {listed(missing)} is missing" if missing else ""
        raise ExportError(
            f"{name}: its files hold the head of a reward, value or classification model ({listed(heads)}){lacking};"
            " export a causal language model"
        )
    if missing:
        also = f", while {listed(unknown)} belong to no part of it" if unknown else ""
        raise ExportError(
            f"{name}: {_tensors(missing)} missing in its files: {listed(missing)}{also}"
            f"; {_advice(missing, unknown, list(there))}"
        )
    if unknown:
        raise ExportError(
            f"{name}: {_tensors(unknown)} in its files but not in a {model.config.model_type} model of"
            f" {model.config.num_hidden_layers} layers: {listed(unknown)}; correct config.json, or take them out of the"
            " files if the model does without"
        )
    shapes = sorted(n if isinstance(n, str) else n[0] for n in report["mismatched_keys"])
    if shapes:
        wanted = dict(model.named_parameters())
        said = f" (config.json makes it {list(wanted[shapes[0]].shape)})" if shapes[0] in wanted else ""
        raise ExportError(
            f"{name}: {_tensors(shapes)} of another shape than the configuration says: {listed(shapes)}{said};"
            " take configuration and weights of the same model"
        )


def check_finite(model: Any, name: str, mapped: Mapped = Mapped()) -> None:
    """Raise ExportError where a parameter, of a file that may be ``mapped``, holds NaN or an infinity."""
    wrong = []
    for tensor, parameter in model.named_parameters():
        if parameter.numel() and not torch.stack(parameter.aminmax()).isfinite().all():
            wrong.append(tensor)
        mapped.let_go()
    if wrong:
        raise ExportError(
            f"{name}: {_tensors(wrong)} not finite (NaN or infinity): {listed(wrong)}; export a sound copy"
        )


def _tensors(names: list[str]) -> str:
    return "1 tensor is" if len(names) == 1 else f"{len(names)} tensors are"


def _advice(missing: list[str], unknown: list[str], there: list[str]) -> str:
    for wanted in missing:
        for other in unknown:
            if other.endswith(f".{wanted}"):
                prefix = other.removesuffix(wanted)
                return f"they have {prefix!r} before their names: save the unwrapped model, or rename them"
            if wanted.endswith(f".{other}"):
                return f"{other!r} lacks {wanted.removesuffix(other)!r} before its name: rename it"
    if len(missing) == 1 and missing[0].startswith(("lm_head.weight", "embed_out.weight")) and not unknown:
        return 'if the head is the embedding\'s weight again, set "tie_word_embeddings": true in config.json'
    if len(there) < len(missing):
        return "take all of the model's files"
    return "take the files and the config.json of the same model"


def _check_tie(model: Any, checkpoint: Checkpoint) -> None:
    embedding, head = model.get_input_embeddings(), head_of(model)
    # transformers 5 does not tie what the files hold twice: then config.json alone says it
    said = model.get_output_embeddings() is head and model._tied_weights_keys and model.config.tie_word_embeddings
    if head.weight is not embedding.weight and not said:
        return
    for module_name, module in model.named_modules():
        if module is not embedding and module is not head:
            continue
        weight = f"{module_name.rpartition('.')[2]}.weight"  # the loader takes prefixes off and puts them there
        for tensor, stored in checkpoint.read(n for n in checkpoint.files if n == weight or n.endswith(f".{weight}")):
            if not torch.equal(stored, embedding.weight.float()):
                raise ExportError(
                    f"{checkpoint.name}: config.json ties the head to the embedding (tie_word_embeddings), but"
                    f' {tensor} differs from it; set "tie_word_embeddings": false if the head has its own weights'
                )


def _check_frequencies(model: Any, unused: list[str], checkpoint: Checkpoint) -> None:
    """Frequencies in the files are not loaded: they have to be what the configuration makes of them."""
    made = [b for n, b in model.named_buffers() if n.endswith("inv_freq")]
    base = value_of(model.config, "rope_theta") if has(model.config, "rope_theta") else None
    if base:  # old files have them before linear scaling, which divided the positions
        made += [1 / base ** (torch.arange(len(b), dtype=torch.float32) / len(b)) for b in made]
    for tensor, stored in checkpoint.read(n for n in unused if n.endswith("inv_freq")):
        if not any(stored.shape == b.shape and torch.allclose(stored, b.float(), *_SAME) for b in made):
            raise ExportError(
                f"{checkpoint.name}: {tensor} in its files differs from what config.json says of rotary positions"
                " (rope_theta, rope_scaling); correct config.json"
            )


def _check_masks(masks: list[str], checkpoint: Checkpoint) -> None:
    for tensor, stored in checkpoint.read(masks):
        if stored.dim() != 4 or not torch.equal(stored, torch.ones_like(stored).tril()):
            raise ExportError(
                f"{checkpoint.name}: {tensor} in its files is no causal mask, which is all that the model could have"
                " there; take it out of the files if the model does without"
            )

"""A bundle's manifest as far as it is known before the bundle was verified."""

from __future__ import annotations

import math
from collections import Counter
from importlib.metadata import version
from typing import Any

import numpy as np
import onnx_ir as ir

from rlaif_fast.bundle.manifest import Cost, Manifest, ModelSource
from rlaif_fast.bundle.prompt import BundlePrompt, Fidelity, FileEntry
from rlaif_fast.version import __version__
from rlaif_fast_export.graph.nodes import dims
from rlaif_fast_export.prompts.fitted import FittedPrompt
from rlaif_fast_export.reference.verify import fidelity
from rlaif_fast_export.sources.products import attention_of
from rlaif_fast_export.sources.source import Source

_TOOLS = ("torch", "transformers", "optimum", "onnx", "onnx-ir", "onnxruntime")


def tools() -> dict[str, str]:
    """Versions of what makes a bundle."""
    return {name: version(name) for name in _TOOLS} | {"rlaif-fast": __version__}


def draft(
    graph: ir.Model, counts: dict[str, int], source: Source, prompt: BundlePrompt, longest: int, *, precision: str,
    parameters: int,
) -> Manifest:  # fmt: skip
    """Without files. ``counts``: what each pass did to ``graph``."""
    config = source.config()
    return Manifest(
        model=ModelSource(
            id=source.name,
            revision=source.commit(),
            licence=source.card_licence(),
            architecture=config.model_type,
            parameters=parameters,
        ),
        precision=precision,
        maximum_length=longest,
        cost=_cost(graph, config),
        passes=counts,
        operators=dict(Counter(f"{n.domain}.{n.op_type}".lstrip(".") for n in graph.graph).most_common()),
        tools=tools(),
        prompts=(prompt,),
    )


def draft_prompt(
    prompt: FittedPrompt, ending: int | None, file: FileEntry, bfloat16: Fidelity | None = None
) -> BundlePrompt:
    """A prompt's part of the manifest, without probes and fidelity."""
    return BundlePrompt(
        template=prompt.template,
        label_ids=prompt.label_ids,
        prefix_ids=tuple(prompt.prefix_ids),
        ending=ending or 0,
        fidelity=fidelity(np.zeros((1, 2)), np.zeros((1, 2)), "nothing yet"),
        bfloat16=bfloat16,
        error_bound=None,
        probes=(),
        file=file,
    )


def _cost(graph: ir.Model, config: Any) -> Cost:
    """Of the graph's full layers: what only judged rows pass through counts too, slightly."""
    kinds = ("MatMul", "MatMulIntegerToFloat")
    factors = [_before_cast(n.inputs[1]) for n in graph.graph if n.op_type in kinds]
    products = [value for value in factors if value.is_initializer()]
    linear = sum(math.prod(dims(weight)) for weight in dict.fromkeys(products))  # endings share their rows' weights
    return Cost(per_token=linear, per_token_pair=attention_of(config))


def _before_cast(value: ir.Value) -> ir.Value:
    producer = value.producer()
    return producer.inputs[0] if producer is not None and producer.op_type == "Cast" else value

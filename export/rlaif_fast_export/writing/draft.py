"""A bundle's manifest as far as it is known before the bundle was verified."""

from __future__ import annotations

import math
from collections import Counter
from importlib.metadata import version
from typing import Any

import onnx_ir as ir

from rlaif_fast.bundle.manifest import Cost, Manifest, ModelSource
from rlaif_fast.version import __version__
from rlaif_fast_export.graph.nodes import dims
from rlaif_fast_export.prompts.fitted import FittedPrompt
from rlaif_fast_export.reference.oracle import Oracle
from rlaif_fast_export.reference.verify import fidelity
from rlaif_fast_export.sources.source import Source

_TOOLS = ("torch", "transformers", "optimum-onnx", "onnx", "onnx-ir", "onnxruntime")


def tools() -> dict[str, str]:
    """Versions of what makes a bundle."""
    return {name: version(name) for name in _TOOLS} | {"rlaif-fast": __version__}


def draft(
    graph: ir.Model, counts: dict[str, int], source: Source, prompt: FittedPrompt, oracle: Oracle, *, precision: str,
    parameters: int,
) -> Manifest:  # fmt: skip
    """Without files, probes and fidelity. ``counts``: what each pass did to ``graph``."""
    config = source.config()
    return Manifest(
        model=ModelSource(
            id=source.name,
            revision=getattr(config, "_commit_hash", None),
            licence=source.card_licence(),
            architecture=config.model_type,
            parameters=parameters,
        ),
        template=prompt.template,
        label_ids=prompt.label_ids,
        precision=precision,
        prefix_ids=tuple(prompt.prefix_ids),
        maximum_length=prompt.longest,
        ending=oracle.ending,
        cost=_cost(graph, config),
        passes=counts,
        operators=dict(Counter(f"{n.domain}.{n.op_type}".lstrip(".") for n in graph.graph).most_common()),
        fidelity=fidelity(oracle.of_judged, oracle.of_judged, "nothing yet"),
        bfloat16=oracle.bfloat16,
        error_bound=None,
        probes=(),
        tools=tools(),
    )


def _cost(graph: ir.Model, config: Any) -> Cost:
    """Of the graph's full layers: what only judged rows pass through counts too, slightly; the label head does not."""
    kinds = ("MatMul", "MatMulIntegerToFloat")
    factors = [_before_cast(n.inputs[1]) for n in graph.graph if n.op_type in kinds]
    products = [value for value in factors if value.is_initializer() and not value.name.startswith("label_head.")]
    linear = sum(math.prod(dims(weight)) for weight in dict.fromkeys(products))  # endings share their rows' weights
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    return Cost(per_token=linear, per_token_pair=2 * config.num_hidden_layers * heads * size)


def _before_cast(value: ir.Value) -> ir.Value:
    producer = value.producer()
    return producer.inputs[0] if producer is not None and producer.op_type == "Cast" else value

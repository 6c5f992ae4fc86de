"""A finished graph and its weights as files, a tensor at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx_ir as ir

from rlaif_fast.bundle.manifest import MODEL, WEIGHTS

_PAGE = 4096  # bytes; tensors start on a page, so the runtime maps them as they lie


def write_graph(graph: ir.Model, folder: Path, tick: Callable[[float], None]) -> None:
    """Write ``graph`` into ``folder``. ``tick`` is called before each tensor, with the share that is done."""
    graph.opset_imports.setdefault("com.microsoft", 1)
    graph.opset_imports.pop("rlaif", None)
    graph.metadata_props.clear()
    graph.graph.sort()  # passes put a node where it is handy; the format wants it behind what it is fed

    def before(_: object, done: Any) -> None:
        tick(done.index / max(done.total, 1))

    ir.save(
        graph, folder / MODEL, external_data=WEIGHTS, size_threshold_bytes=_PAGE, callback=before,
        max_workers=1, alignment=_PAGE, align_threshold=_PAGE,
    )  # fmt: skip

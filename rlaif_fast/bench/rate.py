"""The machine's matrix rate: what onnxruntime reaches on the bundle's own products and nothing else."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort

from rlaif_fast.runtime import onnx_product as wire
from rlaif_fast.runtime.saturation import saturates

_MOST_RUNS, _LEAST_RUNS = 15, 3
_SECONDS = 0.5  # of timed runs a shape, unless that is fewer than the least

# weights' type -> (name, operator, types of x, weights, y, dtypes of x and weights)
_KINDS: dict[int, tuple[str, str, tuple[int, int, int], type[Any], type[Any]]] = {
    wire.FLOAT: ("fp32", "MatMul", (wire.FLOAT, wire.FLOAT, wire.FLOAT), np.float32, np.float32),
    wire.INT8: ("int8", "MatMulInteger", (wire.UINT8, wire.INT8, wire.INT32), np.uint8, np.int8),
    wire.UINT8: ("int8", "MatMulInteger", (wire.UINT8, wire.UINT8, wire.INT32), np.uint8, np.uint8),
}


@dataclass(frozen=True)
class ShapeRate:
    """The rate of one product ``[rows, k] x [k, n]``, which a pass over the bundle does ``count`` times."""

    k: int
    n: int
    count: int
    kind: str  # fp32 or int8
    gops: float  # 10^9 operations a second; a multiply-add is two


@dataclass(frozen=True)
class MatrixRate:
    """The rate over one pass's products, each as often as the pass does it."""

    rows: int  # tokens of the pass
    gops: float  # 10^9 operations a second
    shapes: tuple[ShapeRate, ...]

    @property
    def kinds(self) -> str:
        """``fp32``, ``int8`` or both."""
        return " and ".join(sorted({shape.kind for shape in self.shapes}))


def matrix_rate(model: bytes, rows: int, threads: int) -> MatrixRate | None:
    """Time the products of ``model`` alone, at ``rows`` tokens; None where it has none of a known type."""
    counts = Counter(p for p in wire.products(model) if p.weights in _KINDS)
    shapes: list[ShapeRate] = []
    for product, count in sorted(counts.items(), key=lambda item: (item[0].k, item[0].n)):
        seconds = float(np.median(_times(product, rows, threads)))
        operations = 2 * rows * product.k * product.n
        shapes.append(ShapeRate(product.k, product.n, count, _KINDS[product.weights][0], operations / seconds / 1e9))
    return MatrixRate(rows, combined(shapes), tuple(shapes)) if shapes else None


def combined(shapes: Sequence[ShapeRate]) -> float:
    """The rate of all the shapes' products one after the other: operations over time, not a mean of rates."""
    operations = [shape.count * shape.k * shape.n for shape in shapes]
    return sum(operations) / sum(work / shape.gops for work, shape in zip(operations, shapes, strict=True))


def _times(product: wire.Product, rows: int, threads: int) -> list[float]:
    """Seconds of each timed run, weights packed beforehand and the output's memory in place, as in a judge."""
    exact = product.weights == wire.INT8 and saturates()  # the engine has onnxruntime take uint8 weights then
    _, op, types, of_x, of_weights = _KINDS[wire.UINT8 if exact else product.weights]
    rng = np.random.default_rng(0)
    x, weights = (_noise(rng, shape, kind) for shape, kind in (
        ((rows, product.k), of_x), ((product.k, product.n), of_weights)))  # fmt: skip
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.log_severity_level = 4
    model = wire.one_product(op, weights, rows, types)
    session = ort.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    bound = session.io_binding()
    bound.bind_cpu_input("x", x)
    bound.bind_output("y")
    times: list[float] = []
    for _ in range(2):
        session.run_with_iobinding(bound)
    while len(times) < _LEAST_RUNS or (len(times) < _MOST_RUNS and sum(times) < _SECONDS):
        started = time.perf_counter()
        session.run_with_iobinding(bound)
        times.append(time.perf_counter() - started)
    return times


def _noise(rng: np.random.Generator, shape: tuple[int, int], kind: type[Any]) -> Any:
    if kind is np.float32:
        return rng.standard_normal(shape, np.float32)
    return rng.integers(0, 127, shape, dtype=kind)

"""What ``--precision auto`` exports: int8 where it is worth its rounding on this machine, known before the long work.

Int8 products are several times faster than float32's on a CPU with VNNI, AMX or ARM's dot product, and hardly on
another, where attention and the passes between the products eat what is left. So a layer's products of the model's own
sizes are timed in both precisions on onnxruntime, with the passes that make their inputs int8, and its attention, which
is float32 in both: seconds, against minutes to an hour that an int8 export takes. The model is looked at without its
weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from rlaif_fast.runtime import memory
from rlaif_fast.runtime.cpu import usable_cores
from rlaif_fast.runtime.saturation import EXACT_PRODUCTS, saturates
from rlaif_fast_export.sources.products import products_of
from rlaif_fast_export.sources.source import Source

WORTH = 1.25  # times as fast as float32: less, and exactness is the better buy
_TOKENS = 384  # of a pass
# Rows of an int8 product for one of float32: some have two terms. On four kinds of processors the gain of the embedded
# default is then foretold within a sixth (docs/engines.md).
_TWICE = 1.3
_LARGEST = 1 << 22  # weights of a product that is timed; of a larger one a part is, at the same rate
_ROUNDS = 5  # in turns; the fastest of each counts


@dataclass(frozen=True)
class Choice:
    """A precision, and one line that says why.

    Attributes:
        needed: there is no memory for the other one.
    """

    precision: str
    why: str
    needed: bool = False


def choose_precision(source: Source, progress: Callable[[str, float], None]) -> Choice:
    """The precision for ``source`` on this machine; fp32 where that cannot be told.

    Code that comes with a model is not run for this. Raises ExportError where the configuration cannot be used.
    """
    progress("comparing int8 with float32 on this machine", 0)
    config = source.config()
    try:
        model = source.outline()
    except Exception as error:  # a class of its own, or one that computes while it is made: loading says what is wrong
        reason = " ".join(str(error).split())[:100]
        return Choice("fp32", f"precision: fp32, since what int8 would gain cannot be told beforehand ({reason})")
    size, left = 4 * sum(p.numel() for p in model.parameters()), memory.left()
    if left is not None and memory.of_weights(size) > left:
        needed, there = memory.of_weights(size) / 1e9, left / 1e9
        why = f"precision: int8, judging in float32 would take {needed:.1f} GB and {there:.1f} GB are left"
        return Choice("int8", why, needed=True)
    gain = _gain(model, config)
    said = f"int8 would be about {gain:.2f} times as fast on this machine"
    if gain < WORTH:
        return Choice("fp32", f"precision: fp32, exact; {said} (--precision int8 makes it all the same)")
    return Choice("int8", f"precision: int8, {said.replace('would be', 'is')} (--precision fp32 is exact)")


def _gain(model: Any, config: Any) -> float:
    """A float32 pass's time over an int8 one's, expected."""
    floats, ints = 0.0, 0.0
    for (k, n), times in products_of(model).items():
        part = min(1.0, _LARGEST / (k * n))
        seconds = _in_turns(_float32(k, int(n * part)), _int8(k, int(n * part)))
        floats, ints = floats + times * seconds[0] / part, ints + times * seconds[1] / part
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    same = config.num_hidden_layers * _in_turns(_attention(heads, size))[0]
    return (floats + same) / (ints + same)


Run = Callable[[], object]


def _in_turns(*runs: Run) -> list[float]:
    """Seconds of each, the fastest of some rounds."""
    seconds = [[float("inf")] for _ in runs]
    for turn in range(_ROUNDS + 1):
        for run, found in zip(runs, seconds, strict=True):
            started = time.perf_counter()
            run()
            if turn:  # the first makes threads and memory ready
                found.append(time.perf_counter() - started)
    return [min(found) for found in seconds]


def _float32(k: int, n: int) -> Run:
    weight = numpy_helper.from_array(_noise(k, n), "w")
    return _session([helper.make_node("MatMul", ["x", "w"], ["y"])], [weight], {"x": _noise(_TOKENS, k)})


def _int8(k: int, n: int) -> Run:
    """As int8 rows are computed (:mod:`rlaif_fast_export.int8.forms`), for as many rows as two terms make of them."""
    constants = {
        "w": (_noise(k, n) * 100).clip(-127, 127).astype(np.int8), "axis": np.array([-1]),
        "step": np.array(1 / 127, np.float32), "steps": np.full(n, 0.01, np.float32),
        "zero": np.array(128, np.uint8), "w_zero": np.array(0, np.int8),
    }  # fmt: skip
    nodes = [
        helper.make_node("Abs", ["x"], ["size"]),
        helper.make_node("ReduceMax", ["size", "axis"], ["largest"]),
        helper.make_node("Div", ["x", "largest"], ["z"]),
        helper.make_node("QuantizeLinear", ["z", "step", "zero"], ["levels"]),
        helper.make_node(
            "MatMulIntegerToFloat", ["levels", "w", "step", "steps", "zero", "w_zero"], ["product"],
            domain="com.microsoft",
        ),
        helper.make_node("Mul", ["product", "largest"], ["y"]),
    ]  # fmt: skip
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    return _session(nodes, initializers, {"x": _noise(int(_TWICE * _TOKENS), k)})


def _attention(heads: int, size: int) -> Run:
    nodes = [
        helper.make_node("MatMul", ["q", "k"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["shares"]),
        helper.make_node("MatMul", ["shares", "v"], ["y"]),
    ]
    q, v = _noise(heads, _TOKENS, size), _noise(heads, _TOKENS, size)
    return _session(nodes, [], {"q": q, "k": np.ascontiguousarray(q.transpose(0, 2, 1)), "v": v})


def _session(
    nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto], feed: dict[str, npt.NDArray[np.float32]]
) -> Run:
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape) for name, value in feed.items()]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    domains = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    graph = helper.make_graph(nodes, "product", inputs, [output], constants)
    model = helper.make_model(graph, opset_imports=domains, ir_version=10)
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = usable_cores()
    settings.add_session_config_entry("session.force_spinning_stop", "1")  # a spinning session slows the next one
    if saturates():
        settings.add_session_config_entry(EXACT_PRODUCTS, "1")
    session = ort.InferenceSession(model.SerializeToString(), settings, ["CPUExecutionProvider"])
    return lambda: session.run(None, feed)


def _noise(*shape: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(shape, np.float32)

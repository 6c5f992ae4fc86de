"""OpenVINO: the same graph, with the products of oneDNN; ``pip install 'rlaif-fast[openvino]'``.

It reads the bundle's ``model.onnx`` as it is. Two operators of onnxruntime, ``GroupQueryAttention`` and
``RotaryEmbedding``, are converted here: OpenVINO's own conversions take some of their forms only. Asked for bfloat16,
OpenVINO leaves in float32 what stands between the last matrix product and the output: the last norm, and the label
head, which is no matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import numpy as np

from rlaif_fast.bundle.folder import Bundle
from rlaif_fast.bundle.manifest import MODEL, Manifest
from rlaif_fast.errors import BundleError
from rlaif_fast.runtime.engines.base import Engine, EngineOptions, Feed, Output, Variant, first_line
from rlaif_fast.runtime.saturation import saturates

_DOMAIN = "com.microsoft"


class OpenVinoEngine(Engine):
    """The bundle's graph compiled by OpenVINO for the CPU, one request at a time."""

    name = "openvino"

    def __init__(self, bundle: Bundle, options: EngineOptions = EngineOptions(), *, precision: str = "f32") -> None:
        """Raises BundleError where OpenVINO refuses the graph."""
        self._options, self._precision = options, precision
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": options.thread_count,
            "INFERENCE_PRECISION_HINT": precision,
        }
        try:
            import openvino as ov
            from openvino.frontend.onnx import ConversionExtension

            core = ov.Core()
            core.add_extension(ConversionExtension("GroupQueryAttention", _DOMAIN, _attention))
            core.add_extension(ConversionExtension("RotaryEmbedding", _DOMAIN, _rotary))
            graph = core.read_model(bundle.folder / MODEL)
            self._request = core.compile_model(graph, "CPU", settings).create_infer_request()
        except Exception as error:  # RuntimeError, or what a conversion raised
            raise BundleError(f"{bundle.folder}: openvino {_version()} cannot load it ({_reason(error)})") from None

    def describe(self) -> str:
        rounds = self._precision != "f32"
        kind = "bfloat16, the label head in float32" if rounds else "float32, and int8 where the bundle is"
        return "\n".join((f"OpenVINO {_version()}, CPU", self._options.threads_line, f"arithmetic: {kind}"))

    def _infer(self, feed: Feed) -> Output:
        self._request.infer(feed, share_inputs=True)
        return Output(*(self._request.get_tensor(name).data.copy() for name in Output._fields))


def _reason(error: Exception) -> str:
    """OpenVINO begins with where in its own source it stopped."""
    lines = [line for line in str(error).splitlines() if line and not line.startswith(("Exception from", "Check"))]
    return first_line(RuntimeError("\n".join(lines)) if lines else error)


def _attention(node: Any) -> list[Any]:
    """GroupQueryAttention over a past: [1, S, H*D] and the keys and values so far, [1, G, P+S, D] each."""
    import openvino.opset13 as op

    q, k, v, *past = (node.get_input(i) for i in range(5))
    heads, groups = node.get_attribute("num_heads"), node.get_attribute("kv_num_heads")
    size = past[0].get_partial_shape()[3].get_length()
    if _absent(k):  # q, k and v side by side
        widths = np.array([heads * size, groups * size, groups * size])
        q, k, v = op.variadic_split(q, np.int64(2), widths).outputs()
    q, k, v = (_by_head(x, n, size) for x, n in ((q, heads), (k, groups), (v, groups)))
    if node.get_attribute("do_rotary"):
        cos, sin = (op.gather(node.get_input(i), node.get_input(9), np.int64(0)) for i in (7, 8))  # [1, S, R/2]
        pairs = bool(node.get_attribute("rotary_interleaved", 0))
        q, k = _rotated(q, cos, sin, size, pairs), _rotated(k, cos, sin, size, pairs)
    keys, values = (op.concat([before, x], 2) for before, x in zip(past, (k, v), strict=True))
    mask, scale, cap = node.get_input(10), np.float32(node.get_attribute("scale")), node.get_attribute("softcap")
    # A group of query heads shares a head of keys: groups become the batch, [G, H/G, S, D] over [G, 1, P+S, D].
    q = op.reshape(q, np.array([groups, heads // groups, -1, size]), False)
    keys_of, values_of = (op.reshape(x, np.array([groups, 1, -1, size]), False) for x in (keys, values))
    if cap:
        scores = op.matmul(op.multiply(q, scale), keys_of, False, True)
        scores = op.multiply(op.tanh(op.divide(scores, np.float32(cap))), np.float32(cap))
        out = op.matmul(op.softmax(op.add(scores, mask), -1), values_of, False, False)
    else:
        out = op.scaled_dot_product_attention(q, keys_of, values_of, mask, scale)
    out = op.transpose(op.reshape(out, np.array([1, heads, -1, size]), False), np.array([0, 2, 1, 3]))
    return [op.reshape(out, np.array([1, -1, heads * size]), False).output(0), keys.output(0), values.output(0)]


def _rotary(node: Any) -> list[Any]:
    """RotaryEmbedding of [1, S, H*D], by the halves or the neighbours of each head's first R features."""
    import openvino.opset13 as op

    x, positions, cos, sin = (node.get_input(i) for i in range(4))
    rotated = 2 * cos.get_partial_shape()[1].get_length()
    heads = node.get_attribute("num_heads", 0)
    width = x.get_partial_shape()[2]
    size = width.get_length() // heads if heads else rotated
    cos, sin = (op.gather(table, positions, np.int64(0)) for table in (cos, sin))
    parts = op.reshape(x, np.array([1, 0, -1, size]), True)
    out = _rotated(
        op.transpose(parts, np.array([0, 2, 1, 3])), cos, sin, size, bool(node.get_attribute("interleaved", 0))
    )
    return [op.reshape(op.transpose(out, np.array([0, 2, 1, 3])), op.shape_of(x), False).output(0)]


def _rotated(x: Any, cos: Any, sin: Any, size: int, pairs: bool) -> Any:
    """``x`` [1, H, S, D] rotated by cos and sin [1, S, R/2]; features behind R stay.

    ``pairs``: features 2i and 2i + 1 turn together, not i and i + R/2.
    """
    import openvino.opset13 as op

    half = cos.get_output_partial_shape(0)[2].get_length()
    if pairs:  # the same, on the features in another order
        there = np.concatenate((np.arange(0, 2 * half, 2), np.arange(1, 2 * half, 2), np.arange(2 * half, size)))
        turned = _rotated(op.gather(x, there, np.int64(3)), cos, sin, size, False)
        return op.gather(turned, np.argsort(there), np.int64(3))
    widths = [half, half, *([size - 2 * half] if size > 2 * half else [])]
    a, b, *rest = op.variadic_split(x, np.int64(3), np.array(widths)).outputs()
    cos, sin = (op.unsqueeze(table, np.int64(1)) for table in (cos, sin))
    first = op.subtract(op.multiply(a, cos), op.multiply(b, sin))
    second = op.add(op.multiply(b, cos), op.multiply(a, sin))
    return op.concat([first, second, *rest], 3)


def _by_head(x: Any, heads: int, size: int) -> Any:
    """[1, S, H*D] -> [1, H, S, D]."""
    import openvino.opset13 as op

    return op.transpose(op.reshape(x, np.array([1, -1, heads, size]), False), np.array([0, 2, 1, 3]))


def _absent(value: Any) -> bool:
    return bool(value.get_node().get_type_name() == "NullNode")


@cache
def _capabilities() -> Sequence[str]:
    import openvino as ov

    return tuple(ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def _refusal(manifest: Manifest, bfloat16: bool = False) -> str | None:
    if find_spec("openvino") is None:
        return "it needs a package that is not installed; pip install 'rlaif-fast[openvino]'"
    if bfloat16 and manifest.precision != "fp32":
        return "bfloat16 on top of int8 loses verdicts; it is offered for fp32 bundles"
    if bfloat16 and "BF16" not in _capabilities():
        return "this chip does not compute in bfloat16"
    if manifest.precision == "int8" and saturates():
        return "OpenVINO's int8 products saturate on this CPU, which has no VNNI; onnxruntime has exact ones"
    return None


def _version() -> str | None:
    try:
        return version("openvino")
    except PackageNotFoundError:
        return None


VARIANTS = (
    Variant("openvino", "OpenVINO, float32, or int8 where the bundle is", OpenVinoEngine, _refusal, _version),
    Variant(
        "openvino-bf16", "OpenVINO, bfloat16", partial(OpenVinoEngine, precision="bf16"),
        partial(_refusal, bfloat16=True), _version, rounds=True,
    ),
)  # fmt: skip

"""Whether this machine's int8 products saturate, asked of onnxruntime itself.

A product of uint8 and int8 adds neighbours two by two. CPUs with VNNI, AMX or ARM's dot product do so in 32 bits; the
kernels for other x86 CPUs in 16 (``vpmaddubsw``), where 255 * 127 * 2 is cut to 32,767. onnxruntime has exact
kernels too, somewhat slower than those; it takes them if told (:data:`EXACT_PRODUCTS`), also where there was no need.

What /proc/cpuinfo or the operating system tell of a processor is not what a virtual machine or an emulator lets a
program see, and macOS and Windows tell less. So one product that would saturate is computed.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import onnxruntime as ort

from rlaif_fast.runtime import onnx_product as wire

EXACT_PRODUCTS = "session.x64quantprecision"  # onnxruntime's option: uint8 weights, widened to 16 bits


@cache
def saturates() -> bool:
    """Whether onnxruntime's products of uint8 and int8 lose what does not fit 16 bits, on this machine."""
    a, b = np.full((8, 64), 255, np.uint8), np.full((64, 32), 127, np.int8)
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = 1
    model = wire.one_product("MatMulInteger", b, len(a), (wire.UINT8, wire.INT8, wire.INT32))
    product = ort.InferenceSession(model, settings, ["CPUExecutionProvider"]).run(None, {"x": a})[0]
    return bool(np.any(product != a.astype(np.int32) @ b.astype(np.int32)))

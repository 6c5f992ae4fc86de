"""onnxruntime: the engine every install has, and what bundles are made for."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime as ort

from rlaif_fast.bundle.folder import Bundle
from rlaif_fast.bundle.manifest import Manifest
from rlaif_fast.bundle.prompt import Arrays
from rlaif_fast.errors import REMEDY, BundleError, lacks_memory
from rlaif_fast.runtime.cache_outputs import FIRST_KEPT, NONE_KEPT, cache_outputs, kept, with_outputs
from rlaif_fast.runtime.cpu import require_threads
from rlaif_fast.runtime.engines.base import Engine, EngineOptions, Feed, Output, Variant, first_line, prefix_of
from rlaif_fast.runtime.saturation import EXACT_PRODUCTS, saturates

# Chosen by measurement, docs/performance.md has the figures. The flash path of GroupQueryAttention is the slower one
# at these lengths on most machines; which one runs is fixed when the session is made.
_FLASH = "ORT_GQA_DISABLE_FLASH_ATTENTION"
_BFLOAT16 = "mlas.enable_gemm_fastmath_arm64_bfloat16"


class OnnxRuntimeEngine(Engine):
    """The bundle's graph in one onnxruntime session."""

    name = "onnxruntime"
    keeps = concurrent = True

    def __init__(
        self, bundle: Bundle, options: EngineOptions = EngineOptions(), *, flash: bool = False, bfloat16: bool = False
    ) -> None:
        """Raises BundleError where the runtime refuses the graph."""
        self._exact_products = bundle.manifest.precision == "int8" and saturates()
        if self._exact_products and not bundle.manifest.passes.get("own_tensors"):
            raise BundleError(
                f"{bundle.folder}: made by an earlier version, whose int8 products saturate on this CPU;"
                " export the model again"
            )
        settings = session_settings(options, bundle.folder, exact_products=self._exact_products)
        if bfloat16:
            settings.add_session_config_entry(_BFLOAT16, "1")
        self._options, self._bfloat16 = options, bfloat16
        require_threads(options.thread_count)
        values = cache_outputs(bundle.graph)
        graph = with_outputs(bundle.graph, values)
        self._kept = {name: kept(name) for name in values}
        try:
            with attention_kernel(flash) as self._flash:
                # A second try would be the same one, and be announced on standard output, where the verdicts go.
                self._session = ort.InferenceSession(
                    graph, settings, ["CPUExecutionProvider"], enable_fallback=0, read_config_from_model=0
                )
        except Exception as error:  # onnxruntime raises its own classes, one a status code
            if lacks_memory(error):
                raise BundleError(
                    f"{bundle.folder}: not enough memory to load it ({first_line(error)}); {REMEDY}"
                ) from None
            raise BundleError(
                f"{bundle.folder}: onnxruntime {ort.__version__} cannot load it ({first_line(error)})"
            ) from None

    def describe(self) -> str:
        kernel = "flash" if self._flash else "not flash, which is slower at these lengths"
        return "\n".join(
            (
                f"onnxruntime {ort.__version__}, CPU",
                self._options.threads_line,
                f"attention kernel: {kernel} ({_FLASH})",
                "weights: mapped, packed when loaded (7 % faster a pair than packing them in each pass)",
                *["float32 products in bfloat16"] * self._bfloat16,
                *["int8 products: the exact kernels, this CPU's fast ones saturate"] * self._exact_products,
                "threads spin between operators (5 % faster; they sleep between pairs)"
                if self._options.spin
                else "threads sleep between operators: the machine is in use",
                "memory arena: on (8 % faster)",
            )
        )

    def _infer(self, feed: Feed) -> Output:
        none = {FIRST_KEPT: np.array([NONE_KEPT], np.int64)}
        return Output(*self._session.run(Output._fields, feed | none))

    def _keys_and_values(self, feed: Feed) -> Arrays:
        first = {FIRST_KEPT: np.array([prefix_of(feed)], np.int64)}
        return dict(zip(self._kept, self._session.run([*self._kept.values()], feed | first), strict=True))


def session_settings(options: EngineOptions, folder: Path, *, exact_products: bool) -> ort.SessionOptions:
    """For a graph in memory whose weights lie in ``folder``.

    ``exact_products``: its products of uint8 and int8 take the kernels that do not saturate.
    """
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = options.thread_count
    settings.add_session_config_entry("session.intra_op.allow_spinning", str(int(options.spin)))
    # Awake threads of a pass that is over slow down whatever runs next, another session most of all.
    settings.add_session_config_entry("session.force_spinning_stop", "1")
    # The bytes that were checked are the bytes that are parsed, and as nothing but ONNX.
    settings.add_session_config_entry("session.load_model_format", "ONNX")
    settings.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    settings.log_severity_level = 4  # errors are raised; the log would say them twice
    if exact_products:
        settings.add_session_config_entry(EXACT_PRODUCTS, "1")
    return settings


@contextmanager
def attention_kernel(flash: bool) -> Iterator[bool]:
    """Whether a session made here takes the flash path; a user's own setting wins."""
    asked = os.environ.get(_FLASH)
    os.environ.setdefault(_FLASH, str(int(not flash)))
    try:
        yield os.environ[_FLASH] == "0"
    finally:
        if asked is None:
            del os.environ[_FLASH]


def _always(_: Manifest) -> str | None:
    return None


def _unless_asked(_: Manifest) -> str | None:
    return f"{_FLASH} is set, which decides for every variant" if _FLASH in os.environ else None


def _bfloat16_refusal(manifest: Manifest) -> str | None:
    if platform.machine().lower() not in ("arm64", "aarch64"):
        return "onnxruntime's bfloat16 products are for ARM64"
    if manifest.precision != "fp32":
        return "only the products of an fp32 bundle are float32"
    return None


def _version() -> str:
    return str(ort.__version__)


VARIANTS = (
    Variant("onnxruntime", "the bundle as it was verified", OnnxRuntimeEngine, _always, _version),
    Variant(
        "onnxruntime-flash", "attention by the flash kernel", partial(OnnxRuntimeEngine, flash=True),
        _unless_asked, _version,
    ),
    Variant(
        "onnxruntime-bf16", "float32 products in bfloat16 (ARM64)", partial(OnnxRuntimeEngine, bfloat16=True),
        _bfloat16_refusal, _version, rounds=True,
    ),
)  # fmt: skip

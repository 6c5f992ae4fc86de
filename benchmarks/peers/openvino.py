"""OpenVINO on the stock ONNX export: f32, bf16, and int8 weights by NNCF."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.base import Setup, TwoPasses, missing, once
from benchmarks.peers.stock_onnx import feed, onnx_file, stock_export


class OpenVino(TwoPasses):
    """One stream for the lowest latency, as ``PERFORMANCE_HINT: LATENCY`` sets it up."""

    def __init__(self, precision: str) -> None:
        self.name = f"openvino-{precision}"
        self.what = f"OpenVINO on the stock ONNX, computing in {precision}"
        self._precision: str | None = precision

    def available(self) -> str | None:
        reason = missing("openvino", "optimum.exporters.onnx")
        if reason is None and self._precision == "bf16":
            import openvino as ov

            if "BF16" not in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
                reason = "OpenVINO does not compute in bf16 on this chip"
        return reason

    def prepare(self, setup: Setup) -> None:
        stock_export(setup)

    def load(self, setup: Setup) -> None:
        import openvino as ov

        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": setup.threads}
        if self._precision is not None:
            options["INFERENCE_PRECISION_HINT"] = self._precision
        self._model = ov.Core().compile_model(self._graph(setup), "CPU", options)
        self._request = self._model.create_infer_request()
        self._inputs = {name for node in self._model.inputs for name in node.get_names()}
        self._labels = list(setup.label_ids)

    def label_logits(self, ids: list[int]) -> tuple[float, float]:
        self._request.infer(feed(ids, self._inputs), share_inputs=True)
        first, second = self._request.get_tensor("logits").data[0, -1, self._labels].tolist()
        return first, second

    def files(self, setup: Setup) -> list[Path]:
        return [setup.cache / "stock-onnx"]

    def _graph(self, setup: Setup) -> str:
        return str(onnx_file(setup.cache / "stock-onnx"))


class OpenVinoInt8(OpenVino):
    """``nncf.compress_weights`` to int8; activations and arithmetic as OpenVINO chooses for such weights."""

    name = "openvino-int8"
    what = "OpenVINO, int8 weights (nncf), its own choice of arithmetic"

    def __init__(self) -> None:
        self._precision = None

    def available(self) -> str | None:
        return missing("openvino", "nncf", "optimum.exporters.onnx")

    def prepare(self, setup: Setup) -> None:
        stock = stock_export(setup)

        def compress(folder: Path) -> None:
            import nncf
            import openvino as ov

            model = nncf.compress_weights(ov.Core().read_model(onnx_file(stock)))
            ov.save_model(model, folder / "model.xml", compress_to_fp16=False)

        once(self.files(setup)[0], compress)

    def files(self, setup: Setup) -> list[Path]:
        return [setup.cache / "openvino-int8"]

    def _graph(self, setup: Setup) -> str:
        return str(self.files(setup)[0] / "model.xml")

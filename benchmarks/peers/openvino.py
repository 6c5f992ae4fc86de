"""OpenVINO on the stock ONNX export: f32, bf16, and weights of int8 and of 4 bits (GPTQ) by NNCF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.peers.base import Setup, TwoPasses, missing, once, texts_of
from benchmarks.peers.stock_onnx import feed, onnx_file, stock_export
from rlaif_fast.prompts.tokenizer import PromptTokenizer


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
        def compress(folder: Path) -> None:
            import openvino as ov

            ov.save_model(self._compressed(setup), folder / "model.xml", compress_to_fp16=False)

        once(self.files(setup)[0], compress)

    def files(self, setup: Setup) -> list[Path]:
        return [setup.cache / self.name]

    def _graph(self, setup: Setup) -> str:
        return str(self.files(setup)[0] / "model.xml")

    def _compressed(self, setup: Setup) -> Any:
        import nncf
        import openvino as ov

        return nncf.compress_weights(ov.Core().read_model(onnx_file(stock_export(setup))))


class OpenVinoGptq(OpenVinoInt8):
    """NNCF's GPTQ, which it does at 4 bits only, calibrated on the prompts that this project's own int8 is.

    It takes weights as PyTorch has them, [N, K]: the model is converted from there, not from ONNX.
    """

    name = "openvino-int4-gptq"
    what = "OpenVINO, 4-bit weights by GPTQ (nncf), its own choice of arithmetic"

    def available(self) -> str | None:
        return missing("openvino", "nncf", "torch", "transformers")

    def _compressed(self, setup: Setup) -> Any:
        import nncf

        prompts = _calibration_prompts(setup)
        return nncf.compress_weights(
            _converted(setup.folder, prompts[0]),
            mode=nncf.CompressWeightsMode.INT4_SYM,
            group_size=64,  # the default, 128, does not divide the embedded default's width
            ratio=1.0,
            dataset=nncf.Dataset([feed(ids, {"input_ids"}) for ids in prompts]),
            gptq=True,
        )


def _converted(folder: Path, example: list[int]) -> Any:
    """The model in ``folder`` as OpenVINO's own, from ids [1, S] to logits [1, S, V]."""
    import openvino as ov
    import torch
    from transformers import AutoModelForCausalLM

    lm = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lm = lm

        def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
            size = input_ids.shape[1]
            hidden = torch.full((size, size), -1e9).triu(1)[None, None]  # transformers' own mask cannot be traced
            logits: torch.Tensor = self.lm(input_ids, attention_mask=hidden, use_cache=False).logits
            return logits

    with torch.inference_mode():
        model = ov.convert_model(Logits(), example_input=torch.tensor([example]), input=[1, -1])
    model.inputs[0].get_tensor().set_names({"input_ids"})
    model.outputs[0].get_tensor().set_names({"logits"})
    return model


def _calibration_prompts(setup: Setup) -> list[list[int]]:
    """Token ids of the pairs that this project's own int8 is calibrated on, in both orders."""
    from rlaif_fast_export.reference.texts import shipped_pairs

    tokenizer = PromptTokenizer.from_file(setup.folder / "tokenizer.json")
    return tokenizer.encode_many([text for pair in shipped_pairs("calibration") for text in texts_of(pair)])

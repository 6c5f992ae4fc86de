"""The stock Optimum export in onnxruntime: fp32, and the int8 of Optimum's own command."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.peers.base import Setup, TwoPasses, missing, once


class StockOnnx(TwoPasses):
    """``optimum-cli export onnx --task text-generation``: no past, logits of every position."""

    name = "ort-fp32"
    what = "stock Optimum ONNX export, onnxruntime fp32"

    def available(self) -> str | None:
        return missing("onnxruntime", "onnx", "optimum.exporters.onnx")

    def prepare(self, setup: Setup) -> None:
        stock_export(setup)

    def load(self, setup: Setup) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = setup.threads
        model = onnx_file(self.files(setup)[0])
        self._session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self._inputs = {node.name for node in self._session.get_inputs()}
        self._labels = list(setup.label_ids)

    def label_logits(self, ids: list[int]) -> tuple[float, float]:
        logits = self._session.run(["logits"], feed(ids, self._inputs))[0]  # [1, S, V]
        first, second = logits[0, -1, self._labels].tolist()
        return first, second

    def files(self, setup: Setup) -> list[Path]:
        return [setup.cache / "stock-onnx"]


class StockInt8(StockOnnx):
    """``optimum-cli onnxruntime quantize --avx512_vnni --per_channel``: dynamic int8."""

    name = "ort-int8"
    what = "stock Optimum int8 (avx512_vnni, dynamic, per channel), onnxruntime"

    def prepare(self, setup: Setup) -> None:
        stock = stock_export(setup)

        def quantize(folder: Path) -> None:
            from optimum.onnxruntime import ORTQuantizer
            from optimum.onnxruntime.configuration import AutoQuantizationConfig

            config = AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=True)
            quantizer = ORTQuantizer.from_pretrained(stock, file_name=onnx_file(stock).name)
            external = _size(stock) > 2**31  # what one protobuf file holds
            quantizer.quantize(config, save_dir=folder, use_external_data_format=external)

        once(self.files(setup)[0], quantize)

    def files(self, setup: Setup) -> list[Path]:
        return [setup.cache / "stock-onnx-int8"]


def stock_export(setup: Setup) -> Path:
    """The folder of the stock export, made once for every peer that runs it."""

    def export(folder: Path) -> None:
        from optimum.exporters.onnx import main_export

        main_export(str(setup.folder), str(folder), task="text-generation", device="cpu", do_validation=False)

    return once(setup.cache / "stock-onnx", export)


def onnx_file(folder: Path) -> Path:
    """The one graph of a folder."""
    return next(folder.glob("*.onnx"))


def feed(ids: list[int], inputs: set[str]) -> dict[str, np.ndarray]:
    """What the stock graph asks for, of one prompt: input_ids, attention_mask, sometimes position_ids, [1, S]."""
    values = {
        "input_ids": np.array([ids], np.int64),
        "attention_mask": np.ones((1, len(ids)), np.int64),
        "position_ids": np.arange(len(ids), dtype=np.int64)[None],
    }
    return {name: value for name, value in values.items() if name in inputs}


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.onnx*"))

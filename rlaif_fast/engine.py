"""From a packed tree to label logits, with onnxruntime. Arrays in, arrays out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from rlaif_fast.cpu import usable_cores
from rlaif_fast.errors import BundleError, JudgeError
from rlaif_fast.packing import PackedTree


@dataclass(frozen=True)
class EngineOptions:
    """How the runtime is set up; what each choice is worth is in docs/performance.md."""

    threads: int = 0  # 0: the usable physical cores

    @property
    def thread_count(self) -> int:
        return self.threads or usable_cores()


class OnnxRuntimeEngine:
    """The bundle's graph in one onnxruntime session."""

    def __init__(self, model: Path, options: EngineOptions = EngineOptions()) -> None:
        """Raises BundleError where the runtime refuses the graph."""
        # The flash path of GroupQueryAttention is the slower one at these lengths; it is chosen when
        # the session is made (docs/performance.md). A user's own setting wins.
        os.environ.setdefault("ORT_GQA_DISABLE_FLASH_ATTENTION", "1")
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = options.thread_count
        settings.log_severity_level = 4  # errors are raised; the log would say them twice
        self.threads = options.thread_count
        try:
            self._session = ort.InferenceSession(str(model), settings, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises its own classes, one a status code
            raise BundleError(f"{model}: onnxruntime {ort.__version__} cannot load it ({_first_line(error)})") from None

    def describe(self) -> str:
        """The set-up, for ``--verbose``."""
        return f"onnxruntime {ort.__version__} on the CPU, {self.threads} threads"

    def run(self, tree: PackedTree) -> npt.NDArray[np.float32]:
        """Label logits [J, 2] of the judged positions.

        Raises:
            JudgeError: the runtime failed, or a logit is not finite.
        """
        feed = {
            "input_ids": tree.input_ids,
            "position_ids": tree.position_ids,
            "attention_bias": tree.attention_bias,
            "judged": tree.judged,
        }
        try:
            logits: npt.NDArray[np.float32] = self._session.run(["label_logits"], feed)[0]
        except Exception as error:
            raise JudgeError(f"onnxruntime failed on {tree.tokens} tokens ({_first_line(error)})") from None
        if not np.isfinite(logits).all():
            raise JudgeError(f"a label logit is not finite ({logits.tolist()}), the bundle or the CPU is broken")
        return logits


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300]

"""From a packed tree to label logits, with onnxruntime. Arrays in, arrays out."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from rlaif_fast.bundle import Bundle
from rlaif_fast.cpu import usable_cores
from rlaif_fast.errors import BundleError, JudgeError
from rlaif_fast.manifest import MINIMUM_TREE
from rlaif_fast.packing import HIDDEN, PackedTree

# Chosen by measurement, docs/performance.md has the figures. The flash path of GroupQueryAttention is the slower one
# at these lengths; which one runs is fixed when the session is made.
_FLASH = "ORT_GQA_DISABLE_FLASH_ATTENTION"


@dataclass(frozen=True)
class EngineOptions:
    """How the runtime is set up."""

    threads: int = 0  # 0: the usable physical cores
    spin: bool = True  # threads wait awake for the next operator of a pass

    @property
    def thread_count(self) -> int:
        """Threads the runtime gets."""
        return self.threads or usable_cores()


class OnnxRuntimeEngine:
    """The bundle's graph in one onnxruntime session."""

    def __init__(self, bundle: Bundle, options: EngineOptions = EngineOptions()) -> None:
        """Raises BundleError where the runtime refuses the graph."""
        os.environ.setdefault(_FLASH, "1")  # a user's own setting wins
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = options.thread_count
        settings.add_session_config_entry("session.intra_op.allow_spinning", str(int(options.spin)))
        # Awake threads of a pass that is over slow down whatever runs next, another session most of all.
        settings.add_session_config_entry("session.force_spinning_stop", "1")
        # The bytes that were checked are the bytes that are parsed, and as nothing but ONNX.
        settings.add_session_config_entry("session.load_model_format", "ONNX")
        settings.add_session_config_entry("session.model_external_initializers_file_folder_path", str(bundle.folder))
        settings.log_severity_level = 4  # errors are raised; the log would say them twice
        self._options = options
        try:
            # A second try would be the same one, and be announced on standard output, where the verdicts go.
            self._session = ort.InferenceSession(
                bundle.graph, settings, ["CPUExecutionProvider"], enable_fallback=0, read_config_from_model=0
            )
        except Exception as error:  # onnxruntime raises its own classes, one a status code
            raise BundleError(
                f"{bundle.folder}: onnxruntime {ort.__version__} cannot load it ({_first_line(error)})"
            ) from None

    def describe(self) -> str:
        """What was chosen and why, a line each."""
        threads = self._options.thread_count
        why = "as asked" if self._options.threads else "physical cores within this process's affinity and quota"
        kernel = "flash, as asked" if os.environ.get(_FLASH) == "0" else "not flash, which is slower at these lengths"
        return "\n".join(
            (
                f"onnxruntime {ort.__version__}, CPU",
                f"threads: {threads} ({why})",
                f"attention kernel: {kernel} ({_FLASH})",
                "weights: mapped, packed when loaded (7 % faster a pair than packing them in each pass)",
                "threads spin between operators (5 % faster; they sleep between pairs)"
                if self._options.spin
                else "threads sleep between operators: the machine is in use",
                "memory arena: on (8 % faster)",
            )
        )

    def run(self, tree: PackedTree) -> npt.NDArray[np.float32]:
        """Label logits [J, 2] of the judged positions.

        Raises:
            JudgeError: the runtime failed, or a logit is not finite.
        """
        tree = _filled(tree)
        feed = {
            "input_ids": tree.input_ids,
            "position_ids": tree.position_ids,
            "attention_bias": tree.attention_bias,
            "judged": tree.judged,
        }
        try:
            logits: npt.NDArray[np.float32] = self._session.run(["label_logits"], feed)[0]
        except Exception as error:
            reason = _first_line(error)
            if "alloc" in reason.lower():
                reason = "out of memory; use shorter rows or a smaller model"
            raise JudgeError(f"onnxruntime failed on {tree.tokens} tokens ({reason})") from None
        if logits.ndim != 2 or len(logits) != len(tree.judged) or logits.dtype != np.float32:
            raise JudgeError(
                f"the graph answered {logits.dtype} {logits.shape}, no logits of {len(tree.judged)} prompts"
            )
        if not np.isfinite(logits).all():
            raise JudgeError(f"a label logit is not finite ({logits.tolist()}), the bundle or the CPU is broken")
        return logits


def _filled(tree: PackedTree) -> PackedTree:
    """A tree of too few tokens for the graph, with tokens behind it that nobody sees or judges."""
    missing = MINIMUM_TREE - tree.tokens
    if missing <= 0:
        return tree
    more = ((0, 0), (0, missing))
    bias = np.pad(tree.attention_bias, ((0, 0), (0, 0), *more[1:], *more[1:]), constant_values=HIDDEN)
    bias[..., -missing:, 0] = 0  # a softmax over nothing would be no number
    return PackedTree(np.pad(tree.input_ids, more), np.pad(tree.position_ids, more), bias, tree.judged)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]

"""The head over a model's whole vocabulary: how likely a token is of all it might say, which scores need."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from rlaif_fast.bundle.manifest import HEAD
from rlaif_fast.errors import BundleError, JudgeError
from rlaif_fast.runtime.engines.base import EngineOptions, first_line
from rlaif_fast.runtime.engines.onnxruntime import session_settings


class Vocabulary:
    """A bundle's ``head.onnx``, whatever engine computes the rest."""

    def __init__(self, head: bytes, folder: Path, options: EngineOptions) -> None:
        """
        Args:
            head: the file's content.
            folder: where its weights are.

        Raises:
            BundleError: the runtime refuses it.
        """
        settings = session_settings(options, folder, exact_products=False)
        try:
            self._session = ort.InferenceSession(
                head, settings, ["CPUExecutionProvider"], enable_fallback=0, read_config_from_model=0
            )
        except Exception as error:  # onnxruntime raises its own classes, one a status code
            raise BundleError(
                f"{folder / HEAD}: onnxruntime {ort.__version__} cannot load it ({first_line(error)})"
            ) from None

    def log_totals(self, hidden: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """log of the sum of exp(logit) over all tokens, [J], of ``hidden`` [J, D]. Raises JudgeError."""
        try:
            logits = self._session.run(["logits"], {"hidden": hidden})[0].astype(np.float64)
        except Exception as error:
            raise JudgeError(f"onnxruntime failed on the head over the vocabulary ({first_line(error)})") from None
        largest = logits.max(1)
        found: npt.NDArray[np.float64] = largest + np.log(np.exp(logits - largest[:, None]).sum(1))
        if not np.isfinite(found).all():
            raise JudgeError(f"a sum over the vocabulary is not finite ({found.tolist()}), the bundle is broken")
        return found

"""onnxruntime-genai: its own model builder (fused attention, last logits) and its own cache."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.peers.base import Setup, TwoPasses, Unavailable, common_prefix, missing, once


class OrtGenai(TwoPasses):
    """Keeps the cache between prompts and rewinds it to what the next one shares with the last."""

    name = "ort-genai"
    what = "onnxruntime-genai fp32, last logits, shared beginnings kept in its cache"

    def available(self) -> str | None:
        return missing("onnxruntime_genai", "torch", "transformers", "onnx_ir")

    def prepare(self, setup: Setup) -> None:
        def build(folder: Path) -> None:
            command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-p", "fp32", "-e", "cpu"]
            folders = ["-i", str(setup.folder), "-o", str(folder), "-c", str(setup.cache / "hub")]
            done = subprocess.run(
                [*command, *folders, "--extra_options", "prune_lm_head=true"], text=True, capture_output=True
            )
            if done.returncode:
                lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
                raise Unavailable(f"its model builder failed: {lines[-1]}")

        once(self.files(setup)[0], build)

    def load(self, setup: Setup) -> None:
        import onnxruntime_genai as og

        config = og.Config(str(self.files(setup)[0]))
        threads = {"intra_op_num_threads": setup.threads}
        config.overlay(json.dumps({"model": {"decoder": {"session_options": threads}}}))
        model = og.Model(config)
        options = og.GeneratorParams(model)
        options.set_search_options(max_length=setup.longest + 1)
        self._generator = og.Generator(model, options)
        self._held: list[int] = []
        self._labels = list(setup.label_ids)

    def label_logits(self, ids: list[int]) -> tuple[float, float]:
        import numpy as np

        kept = common_prefix(self._held, ids)
        self._generator.rewind_to(kept)
        self._generator.append_tokens(np.array([ids[kept:]], np.int32))
        self._held = ids
        first, second = self._generator.get_logits()[0, -1, self._labels].tolist()  # [1, 1, V]
        return first, second

    def files(self, setup: Setup) -> list[Path]:
        return [setup.cache / "ort-genai-fp32"]

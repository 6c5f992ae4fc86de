"""CTranslate2: its converter on the Hugging Face folder, float32 and int8."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.peers.base import Setup, TwoPasses, missing, once


class CTranslate2(TwoPasses):
    """One step of generation behind the prompt, which gives the last position's logits only.

    The template's head is a static prompt: CTranslate2 computes it once and keeps its state.
    """

    def __init__(self, compute_type: str, short: str) -> None:
        self.name = f"ctranslate2-{short}"
        self.what = f"CTranslate2 {compute_type}, last logits, the template's head kept as a static prompt"
        self._type = compute_type

    def available(self) -> str | None:
        return missing("ctranslate2", "torch", "transformers")

    def prepare(self, setup: Setup) -> None:
        def convert(folder: Path) -> None:
            from ctranslate2.converters import TransformersConverter

            TransformersConverter(str(setup.folder)).convert(str(folder), quantization=self._type, force=True)

        once(self.files(setup)[0], convert)

    def load(self, setup: Setup) -> None:
        import ctranslate2
        from transformers import AutoTokenizer

        self._generator = ctranslate2.Generator(
            str(self.files(setup)[0]), device="cpu", compute_type=self._type, intra_threads=setup.threads
        )
        # It takes tokens as strings; their ids are one to one.
        self._strings = AutoTokenizer.from_pretrained(setup.folder).convert_ids_to_tokens
        self._head = list(setup.prefix_ids)
        self._labels = list(setup.label_ids)

    def label_logits(self, ids: list[int]) -> tuple[float, float]:
        head = self._head if ids[: len(self._head)] == self._head else []
        result = self._generator.generate_batch(
            [self._strings(ids[len(head) :])], static_prompt=self._strings(head) or None, max_length=1, min_length=1,
            include_prompt_in_result=False, return_logits_vocab=True,
        )[0]  # fmt: skip
        first, second = np.array(result.logits[0][0])[self._labels].tolist()  # of [V]
        return first, second

    def files(self, setup: Setup) -> list[Path]:
        return [setup.cache / self.name]
